"""The picture of a cohort."""

from dataclasses import replace

import numpy as np
import pytest
from simulator_cases import configured

from neurotwin.simulators.population import Published
from neurotwin.simulators.simulate import simulate
from neurotwin.simulators.summary_plot import draw_summary

GENG = simulate(
    configured("simulator", "geng_nsclc"),
    Published(),
    configured("protocol", "daily_confounded"),
    n_subjects=60,
    seed=1,
)
VANCOMYCIN = simulate(
    configured("simulator", "vancomycin"), Published(), configured("protocol", "vancomycin_q12h"), n_subjects=5, seed=1
)


def drawn(cohort, path, **more):
    draw_summary(cohort, path, **more)
    return path.read_text()


@pytest.mark.parametrize("cohort", [GENG, VANCOMYCIN], ids=["many", "few"])
def test_the_picture_names_every_variable_and_every_treatment_given(cohort, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        text = drawn(cohort, tmp_path / "a.svg", title="the title")
    for item in (*cohort.schema.variables, *cohort.schema.treatments):
        assert f"{item.name} [{item.unit}" in text
    assert "the title" in text


def test_the_picture_is_the_same_each_time_and_follows_the_data(tmp_path):
    pytest.importorskip("matplotlib")
    first, again = drawn(GENG, tmp_path / "a.svg"), drawn(GENG, tmp_path / "b.svg")
    doubled = replace(GENG, observations=replace(GENG.observations, value=2 * GENG.observations.value))
    assert first == again and first != drawn(doubled, tmp_path / "c.svg")


def test_a_cohort_without_doses_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    bare = replace(GENG, doses=GENG.doses.take(np.zeros(len(GENG.doses), dtype=bool)))
    draw_summary(bare, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
