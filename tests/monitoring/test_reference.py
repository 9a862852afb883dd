"""The reference: aggregates that give no patient away, and hold against bad files."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_bundles import make_cohort

from neurotwin.bundle import Bundle
from neurotwin.errors import BundleError
from neurotwin.monitoring.features import Feature, Table, input_features
from neurotwin.monitoring.reference import FEWEST, FILE, Marginal, Reference

NUMBER = Feature("x", "values", "x")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.floats(-1e6, 1e6), st.sampled_from([0.0, 1.0, 2.0])), min_size=20, max_size=300),
)
def test_no_cell_holds_a_few_patients_and_no_edge_is_the_value_of_a_few(values):
    known = np.array(values)
    found = Marginal.of(NUMBER, known)
    if found is None:
        return
    assert ((found.counts == 0) | (found.counts >= FEWEST)).all()
    assert (np.diff(found.edges) > 0).all() and len(found.counts) == len(found.edges) + 1
    alike = [(known == edge).sum() for edge in found.edges]
    assert all(count == 0 or count >= FEWEST for count in alike)  # a value that stands in the file is that of many


def test_what_nobody_had_is_seen_though_all_were_alike():
    found = Marginal.of(NUMBER, np.ones(100))
    assert found.count(np.array([1.0, 0.5, 2.0, np.nan])).tolist() == [1, 1, 1]
    assert found.counts.tolist() == [0, 100, 0]


def test_rare_levels_are_told_as_none_or_ten():
    sex = Feature("sex", "covariates", "sex", ("f", "m", "x"))
    found = Marginal.of(sex, np.repeat([0.0, 1.0, 2.0], [60, 7, 3]))
    assert found.counts.tolist() == [60, 10, 0]
    assert Marginal.of(sex, np.zeros(10)) is None


def test_features_are_one_number_a_patient():
    cohort = make_cohort(50)
    table = input_features(cohort)
    column = {feature.name: table.values[:, k] for k, feature in enumerate(table.features)}
    mine = (cohort.observations.subject == 3) & (cohort.observations.variable == 0)
    values = np.log(cohort.observations.value[mine])
    assert column["volume.level"][3] == pytest.approx(values.mean())
    assert column["volume.spread"][3] == pytest.approx(values.std(ddof=1))
    assert column["visits.number"][3] == 9 and column["visits.follow_up"][3] == 200
    assert (column["volume.measured"] == 1).all() and set(column["sex.value"]) == {0, 1}
    given = np.bincount(cohort.doses.subject[cohort.doses.treatment == 0], minlength=50)
    assert (column["chemo.given"] == (given > 0)).all()
    assert np.isnan(column["chemo.amount"][given == 0]).all()


def test_the_file_comes_back_as_it_was(reference):
    back = Reference.from_dict(json.loads(reference.to_json()))
    assert back.to_json() == reference.to_json()
    assert back.marginals["volume.error"].n > 100
    assert len(reference.to_json()) < 40_000


def test_a_bundle_carries_it(gru_bundle, reference, copy_of, rehash):
    folder = copy_of(gru_bundle)
    (folder / FILE).write_text(reference.to_json())
    rehash(folder)
    assert Reference.of_bundle(Bundle.load(folder)).to_json() == reference.to_json()
    for spoilt in (
        "{}",
        "[]",
        reference.to_json().replace('"counts": [', '"counts": [-1,', 1),
        '{"schema_version": 9}',
    ):
        (folder / FILE).write_text(spoilt)
        rehash(folder)
        with pytest.raises(BundleError, match=FILE):
            Reference.of_bundle(Bundle.load(folder))


def test_tables_of_the_same_patients_stand_side_by_side():
    one = Table.of([(NUMBER, np.arange(3.0))])
    both = one.beside(Table.of([(Feature("y", "values", "y"), np.zeros(3))])).take(np.array([2, 0]))
    assert both.values.tolist() == [[2, 0], [0, 0]] and len(both) == 2
