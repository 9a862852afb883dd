"""Observation heads: records, cells, quantiles, and what a schema makes of their declaration."""

import json
import math

import numpy as np
import pytest
from head_cases import SCHEMA, make_cohort
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student

from neurotwin.cohort import Cohort
from neurotwin.errors import CohortError, SchemaError
from neurotwin.heads import Head, standard_quantile
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema, Variable

HEADS = {variable.name: variable.recorded_as for variable in SCHEMA.variables}
RECORDED = [name for name, head in HEADS.items() if not head.is_exact]
X = {"name": "x", "unit": "1"}


@pytest.mark.parametrize("name", RECORDED)
@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=20))
def test_records_rise_with_the_latent_value_and_stay_in_the_support(name, latent):
    head, latent = HEADS[name], np.sort(np.array(latent))
    record = head.recorded(latent)
    assert (np.diff(record) >= 0).all() and (record >= head.low).all() and (record <= head.high).all()
    np.testing.assert_array_equal(head.recorded(record), record)
    assert head.on_grid(record).all()


@pytest.mark.parametrize("name", RECORDED)
@given(st.floats(-20, 50))
def test_a_latent_value_lies_in_the_cell_of_its_record(name, latent):
    head = HEADS[name]
    value = head.inverse(np.array([min(latent, 6.0)]))
    low, high = head.cell(head.recorded(value))
    assert low <= head.forward(value) + 1e-9 and head.forward(value) <= high + 1e-9


@pytest.mark.parametrize("name", RECORDED)
def test_cells_of_neighbouring_records_meet(name):
    head = HEADS[name]
    if not head.step:
        return
    values = head.low + head.step * np.arange(round((min(head.high, 40) - head.low) / head.step) + 1)
    low, high = head.cell(values)
    np.testing.assert_allclose(high[:-1], low[1:], atol=1e-12)
    assert low[0] == -np.inf and (high[-1] == np.inf) == math.isfinite(head.high)
    n_edges = min(len(head.edges), len(values) - 1)
    np.testing.assert_allclose(head.edges[:n_edges], high[:n_edges], atol=1e-12)


def test_the_logit_and_back():
    head, value = HEADS["fraction"], np.array([1e-3, 0.3, 0.999])
    np.testing.assert_allclose(head.inverse(head.forward(value)), value, rtol=1e-12)
    assert (np.abs(head.inverse(np.array([-800.0, 800.0])) - [0, 1]) < 1e-12).all()


@pytest.mark.parametrize("degrees", [2.5, 5, 40])
def test_quantiles_of_a_student_t_of_variance_one(degrees):
    for level in (0.025, 0.1, 0.5, 0.9, 0.975):
        expected = student.ppf(level, degrees) * math.sqrt((degrees - 2) / degrees)
        assert standard_quantile(level, degrees) == pytest.approx(expected, abs=1e-6)


def test_heads_through_json_and_back():
    content = json.loads(json.dumps(SCHEMA.model_dump(mode="json")))
    assert Schema.parse(content) == SCHEMA
    assert [Head.of(one) for one in content["variables"]] == list(HEADS.values())


def test_a_variable_without_a_head_is_told_as_before_there_were_any():
    told = Variable(**X, transform="log", plausible=(0, 9)).model_dump(mode="json")
    assert set(told) == {"name", "unit", "code", "plausible", "transform", "offset", "source"}
    assert Head.of(told) == Head(transform="log")


def test_a_head_implies_its_support_and_the_plausible_range():
    sign, count = Variable(**X, head="bernoulli"), Variable(**X, head="count")
    assert sign.support == sign.plausible == (0, 1) and sign.step == 1
    assert (count.transform, count.offset, count.support) == ("log", 1, (0, math.inf))
    assert Variable(**X, head="student_t").degrees_of_freedom == 5


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"head": "bernoulli", "support": (0, 2)}, "bernoulli has support"),
        ({"head": "bernoulli", "step": 0.5}, "bernoulli has support"),
        ({"head": "bernoulli", "transform": "log", "offset": 1}, "bernoulli has support"),
        ({"head": "ordinal"}, "needs a support"),
        ({"head": "ordinal", "support": (0, 1), "step": 0.3}, "whole steps"),
        ({"head": "ordinal", "support": (0, 1000)}, "whole steps"),
        ({"head": "ordinal", "support": (0, 3), "step": -1}, "step above 0"),
        ({"head": "bounded"}, "needs a support"),
        ({"head": "bounded", "support": (0, 3), "step": 1}, "no step"),
        ({"head": "bounded", "support": (0, 3), "plausible": (-1, 2)}, "inside its support"),
        ({"head": "bounded", "support": (0, 3), "transform": "log"}, "must start above 0"),
        ({"head": "count", "transform": "identity"}, "count has support"),
        ({"head": "count", "offset": 0}, "must start above 0"),
        ({"head": "student_t", "degrees_of_freedom": 2}, "above 2"),
        ({"degrees_of_freedom": 4}, "belong to a student_t"),
        ({"support": (0, 1)}, "perhaps bounded"),
        ({"step": 1}, "perhaps bounded"),
        ({"transform": "logit"}, "finite support"),
        ({"transform": "logit", "support": (0, 1)}, "inside its support"),
        ({"head": "bounded", "support": (float("nan"), 1)}, "variables.0"),
        ({"head": "poisson"}, "head"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(more, fault):
    with pytest.raises(SchemaError, match=fault):
        Schema.parse({"name": "toy", "time_unit": "d", "variables": [{**X, **more}]})


def test_values_that_a_head_does_not_record_are_refused_before_training():
    cohort = make_cohort(20)
    Scaling.fit(cohort)
    seen = cohort.observations
    stage = [variable.name for variable in SCHEMA.variables].index("stage")
    seen.value[np.flatnonzero(seen.variable == stage)[0]] = 2.5
    assert isinstance(cohort, Cohort)
    with pytest.raises(CohortError, match="1 of .* values of stage"):
        Scaling.fit(cohort)
