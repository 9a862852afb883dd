"""Whole columns are read as the strict functions read each cell, and plain blocks as the csv module reads them."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from neurotwin.ingest import delimited, plain_text
from neurotwin.ingest.accounting import CODES, Reason
from neurotwin.ingest.dates import FixedFormats, microseconds
from neurotwin.ingest.delimited import DelimitedFile
from neurotwin.ingest.mapping_columns import TimeColumn
from neurotwin.ingest.mapping_file import parse_mapping
from neurotwin.ingest.numbers import clean, distinct, is_any, read_measurements
from neurotwin.ingest.text import read_measurement
from neurotwin.ingest.times import TimeReader

digits = st.text("0123456789", max_size=25)
numbers = st.one_of(
    st.floats().map(repr),
    st.integers().map(str),
    st.builds(
        lambda sign, whole, point, part, mark, power: sign + whole + point + part + mark + power,
        st.sampled_from(["", "-", "+", "<", ">=", "≤", "< ", "--"]),
        digits,
        st.sampled_from(["", ".", ","]),
        digits,
        st.sampled_from(["", "e", "E-", "e+", " "]),
        st.text("0123456789", max_size=4),
    ),
    st.text(max_size=8),
    st.sampled_from(["inf", "NaN", "1e-330", "1e400", "٣", "-0", "0e5", "1_0", "0x1", "", "5\n", "1.5\x00"]),
)


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(numbers, min_size=1, max_size=40), decimal=st.sampled_from([".", ","]))
@example(texts=["9" * 15 + "." + "9" * 17 + "e99", "0." + "0" * 16 + "1e-99", "-0.0"], decimal=".")
def test_a_column_of_numbers_is_read_as_its_cells(texts, decimal):
    value, censor, reason = read_measurements(pa.array(texts, pa.string()), decimal)
    for number, text in enumerate(texts):
        wanted = read_measurement(text, decimal)
        if isinstance(wanted, Reason):
            assert reason[number] == CODES[wanted]
        else:
            assert reason[number] == 0 and (value[number], censor[number]) == wanted
            assert np.signbit(value[number]) == np.signbit(wanted[0])


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(st.one_of(st.none(), st.text(max_size=6), numbers), max_size=20))
def test_cells_are_stripped_as_text_is(texts):
    cleaned = clean(pa.chunked_array([pa.array(texts, pa.string())]))
    assert cleaned.to_pylist() == [(text or "").strip() for text in texts]
    known, which = distinct(cleaned)
    assert [known[one] for one in which] == cleaned.to_pylist()
    assert is_any(cleaned, ["", "x"]).tolist() == [text in ("", "x") for text in cleaned.to_pylist()]


FORMATS = [
    "%Y-%m-%d", "%Y%m%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z", "%Y%m%d%H", "%d %b %Y", "%Y-%j",
    "%Y-%m-%d %I:%M %p", "%Yt%m-%d%%", "%H:%M %Y/%m/%d", "%Y-%m-%d  %H:%M",
]  # fmt: skip
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))


@st.composite
def dates(draw):
    """A date written in some format, now and then changed a little."""
    text = draw(moments).strftime(draw(st.sampled_from(FORMATS)))
    text += draw(st.sampled_from(["", "", "", "Z", "+0100", "-23:59", "+24:00", "z", " ", "+01:60"]))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        kind = draw(st.sampled_from(["none", "drop", "put", "lower"]))
        if kind == "drop":
            text = text[:at] + text[at + 1 :]
        elif kind == "put":
            text = text[:at] + draw(st.sampled_from("0123456789 T-:.\t٣")) + text[at + 1 :]
        elif kind == "lower":
            text = text.lower()
    return text


columns_of_dates = {
    "texts": st.lists(dates(), min_size=1, max_size=12),
    "formats": st.lists(st.sampled_from(FORMATS), min_size=1, max_size=3, unique=True),
    "zones": st.sampled_from([None, None, "utc", "wall"]),
}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(**columns_of_dates)
@example(texts=["20240112", "2024011213"], formats=["%Y%m%d", "%Y%m%d%H"], zones=None)
@example(texts=["1970-01-01", "2023-02-29", "0001-01-01T00:00:00+0100", ""], formats=["%Y-%m-%d"], zones=None)
def test_a_column_of_dates_is_read_as_its_cells(texts, formats, zones):
    check_dates(texts, formats, zones)


@pytest.mark.full
@settings(max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(**columns_of_dates)
def test_many_columns_of_dates_are_read_as_their_cells(texts, formats, zones):
    check_dates(texts, formats, zones)


def check_dates(texts, formats, zones):
    column = TimeColumn(column="t", format=tuple(formats), zones=zones)
    reader = TimeReader(column, "d", last=float(microseconds(datetime(2100, 1, 1))))
    time, reason = reader.read_all(pa.array(texts, pa.string()))
    for number, text in enumerate(texts):
        wanted = reader.read(text) if text else Reason.TIME_MISSING
        if isinstance(wanted, Reason):
            assert reason[number] == CODES[wanted]
        else:
            assert reason[number] == 0 and time[number] == wanted


def test_common_formats_take_the_fast_way():
    for one in ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f%z", "%d/%m/%Y"):
        text = pa.array([datetime(2024, 2, 29, 13, 5, 9, 1200).strftime(one) + ("Z" if one.endswith("z") else "")])
        assert FixedFormats((one,)).read(text)[1].all(), one


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(numbers, min_size=1, max_size=20), unit=st.sampled_from(["d", "h", "a"]))
def test_a_column_of_relative_times_is_read_as_its_cells(texts, unit):
    reader = TimeReader(TimeColumn(column="t", unit=unit), "h")
    time, reason = reader.read_all(pa.array(texts, pa.string()))
    for number, text in enumerate(texts):
        wanted = reader.read(text) if text else Reason.TIME_MISSING
        assert reason[number] == (CODES[wanted] if isinstance(wanted, Reason) else 0)
        assert isinstance(wanted, Reason) or time[number] == wanted


cells = st.one_of(st.text("ab,;\"'\n\r \té\ufeff", max_size=5), st.sampled_from(["1.5", '"q"', '"a,b"', '""', '"x"y']))


def read(path: Path):
    table = parse_mapping(TWO_COLUMNS).tables[0]
    found = []
    for batch in DelimitedFile(path, 0, table, path.name, lambda _: None).batches():
        columns = [batch.columns[name].to_pylist() for name in ("id", "t", "v")]
        found += zip(batch.lines.tolist(), batch.faults.tolist(), *columns, strict=True)
    return found


TWO_COLUMNS = {
    "name": "two",
    "time_unit": "d",
    "index": {"event": "start", "at": "zero"},
    "split_key": "two",
    "pseudonymise": "none",
    "variables": [{"name": "v", "unit": "1"}],
    "tables": [
        {
            "layout": "visits",
            "subject": "id",
            "time": {"column": "t", "unit": "d"},
            "variables": [{"variable": "v", "column": "v", "unit": "1"}],
        }
    ],
}


blocks = {
    "rows": st.lists(st.lists(cells, min_size=2, max_size=4).map(",".join), max_size=8),
    "end": st.sampled_from("\n\r"),
}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**blocks)
def test_plain_blocks_are_split_as_the_csv_module_does(rows, end, tmp_path):
    check_block(rows, end, tmp_path)


@pytest.mark.full
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**blocks)
def test_many_plain_blocks_are_split_as_the_csv_module_does(rows, end, tmp_path):
    check_block(rows, end, tmp_path)


def check_block(rows, end, tmp_path):
    end = "\r\n" if end == "\r" else end
    path = tmp_path / "data.csv"
    path.write_bytes(end.join(["id,t,v", *rows, "last,1,2"]).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "BLOCK", 12)
        fast = outcome(path)
        patch.setattr(delimited, "split_plain", lambda *_: None)
        assert fast == outcome(path)


def outcome(path):
    try:
        return read(path)
    except Exception as error:
        return str(error)


def test_plain_blocks_are_plain():
    names = {"a": 0, "c": 2}
    for text in ("1,2,3\n4,5,6\n", '1,"2,5",3\r\n"4",5,6', '"","",""\n'):
        assert plain_text.split_plain(text, ",", 3, names) is not None, text
    for text in (
        "1,2\n",
        "1,2,3\n\n4,5,6\n",
        '1,"2\n",3\n',
        '1,a"b,3\n',
        '1,"a""b",3\n',
        "1,2,3\r4,5,6\n",
        '1,"2"x,3\n',
    ):
        assert plain_text.split_plain(text, ",", 3, names) is None, text
