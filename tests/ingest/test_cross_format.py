"""The same patients in four formats give the same measurements, to the last bit, and the same doses."""

import os
from pathlib import Path

import pytest

from neurotwin.cohort import Cohort
from neurotwin.ingest.csv import ingest_csv
from neurotwin.ingest.fhir import ingest_fhir
from neurotwin.ingest.mapping_file import load_mapping
from neurotwin.ingest.meds import ingest_meds
from neurotwin.ingest.omop import ingest_omop

SAMPLES = Path(os.environ.get("NEUROTWIN_SAMPLES", Path(__file__).resolve().parents[3] / "shared/data"))
PILOT = SAMPLES / "cross_format_pilot"
FORMATS = {
    "csv": (ingest_csv, "csv"),
    "fhir": (ingest_fhir, "fhir_ndjson"),
    "omop": (ingest_omop, "omop_cdm54_csv"),
    "meds": (ingest_meds, "meds"),
}
OTHERS = ("fhir", "omop", "meds")


@pytest.fixture(scope="module")
def pilot(tmp_path_factory):
    """The cohort and the report of a format, each read once."""
    if not PILOT.is_dir():
        pytest.skip("the sample cross_format_pilot is not here")
    pytest.importorskip("meds", reason="the extra ehr is not installed")
    pytest.importorskip("fhir.resources", reason="the extra ehr is not installed")
    known = {}

    def read(name):
        if name not in known:
            (ingest, folder), output = FORMATS[name], tmp_path_factory.mktemp(name) / "cohort"
            report = ingest(PILOT / folder, f"cross_format_{name}", output, progress=False)
            known[name] = Cohort.load(output, verify=True), report
        return known[name]

    return read


def ids_of(cohort):
    """Numbers of the patients; FHIR writes p1 for 1, because an id of a resource is a name there: subject_prefix."""
    return cohort.ids.tolist()


def trajectories(cohort):
    """(subject, days, variable, value, censoring, after the dose) of each measurement."""
    ids, names, seen = ids_of(cohort), [one.name for one in cohort.schema.variables], cohort.observations
    columns = seen.subject, seen.time, seen.variable, seen.value, seen.censor, seen.post_dose
    return sorted((ids[s], t, names[v], x, c, p) for s, t, v, x, c, p in zip(*map(list, columns), strict=True))


def periods(cohort):
    """(subject, start, end, treatment, mg/d) of each dose."""
    ids, names, doses = ids_of(cohort), [one.name for one in cohort.schema.treatments], cohort.doses
    columns = doses.subject, doses.time, doses.end, doses.treatment, doses.amount
    return sorted((ids[s], t, e, names[k], a) for s, t, e, k, a in zip(*map(list, columns), strict=True))


def starts(cohort):
    return [(one, start, name, amount) for one, start, _, name, amount in periods(cohort)]


@pytest.mark.parametrize("name", FORMATS)
def test_no_row_is_lost(name, pilot):
    cohort, report = pilot(name)
    found = report.items.totals["measurements"]
    assert report.balanced and not report.totals.rejected and len(cohort) == 36
    assert (found.accepted, found.merged) == (4401, 523)  # three pressures of a visit are often the same
    assert len(cohort.observations) == 4401 and len(cohort.doses) == 57  # of 82, 25 are placebo


@pytest.mark.parametrize("name", OTHERS)
def test_measurements_are_the_same(name, pilot):
    expected, found = trajectories(pilot("csv")[0]), trajectories(pilot(name)[0])
    assert found == expected and len(found) == 4401 and len({one[:1] + one[2:3] for one in found}) == 36 * 9


@pytest.mark.parametrize("name", ["fhir", "omop"])
def test_dose_periods_are_the_same(name, pilot):
    assert periods(pilot(name)[0]) == periods(pilot("csv")[0])


def test_meds_tells_the_same_starts_of_doses(pilot):
    """MEDS has no end of a dose: there each lasts until the next one."""
    assert starts(pilot("meds")[0]) == starts(pilot("csv")[0])


@pytest.mark.parametrize("name", ["fhir", "omop"])
def test_statics_are_the_same(name, pilot):
    values = [dict(zip(ids_of(pilot(one)[0]), pilot(one)[0].statics[:, 0], strict=True)) for one in ("csv", name)]
    assert values[0] == values[1]


@pytest.mark.parametrize("name", OTHERS)
def test_patients_are_in_the_same_fold(name, pilot):
    folds = [dict(zip(ids_of(pilot(one)[0]), pilot(one)[0].fold, strict=True)) for one in ("csv", name)]
    assert folds[0] == folds[1] and set(folds[0].values()) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("name", OTHERS)
def test_mappings_say_the_same(name):
    ours, csv = load_mapping(f"cross_format_{name}"), load_mapping("cross_format_csv")
    for part in ("variables", "treatments", "time_unit", "index", "split_key", "pseudonymise", "replicates"):
        assert getattr(ours, part) == getattr(csv, part), part
    assert ours.not_after == csv.not_after and ours.name == f"cross_format_{name}"


def test_a_value_that_differs_is_noticed(pilot, tmp_path):
    """The comparisons can fail."""
    (tmp_path / "csv").mkdir()
    for path in (PILOT / "csv").iterdir():
        text = path.read_text()
        (tmp_path / "csv" / path.name).write_text(text.replace(",57.0,", ",57.000001,", 1).replace(",54,", ",55,", 1))
    ingest_csv(tmp_path / "csv", "cross_format_csv", tmp_path / "cohort", progress=False)
    other, cohort = Cohort.load(tmp_path / "cohort"), pilot("csv")[0]
    assert trajectories(other) != trajectories(cohort) and starts(other) != starts(cohort)
