"""Bad files in every format: each is refused in one line, or all its rows are accounted for and none is guessed at."""

import json
import math
import random
import shutil

import pytest
from corpus import CANARY, GOOD, MASS, NUMBER, Row
from corpus_faults import IDS, row_faults, sampled
from corpus_files import BYTES, PLACES, SPOILT, archives, file_faults, parquet_faults, source_of
from corpus_formats import ALL, TEXT, formats

from neurotwin.cohort import Cohort
from neurotwin.errors import NeurotwinError
from neurotwin.ingest.accounting import KINDS
from neurotwin.units import conversion

pytest.importorskip("meds", reason="the extra ehr is not installed")
pytest.importorskip("fhir.resources", reason="the extra ehr is not installed")


@pytest.fixture
def run(tmp_path, capfd):
    """Ingests a source of a format: the cohort and its report, or None where the source was refused as it should be."""

    def ingest(form, source, mapping=None):
        output = tmp_path / "out" / "cohort"
        shutil.rmtree(output, ignore_errors=True)
        try:
            form.ingest(source, output, mapping)
        except NeurotwinError as error:
            said = str(error)
            assert (
                "report this as a bug" not in said and "\n" not in said and len(said) < 600 and error.exit_code == 2
            ), said
            assert CANARY not in said and not any(one for one in output.parent.glob("*"))
            return None
        finally:
            assert CANARY not in "".join(capfd.readouterr())
        return Cohort.load(output, verify=True), account_of(output)

    return ingest


def account_of(output):
    """The report as it lies on the disk, found to be balanced and to tell nothing of the source."""
    texts = [one.read_text() for one in output.iterdir() if one.suffix in (".json", ".html") and "report" in one.name]
    assert len(texts) == 2 and not any(CANARY in one for one in texts)
    report = json.loads((output / "ingest_report.json").read_text())
    items = [one for kind in KINDS for one in (report[kind], *report[kind]["by_name"].values())]
    for one in (*report["files"], report["totals"], *items):
        counted = one["accepted"] + one["merged"] + one["out_of_scope"] + sum(one["rejected"].values())
        assert one["read"] == counted and min(one["read"], one["accepted"], one["merged"], one["out_of_scope"]) >= 0
    for key in ("read", "accepted", "merged", "out_of_scope"):
        assert report["totals"][key] == sum(one[key] for one in report["files"])
    return report


def seen(cohort):
    """(subject, value, censoring) of each measurement."""
    found = cohort.observations
    return [
        (str(cohort.ids[s]), float(x), int(c)) for s, x, c in zip(found.subject, found.value, found.censor, strict=True)
    ]


FAULTS = row_faults()


@pytest.mark.parametrize(("name", "fault"), sampled(FAULTS))
def test_a_fault_in_a_row_spoils_that_row_only(name, fault, tmp_path, run):
    form = formats()[name]
    result = run(form, form.write(tmp_path, [GOOD, *fault.rows]))
    if result is None:
        assert any(map(form.refuses, fault.rows))
        return
    cohort, report = result
    kept = fault.kept_in(name)
    wanted = [(GOOD.subject, 101.0, 0)] + ([(fault.rows[0].subject, *kept)] if kept else [])
    assert seen(cohort) == [(one, pytest.approx(value), censor) for one, value, censor in wanted]
    assert report["totals"]["read"] == 1 + len(fault.rows)


@pytest.mark.parametrize(("name", "text"), sampled([(n, f"id {k}", t) for k, t in enumerate(IDS) for n in ALL]))
def test_an_id_stays_what_it_is(name, text, tmp_path, run):
    form = formats()[name]
    cohort, _ = run(form, form.write(tmp_path, [GOOD, Row(subject=text)]))
    assert set(map(str, cohort.ids)) <= {GOOD.subject, text.strip()} and (GOOD.subject, 101, 0) in seen(cohort)


BAD = file_faults()


@pytest.mark.parametrize(("name", "kind"), sampled(BAD))
def test_bytes_that_are_wrong(name, kind, tmp_path, run):
    form = formats()[name]
    good = source_of(tmp_path, form).read_bytes()
    result = run(form, source_of(tmp_path, form, BYTES[kind](good)))
    if result is not None:
        whole = {(GOOD.subject, 101), (Row().subject, 90), (Row().subject, 95)}
        whole -= {(Row().subject, 90)} if kind in SPOILT and name != "fhir" else set()
        assert {(one, value) for one, value, _ in seen(result[0])} <= whole


@pytest.mark.parametrize(("name", "place"), sampled([(n, p.__name__, p) for p in PLACES for n in ALL]))
def test_places_that_are_no_files(name, place, tmp_path, run):
    form = formats()[name]
    plan = form.plan()
    if name in ("csv", "nonmem"):
        plan["tables"][0]["file"] = f"{form.file}{form.suffix}"
    assert run(form, place(tmp_path, form), plan) is None


@pytest.mark.parametrize(("name", "make"), archives(), ids=lambda one: getattr(one, "__name__", one))
def test_archives_that_mean_harm(name, make, tmp_path, run):
    form = formats()[name]
    assert run(form, make(tmp_path, form)) is None


@pytest.mark.parametrize("name", ["omop parquet", "meds"])
@pytest.mark.parametrize("kind", parquet_faults())
def test_parquet_of_another_shape(name, kind, tmp_path, run):
    import pyarrow.parquet as pq

    form = formats()[name]
    path = source_of(tmp_path, form)
    pq.write_table(parquet_faults()[kind](pq.read_table(path)), path)
    result = run(form, path)
    if result is not None:
        assert {value for _, value, _ in seen(result[0])} == {101, 90, 95}


@pytest.mark.parametrize("name", ["omop parquet", "meds"])
@pytest.mark.parametrize("part", [0, 3, 8, 50, -1, -4, -8, -50, 0.5, 0.9])
def test_parquet_cut_short(name, part, tmp_path, run):
    form = formats()[name]
    path = source_of(tmp_path, form)
    whole = path.read_bytes()
    assert run(form, source_of(tmp_path, form, whole[: int(part * len(whole)) if 0 < abs(part) < 1 else part])) is None


NASTY = (
    "", " ", "NA", ".", "-1", "1e400", "inf", "nan", "--", "neg", "<0.5", ">500", "<= 5", "5,6", "1,200", '"', "'",
    "=1+1", "\x1b", "é", "mg%", "ML", "mL", "L", "kg", "mmol/L", "umol/L", "mg/dL", "g/L", "{x}", "1/", "0", "-0",
    "1E5", "9" * 30, "2024-01-01", "2024-01-02 11:00:00", "03/01/2024", "\u2028", "\x85", "\x0b", "\ufeff",
    "a" * 300, CANARY, "GLU", "CREA", "VOL", "007", "9007199254740993", "90", "1.5", "12", "||", "//", "#", "C",
    "@", "\\", "\t", "null", "true", "concept:1",
)  # fmt: skip
"""What replaces a cell, whatever the cell is."""
ODD = ("\n", "\r", "\0", "a\nb")
"""What makes a whole file unreadable in some formats, hence rarer."""


SOUND = (
    ("GLU", "90", "mg/dL"), ("GLU", "5.1", "mmol/L"), ("GLU", "0.95", "g/L"), ("GLU", ">500", "mg/dL"),
    ("CREA", "<0.5", "mg/dL"), ("CREA", "88", "umol/L"), ("VOL", "1200", "mL"), ("VOL", "1.5", "L"),
)  # fmt: skip


def mutated(form, rng):
    """A sound row with none to two of its cells replaced."""
    code, value, unit = rng.choice(SOUND)
    time = f"2024-01-{rng.randint(2, 28):02d} {rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:00"
    row = Row(rng.choice(["007", "b", f"{CANARY}-2"]), time, code, value, unit)
    for name in rng.choices(
        ("subject", "time", "code", "value", "value", "unit", "unit"), k=rng.choice((0, 1, 1, 1, 2))
    ):
        text = rng.choice(ODD if rng.random() < 0.003 else NASTY)
        if rng.random() < 0.2:
            text = "".join(chr(rng.choice((rng.randint(32, 126), rng.randint(160, 0xD7FF)))) for _ in range(3))
        if name == "time" and not form.free_times:
            text = ""
        row = row.but(**{name: text})
    return row


def meanings(form, row):
    """(subject, value) that a row may have by what it declares, told without the reader; nothing where it has none."""
    found, code = NUMBER.fullmatch(row.value.strip()), row.code.strip()
    code = {number: one for one, number in form.codes().items()}.get(code, code) if not form.units else code
    if found is None or code not in MASS:
        return
    target = "mL" if code == "VOL" else "mg/dL"
    try:
        factor = conversion(row.unit.strip(), target, MASS[code]).factor if form.units else 1.0
    except NeurotwinError:
        return
    yield row.subject.strip(), float(found[2].lower().replace("d", "e")) * factor


@pytest.mark.parametrize("rows", [300, pytest.param(24_000, marks=pytest.mark.full)])
@pytest.mark.parametrize("name", ALL)
def test_mutated_rows(name, rows, tmp_path, run):
    """Batches of rows, each with its faults: all are counted, and every value is one that its row declared."""
    form, rng, files, taken = formats()[name], random.Random(f"{name} {rows}"), rows // len(ALL) // 50, 0
    for _ in range(files):
        batch = [GOOD, *(mutated(form, rng) for _ in range(50))]
        result = run(form, form.write(tmp_path, batch))
        if result is None:
            assert any(map(form.refuses, batch))
            continue
        cohort, report = result
        broken = sum(map(form.refuses, batch))  # a line end in a cell makes two rows of one where quotes do not hold it
        assert len(batch) <= report["totals"]["read"] <= len(batch) + 2 * broken
        known = {pair for row in batch for pair in meanings(form, row)}
        for subject, value, _ in seen(cohort):
            if not any(one == subject and math.isclose(value, number, rel_tol=1e-9) for one, number in known):
                pytest.fail(f"{value} of one subject stands in no row")
            taken += 1
    assert taken > 5 * files  # beside the good rows; and most files were not refused


def test_the_oracle_can_fail():
    form = formats()["csv"]
    assert list(meanings(form, Row(value="5", unit="mmol/L"))) == [(Row().subject, pytest.approx(90.078))]
    assert not list(meanings(form, Row(value="5", unit=""))) and not list(meanings(form, Row(value="5,6")))


def test_there_are_enough_of_them():
    quick = [one for cases in (FAULTS, BAD) for one in sampled(cases) if not one.marks]
    assert len(quick) >= 300 and {name for name, _, _ in FAULTS} == set(ALL) and {name for name, _ in BAD} == set(TEXT)
