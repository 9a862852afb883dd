"""What a cohort holds, and whether it is sound: every check is shown able to fail."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from toys import toy_cohort

from neurotwin.cohort import write_manifest, write_shard
from neurotwin.errors import CohortError
from neurotwin.inventory import describe, validate
from neurotwin.verbs.cohort import print_checks, print_description


@pytest.fixture(scope="module")
def cohort():
    return toy_cohort(40)


def saved(cohort, folder):
    """Written as it is, without the checks of `Cohort.build`."""
    write_manifest(folder, cohort.schema, [write_shard(folder, 0, cohort)], cohort.provenance)
    return folder


def test_the_description_counts_what_is_there(cohort):
    told = describe(cohort)
    seen = cohort.observations
    assert told["subjects"] == 40 and sum(told["subjects_per_fold"]) == 40
    assert told["observations"] == len(seen) and told["doses"] == len(cohort.doses)
    for index, item in enumerate(told["variables"]):
        own = seen.value[seen.variable == index]
        assert item["observations"] == len(own)
        assert item["value"] == pytest.approx(np.quantile(own, (0.05, 0.5, 0.95)), rel=1e-3)
    assert json.loads(json.dumps(told)) == told


def test_no_quantiles_of_a_few_subjects(cohort):
    told = describe(cohort.take(np.arange(9)))
    assert told["last_time"] is None and all(item["value"] is None for item in told["variables"])
    assert all(item["amount"] is None for item in told["treatments"])


def test_a_sound_cohort_passes_every_check(cohort, tmp_path):
    cohort.save(tmp_path / "a")
    findings = validate(tmp_path / "a")
    assert len(findings) > 10 and all(item.holds for item in findings), findings


def first(column, value):
    out = np.array(column)
    out[0] = value
    return out


@pytest.mark.parametrize(
    ("name", "table", "change"),
    [
        ("folds are 0 to 4", None, {"fold": 9}),
        ("observations name a subject", "observations", {"variable": 99}),
        ("observations name a subject", "observations", {"subject": -1}),
        ("observations are finite", "observations", {"value": np.nan}),
        ("observations are finite", "observations", {"time": np.inf}),
        ("observations are sorted", "observations", {"time": 1e9}),
        ("censoring is", "observations", {"censor": 3}),
        ("doses name a subject", "doses", {"treatment": 99}),
        ("doses are finite", "doses", {"amount": np.nan}),
        ("doses are sorted", "doses", {"time": 1e9}),
        ("periods end after", "doses", {"end": -1e9}),
    ],
)
def test_each_fault_is_found_by_its_check(cohort, tmp_path, name, table, change):
    if table is None:
        bad = replace(cohort, **{key: first(getattr(cohort, key), value) for key, value in change.items()})
    else:
        rows = getattr(cohort, table)
        bad = replace(
            cohort, **{table: replace(rows, **{key: first(getattr(rows, key), v) for key, v in change.items()})}
        )
    failed = [item.name for item in validate(saved(bad, tmp_path)) if not item.holds]
    assert any(item.startswith(name) for item in failed), failed


def test_values_out_of_range_and_repeated_ids_are_counted(cohort, tmp_path):
    limits = cohort.schema.variables[0].model_copy(update={"plausible": (1e6, 1e7)})
    schema = cohort.schema.model_copy(update={"variables": (limits, *cohort.schema.variables[1:])})
    bad = replace(cohort, schema=schema, ids=first(cohort.ids, cohort.ids[1]))
    failed = {item.name: item.detail for item in validate(saved(bad, tmp_path)) if not item.holds}
    assert failed["subject ids are distinct"] == "1 of 40 are not"
    assert any(limits.name in name for name in failed)


def test_files_that_were_changed_are_found(cohort, tmp_path):
    cohort.save(tmp_path / "a")
    path = next((tmp_path / "a").rglob("doses.parquet"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (finding,) = validate(tmp_path / "a")
    assert not finding.holds and "does not match its hash" in finding.detail
    manifest = tmp_path / "a" / "cohort.json"
    path.write_bytes(pq.read_table(next((tmp_path / "a").rglob("subjects.parquet"))).to_pandas().to_csv().encode())
    assert not validate(tmp_path / "a")[0].holds
    cohort.save(tmp_path / "b")
    manifest = tmp_path / "b" / "cohort.json"
    told = json.loads(manifest.read_text()) | {"sha256": "0" * 64}
    manifest.write_text(json.dumps(told))
    assert "own hash" in validate(tmp_path / "b")[0].detail
    with pytest.raises(CohortError, match="no cohort"):
        validate(tmp_path)


def test_the_verbs_print_tables_and_json(cohort, tmp_path, capsys):
    cohort.save(tmp_path / "a")
    print_description(tmp_path / "a")
    text = capsys.readouterr().out
    assert all(item.name in text for item in (*cohort.schema.variables, *cohort.schema.treatments))
    print_description(tmp_path / "a", as_json=True)
    assert json.loads(capsys.readouterr().out)["subjects"] == 40
    print_checks(tmp_path / "a")
    assert "fails" not in capsys.readouterr().out
    bad = saved(replace(cohort, fold=first(cohort.fold, 9)), tmp_path / "b")
    with pytest.raises(CohortError, match="1 of .* checks fail"):
        print_checks(bad, as_json=True)
    assert any(not item["holds"] for item in json.loads(capsys.readouterr().out))
