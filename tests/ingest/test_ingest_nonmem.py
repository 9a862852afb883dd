"""NONMEM-style tables: separators, comments, events, doses laid out, dates, and bad files."""

import copy
import os
import re
from pathlib import Path

import numpy as np
import pytest

from neurotwin.cohort import Cohort
from neurotwin.errors import IngestError
from neurotwin.ingest.accounting import Reason
from neurotwin.ingest.mapping_file import load_mapping
from neurotwin.ingest.nonmem import ingest_nonmem
from neurotwin.ingest.nonmem import table as nonmem_table
from neurotwin.ingest.yaml_file import read_yaml
from neurotwin.paths import conf_dir

STYLE = read_yaml(conf_dir() / "source/nonmem_warfarin_style.yaml")
HEADER = "ID,TIME,AMT,RATE,EVID,MDV,DV,DVID,ADDL,II,SS,WT,AGE,SEX\n"
COVARIATES = "70,50,1"
OBSERVED = f"1,1,.,.,0,0,8.5,1,.,.,.,{COVARIATES}\n"


@pytest.fixture
def style():
    return copy.deepcopy(STYLE)


@pytest.fixture
def run(tmp_path):
    """Reads text with a mapping; returns the report and the cohort."""

    def read(text, mapping=STYLE, name="pk.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        output = tmp_path / f"cohort{len(list(tmp_path.iterdir()))}"
        report = ingest_nonmem(path, mapping, output, progress=False)
        assert report.balanced
        return report, Cohort.load(output, verify=True)

    return read


def rows(*texts):
    """Rows of `HEADER` from ID to SS, with covariates behind."""
    return HEADER + "".join(f"{one},{COVARIATES}\n" for one in texts)


def doses(cohort):
    """(time, end or None, amount) of each dose."""
    return [
        (float(t), None if np.isnan(e) else float(e), float(a))
        for t, e, a in zip(cohort.doses.time, cohort.doses.end, cohort.doses.amount, strict=True)
    ]


def test_a_table_with_all_kinds_of_rows(run):
    text = rows(
        "1,0,1.0D+02,.,1,1,.,.,2,24,.",  # three doses
        "1,2,.,.,0,0,8.5,1,.,.,.",
        "1,24,.,.,0,0,4.5D+01,2.0,.,.,.",
        "1,30,.,.,0,1,45,2,.,.,.",  # missing
        "1,36,.,.,2,1,.,.,.,.,.",  # other event
        "2,0,50,25,1,1,.,.,.,.,.",  # infusion over two hours
        "2,3,.,.,0,0,.,1,.,.,.",  # no value
        "2,3,.,.,0,0,3.1,.,.,.,.",  # of what?
        "2,3,.,.,0,0,3.1,1,.,.,.",
        "2,4,50,-2,1,1,.,.,.,.,.",  # modelled duration
        "2,4,50,.,1,1,.,.,.,12,1",  # steady state
        "2,4,50,.,1,1,.,.,5,.,.",  # every what?
        "2,4,.,.,1,1,.,.,.,.,.",  # how much?
        "2,4,x,.,1,1,.,.,.,.,.",
        "2,4,50,.,7,1,.,.,.,.,.",
        "2,5,50,.,4,1,.,.,.,.,.",  # reset and dose
        "2,6,.,.,0,0,3.3,1,.,.,.",
    )
    report, cohort = run(text)
    account, more = report.files
    assert (account.read, account.accepted, account.out_of_scope) == (17, 5, 2)
    assert dict(account.rejected) == {
        "value_missing": 2, "code_missing": 1, "modelled_rate": 1, "steady_state": 1, "additional_doses": 1,
        "value_not_a_number": 1, "row_unreadable": 1, "reset_event": 2,
    }  # fmt: skip
    assert more.path == "pk.csv (additional doses)" and (more.read, more.accepted) == (2, 2)
    assert doses(cohort) == [(0, None, 100), (24, None, 100), (48, None, 100), (0, 2, 25)]
    assert cohort.observations.value.tolist() == [8.5, 45.0, 3.1]
    assert account.places[Reason.RESET_EVENT] == [(17, 0), (18, 0)]
    assert cohort.statics.tolist() == [[70, 50, 1]] * 2


LAYOUTS = {
    "comma": (HEADER, ","),
    "semicolon": (HEADER.replace(",", ";"), ";"),
    "tab": (HEADER.replace(",", "\t"), "\t"),
    "blanks": (HEADER.replace(",", "   "), "    "),
    "padded": (HEADER.replace(",", " , "), " ,  "),
    "small letters": (HEADER.lower(), ","),
    "quoted": (",".join(f'"{one}"' for one in HEADER.strip().split(",")) + "\n", ","),
    "under a comment": ("$PROBLEM warfarin, of 2 arms\n# by hand\nC of no interest\nTABLE NO. 1\n\n" + HEADER, ","),
    "with a sign": ("#" + HEADER, ","),
    "with an at": (" @" + HEADER, ","),
    "a byte order mark": ("\ufeff" + HEADER, ","),
}


@pytest.mark.parametrize(("header", "separator"), LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_layout_gives_the_same(run, header, separator, end):
    body = "".join(rows("1,0,100,.,1,1,.,.,1,12,.", "1,2,.,.,0,0,8.5,1,.,.,.").splitlines(keepends=True)[1:])
    report, cohort = run((header + body.replace(",", separator)).replace("\n", end))
    assert report.files[0].read == report.files[0].accepted == 2
    assert doses(cohort) == [(0, None, 100), (12, None, 100)] and cohort.observations.value.tolist() == [8.5]


def test_comments_among_the_rows_are_counted_and_left_out(run):
    text = "C," + HEADER + ".," + OBSERVED + "C," + OBSERVED + "#," + OBSERVED + "TABLE NO.  2\nC," + HEADER
    text += "\n\n@x\n.," + OBSERVED.replace("1,1,", "1,2,", 1) + ".,1,2\n"
    report, cohort = run(text)
    assert (report.files[0].read, report.files[0].out_of_scope) == (8, 5) and len(cohort.observations) == 2
    assert dict(report.files[0].rejected) == {"field_count": 1}


def test_ids_stay_what_they_are(run):
    text = "".join(OBSERVED.replace("1,1,", f"{one},1,", 1) for one in ("007", "7", "1E5", "2.0", "3.0000E+00", "A-1"))
    _, cohort = run(HEADER + text)
    assert cohort.ids.tolist() == ["007", "1E5", "2", "3", "7", "A-1"]


def test_without_evid_an_amount_makes_a_dose(run, style):
    style["tables"][0]["statics"], style["statics"] = [], []
    style["variables"], style["treatments"] = style["variables"][:1], style["treatments"][:1]
    table = style["tables"][0]
    table["variables"], table["treatments"] = table["variables"][:1], table["treatments"][:1]
    report, cohort = run("ID TIME AMT DV\n1 0 100 .\n1 0 0 1\n1 1 . 8.5\n1 2 . .\n", style)
    assert doses(cohort) == [(0, None, 100)] and cohort.observations.value.tolist() == [1.0, 8.5]
    assert cohort.observations.post_dose.tolist() == [True, False]
    assert dict(report.totals.rejected) == {"value_missing": 1} and len(report.files) == 1


def test_samples_at_a_doses_time_are_told_apart_by_their_order(run):
    _, cohort = run(
        rows("1,0,.,.,0,0,1,1,.,.,.", "1,0.0,9,.,1,1,.,.,.,.,.", "1,0,.,.,0,0,5,1,.,.,.", "1,1,.,.,0,0,4,1,.,.,.")
    )
    assert cohort.observations.value.tolist() == [1, 5, 4]
    assert cohort.observations.post_dose.tolist() == [False, True, False]


def test_steady_state_is_laid_out_where_the_mapping_says_so(run, style):
    style["tables"][0]["nonmem"] = {"steady_state": 3}
    text = rows(
        "1,0,100,.,1,1,.,.,1,24,1", "1,2,.,.,0,0,8.5,1,.,.,.", "1,48,100,.,1,1,.,.,.,24,1", "2,0,9,.,1,1,.,.,.,.,1",
        "2,0,9,.,1,1,.,.,.,12,2",
    )  # fmt: skip
    report, cohort = run(text, style)
    assert doses(cohort) == [(-72, None, 100), (-48, None, 100), (-24, None, 100), (0, None, 100), (24, None, 100)]
    # A second steady state would wipe out what was given before it; one needs its interval; SS 2 adds to the rest.
    assert dict(report.files[0].rejected) == {"steady_state": 3} and report.files[1].read == 4


def test_values_below_and_above_the_limit(run, style):
    header = HEADER.replace("SEX", "SEX,CENS,LLOQ")
    lines = [
        "1,1,.,.,0,0,0.5,1,.,.,.,70,50,1,1,.", "1,2,.,.,0,1,.,1,.,.,.,70,50,1,1,0.2",
        "1,3,.,.,0,0,50,1,.,.,.,70,50,1,-1,.", "1,4,.,.,0,0,3,1,.,.,.,70,50,1,0,0.2",
        "1,5,.,.,0,1,.,1,.,.,.,70,50,1,1,.",
    ]  # fmt: skip
    style["tables"][0]["nonmem"] = {"below": "CENS", "limit": "LLOQ"}
    report, cohort = run(header + "\n".join(lines), style)
    assert cohort.observations.value.tolist() == [0.5, 0.2, 50, 3] and report.files[0].out_of_scope == 1
    assert cohort.observations.censor.tolist() == [-1, -1, 1, 0]


def test_clock_times_need_a_format_and_dates(run, style):
    dated = HEADER.replace("TIME", "DATE,TIME")
    body = (
        f"1,12/31/2019,22:00,100,.,1,1,.,.,2,1.5,.,{COVARIATES}\n1,01/01/2020,8:30,.,.,0,0,8.5,1,.,.,.,{COVARIATES}\n"
    )
    with pytest.raises(IngestError, match="a date in DATE, read as numbers.*format"):
        run(dated + body, style)
    with pytest.raises(IngestError, match="clock times in TIME"):
        run(HEADER + OBSERVED.replace("1,1,", "1,8:30,", 1), style)
    style["index"] = {"event": "first sample", "at": "first"}
    style["tables"][0]["time"] = {"column": "time", "format": "%m/%d/%Y %H:%M"}
    report, cohort = run(dated + body, style)
    assert doses(cohort) == [(-10.5, None, 100), (-9, None, 100), (-7.5, None, 100)] and not report.totals.rejected
    report, _ = run(dated + body.replace("1.5", "0.001"), style)  # 3.6 s, where the format has minutes
    assert dict(report.files[1].rejected) == {"time_unreadable": 2}
    with pytest.raises(IngestError, match="a date format, and no column of dates"):
        run(HEADER + OBSERVED, style)


def test_the_mapping_chooses_what_tells_the_compartment(run, style):
    header = HEADER.replace("DVID", "DVID,CMT")
    style["tables"][0]["nonmem"] = {"observed": "CMT"}
    _, cohort = run(header + f"1,1,.,.,0,0,45,1,2.0000E+00,.,.,.,{COVARIATES}\n", style)
    assert cohort.observations.variable.tolist() == [1]
    _, cohort = run(HEADER.replace("DVID", "CMT") + OBSERVED)
    assert cohort.observations.variable.tolist() == [0]


def test_decimal_commas(run, style):
    style["tables"][0] |= {"decimal": ",", "delimiter": ";"}
    text = rows("1,0,100,25,1,1,.,.,1,0.5,.", "1,2,.,.,0,0,8.5,1,.,.,.").replace(",", ";").replace(".5", ",5")
    _, cohort = run(text, style)
    assert doses(cohort) == [(0, 4, 25), (0.5, 4.5, 25)] and cohort.observations.value.tolist() == [8.5]


BAD = {
    "empty": (b"", "the file is empty, 0 records"),
    "comments only": (b"# nothing\n\n$DATA\n", "the file is empty, 0 records"),
    "header only": (HEADER, "a header without rows, 0 records"),
    "no header": (OBSERVED, "no header; at pk.csv line 1; expected names of columns, ID and"),
    "header too late": ("# x\n" * 200 + HEADER + OBSERVED, "no header"),
    "duplicate columns": (HEADER.replace("WT", "dv") + OBSERVED, "two columns have one name.*columns 7 and 12"),
    "no TIME": (HEADER.replace("TIME", "HOUR") + OBSERVED, "no column 'TIME'"),
    "no covariate": (HEADER.replace("WT", "WGT") + OBSERVED, "no column 'WT' .did you mean 'WGT'"),
    "a derived name": (HEADER.replace("RATE", "value") + OBSERVED, "a column 'value', which also is a derived one"),
    "utf-16": ((HEADER + OBSERVED).encode("utf-16"), "do not decode.*line 1.*utf-8"),
    "nul": (HEADER + OBSERVED + "1,\0", "NUL byte.*line 3"),
    "latin-1": (HEADER.encode() + OBSERVED.encode() + b"\xe4\n", "do not decode.*line 3"),
    "zip": (b"PK\x03\x04\x00\x00", "NUL byte"),
    "a line of 3 MB": (HEADER + "1" * 3_000_000, "a line is too long"),
    "nothing usable": (HEADER + "1,1\n", "no measurement accepted of 1 rows .field_count 1"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_unusable_files_get_one_line(run, tmp_path, content, message):
    with pytest.raises(IngestError, match=message) as caught:
        run(content)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2 and "8.5" not in str(caught.value)
    assert [one.name for one in tmp_path.iterdir()] == ["pk.csv"]


def test_a_pipe_is_no_table(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(IngestError, match="no regular file"):
        ingest_nonmem(tmp_path / "pipe", STYLE, tmp_path / "cohort", progress=False)


def test_doses_that_stand_for_too_many_are_refused(run, monkeypatch):
    report, _ = run(rows("1,0,9,.,1,1,.,.,10001,1,.", "1,0,9,.,1,1,.,.,1.5,1,.", "1,0,9,.,1,1,.,.,-1,1,.") + OBSERVED)
    assert dict(report.totals.rejected) == {"additional_doses": 3} and report.files[1].read == 0
    monkeypatch.setattr(nonmem_table, "MOST_ADDITIONAL", 5)
    with pytest.raises(IngestError, match="too many additional doses"):
        run(rows("1,0,9,.,1,1,.,.,6,1,.") + OBSERVED)


NOISE = ["", ".", "-1", "1e400", "1D+400", "inf", "nan", "=cmd|", '"', "9" * 400, "1,2", "ä", "24h", "1.5", "2", "NA"]


def test_changed_cells_never_break_the_account(run):
    rng = np.random.default_rng(11)
    good = rows("1,0,100,.,1,1,.,.,2,24,.", "1,2,.,.,0,0,8.5,1,.,.,.", "2,0,50,25,1,1,.,.,.,.,.").splitlines()
    lines, wanted = [], 0
    for _ in range(1500):
        cells = good[rng.integers(1, 4)].split(",")
        at = int(rng.integers(len(cells)))
        cells[at] = str(rng.choice(NOISE))
        lines.append(",".join(cells))
        wanted += 1
    report, _ = run("\n".join([good[0], OBSERVED.strip().replace("1,1", "9,1", 1), *lines]))
    assert report.files[0].read == wanted + 1


def test_the_page_shows_what_the_reader_does(run):
    page = (Path(__file__).parents[2] / "docs/ingest_nonmem.md").read_text()
    table = re.search(r"```text\n(.*?)```", page, re.DOTALL).group(1)
    report, cohort = run(table)
    assert load_mapping("nonmem_warfarin_style") == load_mapping(STYLE)
    told = re.search(r"(\d+) rows are read, (\d+) accepted, (\d+) out of scope and (\d+) rejected", page)
    account = report.files[0]
    counts = (account.read, account.accepted, account.out_of_scope, account.rejected.total())
    assert tuple(map(int, told.groups())) == counts
    assert f"{report.files[1].read} additional doses" in page and len(cohort) == 3


CELLS = {
    "TIME": ["0", "1", "1.0", "2.5D+00", "1e1", "", ".", "x", "-1", "12"], "AMT": ["100", "0", "", "1D2", "x", "50"],
    "RATE": ["", "10", "-1", "0"], "EVID": ["0", "1", "0.0", "2", "", "9", "x", "1.0000E+00"],
    "MDV": ["0", "1", ".", "0.0", "x"], "DV": ["8.5", "<2", ".", "1.2D+01", "neg", "9E400", "7"],
    "DVID": ["1", "2", "1.0", "3", ".", "2.0000E+00"], "ADDL": [".", "2", "-1"], "II": [".", "12"], "SS": [".", "1"],
    "WT": ["70", "7D1", ".", "x"], "AGE": ["50"], "SEX": ["1", "0", "2", "1.0"],
}  # fmt: skip


def table_of(rng, count, delimiter, odd):
    """Rows that are mostly usual, with ``odd`` cells among them."""
    names = HEADER.strip().split(",")
    lines = [delimiter.join(names)]
    for number in range(count):
        cells = [str(number // 9 + (0.5 if rng.random() < odd / 9 else 0))]
        for name in names[1:]:
            options = CELLS[name]
            cells.append((options[rng.integers(len(options))] if rng.random() < odd else options[0]) or ".")
        lines.append(delimiter.join(cells[: -1 if rng.random() < odd / 99 else None]))
        if rng.random() < odd / 20:
            lines.append(rng.choice(["# note", "", "TABLE NO. 1", lines[0], f'"{number}"{delimiter}1']))
        if rng.random() < odd / 200:
            lines.append(lines[-1].replace(f"{delimiter}0{delimiter}", f"{delimiter}4{delimiter}"))  # EVID 4: a reset
    return "\n".join(lines) + rng.choice(["", "\n", "\r\n"])


@pytest.mark.parametrize("delimiter", [",", "\t", " ", " ,"])
@pytest.mark.parametrize("odd", [0.0, 0.02, 0.3])
def test_many_rows_at_once_say_what_each_says_alone(run, monkeypatch, delimiter, odd):
    rng = np.random.default_rng(11)
    monkeypatch.setattr(nonmem_table, "BATCH", 40)
    text, taken = table_of(rng, 600, delimiter, odd), []
    quick = nonmem_table.PlainRows.batch
    monkeypatch.setattr(
        nonmem_table.PlainRows, "batch", lambda self, lines: taken.append(quick(self, lines)) or taken[-1]
    )
    report, cohort = run(text)
    monkeypatch.setattr(nonmem_table.PlainRows, "batch", lambda self, lines: None)
    slow, _ = run(text, name="pk.csv")
    plain = sum(one is not None for one in taken)
    assert plain == len(taken) if odd == 0 else plain > 0 or odd > 0.1
    assert report.sha256 == slow.sha256 and report.as_dict() == slow.as_dict()


def test_a_file_without_additional_doses_is_read_once(run, monkeypatch):
    calls = []
    real = nonmem_table.read_lines
    monkeypatch.setattr(nonmem_table, "read_lines", lambda *given: calls.append(1) or real(*given))
    run(rows("1,0,100,.,1,1,.,.,.,.,.", "1,1,.,.,0,0,8.5,1,.,.,."))
    assert len(calls) == 1
    run(rows("1,0,100,.,1,1,.,.,2,12,.", "1,1,.,.,0,0,8.5,1,.,.,."), name="more.csv")
    assert len(calls) == 3
