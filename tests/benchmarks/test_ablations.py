"""The ablations change what they say they change, and their page is that of their results."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from toys import toy_cohort

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks" / "ablations"))
sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks" / "real"))
from ablation_parts import heads, page, permuted
from real_patients.tasks import Task

TASK = Task("toy", Path("nowhere"), "size", 3.0)


def test_permuting_leaves_pasts_and_gives_away_what_follows():
    cohort = toy_cohort(20)
    altered = permuted.permuted(cohort, TASK, 0)
    old, new = cohort.observations, altered.observations
    past = old.time <= TASK.cut
    assert np.array_equal(old.value[past], new.value[past]) and np.array_equal(old.time, new.time)
    for number in (0, 1):
        later = ~past & (old.variable == number)
        assert np.array_equal(np.sort(old.value[later]), np.sort(new.value[later]))
        assert (old.value[later] != new.value[later]).mean() > 0.5


def test_a_head_is_changed_for_one_variable_alone():
    cohort = heads.with_head(toy_cohort(4), "size", heads.HEADS["student_t"])
    size, level = cohort.schema.variables
    assert (size.head, size.degrees_of_freedom, level.head) == ("student_t", 5.0, "gaussian")
    assert heads.with_head(cohort, "size", heads.HEADS["gaussian"]).schema == cohort.schema


def test_a_skill_where_none_can_be_is_told():
    rows = [{"part": "permutation", "variant": "permuted", "skill": 0.2}]
    assert page.goals(rows)[0]["cause"] == "look for a leak"
    assert page.goals([])[0]["cause"] == "not run" and page.goals([])[0]["measured"] is None


def test_the_page_is_made_from_the_results(tmp_path, monkeypatch):
    shutil.copy(page.PAGE, tmp_path / "README.md")
    monkeypatch.setattr(page, "PAGE", tmp_path / "README.md")
    page.write_page()
    assert (tmp_path / "README.md").read_text() == (page.HERE / "README.md").read_text()
    results = json.loads(page.RESULTS.read_text())
    assert results["goals"] == page.goals(results["rows"])
