"""Temozolomide and PCV in one patient: under one drug alone it is the published model of that drug."""

import numpy as np
import pytest
from scipy import stats
from simulator_cases import configured, states_at

from neurotwin.events import Doses
from neurotwin.simulators.glioma_tmz_pcv import GliomaTmzPcv
from neurotwin.simulators.mazzocco_glioma import BETWEEN_SUBJECTS, MazzoccoGlioma
from neurotwin.simulators.population import Proposed
from neurotwin.simulators.ribba_glioma import RibbaGlioma
from neurotwin.simulators.simulate import simulate

TIMES = [0.0, 5.0, 12.0, 24.0, 48.0]
NATURAL = (
    "growth_rate", "carrying_capacity", "quiescence_rate", "repair_rate", "death_rate", "initial_proliferative",
    "initial_quiescent",
)  # fmt: skip


def doses(treatment):
    return Doses.of(np.zeros(6), 6.0 + np.arange(6.0), treatment=np.full(6, treatment), amount=1.0)


def diameter(model, given):
    states, solution = states_at(model, TIMES, given, method="dop853")
    assert not solution.status.any()
    return np.asarray(model.observe(states[0]))[:, 0]


@pytest.mark.parametrize("drug", ["temozolomide", "pcv"])
def test_under_one_drug_it_is_the_published_model(drug):
    theirs = MazzoccoGlioma() if drug == "temozolomide" else RibbaGlioma()
    ours = GliomaTmzPcv(**{name: getattr(theirs, name) for name in NATURAL})
    assert ours.pcv_efficacy == RibbaGlioma().drug_efficacy
    place = [item.name for item in ours.treatments].index(drug)
    found, expected = diameter(ours, doses(place)), diameter(theirs, doses(0))
    assert found == pytest.approx(expected, rel=1e-8)
    assert diameter(ours, doses(1 - place))[-1] != pytest.approx(expected[-1], rel=1e-3)


def test_population():
    people = GliomaTmzPcv().proposed_population(20_000, np.random.default_rng(1))
    assert people.parameters["pcv_efficacy"] / 0.729 == pytest.approx(
        people.parameters["temozolomide_efficacy"] / np.where(people.statics[:, 0] == 1, 0.143, 0.254)
    )
    eta = np.log(people.parameters["growth_rate"] / 0.143)
    assert stats.kstest(eta / np.sqrt(np.log1p(BETWEEN_SUBJECTS["growth_rate"] ** 2)), "norm").pvalue > 1e-3
    assert np.bincount(people.statics[:, 0].astype(int)) / 20_000 == pytest.approx([0.26, 0.41, 0.33], abs=0.015)


def test_the_protocol_gives_either_drug_both_and_none():
    protocol = configured("protocol", "tmz_or_pcv_randomised")
    cohort = simulate(GliomaTmzPcv(), Proposed(), protocol, n_subjects=60, seed=1)
    given = [set(cohort.doses.treatment[cohort.doses.subject == one].tolist()) for one in range(60)]
    assert {frozenset(one) for one in given} == {frozenset(), frozenset({0}), frozenset({1}), frozenset({0, 1})}
