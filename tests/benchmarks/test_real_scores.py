"""Intervals, scores and goals of the benchmark on real patients, on numbers that are known."""

import sys
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks" / "real"))
from real_patients.intervals import Rows, Scaled, constant_half_width, third_of, thirds
from real_patients.results import MAIN, goals
from real_patients.scores import Answered, difference, interval_score, row_of
from real_patients.together import train_together
from toys import toy_cohort

from neurotwin.data import random_batch
from neurotwin.models import NeuralOde
from neurotwin.scaling import Scaling
from neurotwin.solvers import Midpoint
from neurotwin.training.loss import JointGaussian


def uneven(n, seed):
    """Errors that grow with horizon and level, which the model's own width does not say."""
    rng = np.random.default_rng(seed)
    horizon, level = rng.uniform(0, 3, 4 * n), np.repeat(rng.uniform(0, 3, n), 4)
    truth = rng.normal(0, 1 + horizon + level)
    said = np.tile([-1.0, 0.0, 1.0], (4 * n, 1))
    return Rows(said, horizon, level, np.repeat(np.arange(n), 4)), truth


def test_scaled_intervals_cover_each_third_of_new_patients():
    fitted = Scaled.fit(*uneven(1500, 0))
    rows, truth = uneven(1500, 1)
    low, _, high = fitted(rows).T
    covered = (low <= truth) & (truth <= high)
    for value in (rows.horizon, rows.level):
        third = third_of(value, thirds(value))
        assert [covered[third == one].mean() for one in range(3)] == pytest.approx([0.9] * 3, abs=0.02)
    half = constant_half_width(np.abs(truth), rows.subject)
    last = third_of(rows.level, thirds(rows.level)) == 2
    assert (np.abs(truth[last]) <= half).mean() < 0.86


def test_few_patients_widen_the_interval():
    assert constant_half_width(np.arange(10.0), np.arange(10)) == 9.0
    assert constant_half_width(np.arange(100.0), np.arange(100)) == 90.0


def test_numbers_of_a_row():
    said = np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
    truth, subject = np.array([1.0, 3.0, 2.0]), np.array([7, 7, 9])
    one = Answered(said, truth, subject, np.array([4, 4, 0]), np.arange(3.0), np.array([1.0, np.nan, 2.0]))
    row = row_of(one)
    assert (row["n_subjects"], row["n_targets"]) == (2, 3)
    assert row["mae"] == pytest.approx(1.0)
    assert row["rmse"] == pytest.approx((5 / 3) ** 0.5)
    assert row["patient_mae"] == pytest.approx(1.0)
    assert row["mae_fixed_split"] == pytest.approx(1.0)
    assert row["coverage"] == pytest.approx(0.75) and row["coverage_pooled"] == pytest.approx(2 / 3)
    assert interval_score(said, truth).tolist() == pytest.approx([2, 22, 2])
    better = one._replace(said=said + 0.5)
    assert difference(better, one)["difference"] == pytest.approx((0.5 - 0.5 - 0.5) / 3)


def test_a_goal_that_was_not_run_is_null_and_says_how():
    found = goals([{"task": "pbc", "model": MAIN, "mae": 0.54, "rmse": 0.8}])
    by_name = {one["name"]: one for one in found}
    assert by_name["pbc: mean absolute error"]["measured"] == 0.54
    assert by_name["paquid: mean absolute error"]["measured"] is None
    assert "run.py --task paquid" in by_name["paquid: mean absolute error"]["cause"]


def test_trained_together_is_trained_alone():
    """Stacking changes nothing but the order of sums."""
    cohort, longest = toy_cohort(12), 8.0
    batches = [
        random_batch(
            cohort, np.arange(k, 10), np.random.default_rng(k), max_step=longest, min_visits=2, max_horizon=np.inf
        )
        for k in (0, 4)
    ]

    def models():
        torch.manual_seed(5)
        scaling = Scaling.fit(cohort)
        sizes = {"memory": 3, "hidden": 8, "draws": 1}
        return [NeuralOde(cohort.schema, scaling, Midpoint(longest), **sizes) for _ in range(2)]

    def train(chosen, streams):
        train_together(
            chosen,
            JointGaussian(absolute=1.0, likelihood=0.1, weights=[1.0, 0.1]),
            streams,
            steps=3,
            optimizer=lambda weights: torch.optim.AdamW(weights, lr=1e-3),
            seed=0,
        )
        return [torch.cat([weight.detach().flatten() for weight in model.parameters()]) for model in chosen]

    both = train(models(), [repeat(batch) for batch in batches])
    for number in (0, 1):
        alone = train(models()[number : number + 1], [repeat(batches[number])])
        assert torch.allclose(both[number], alone[0], atol=2e-5)
    assert not torch.allclose(both[0], both[1], atol=1e-3)
