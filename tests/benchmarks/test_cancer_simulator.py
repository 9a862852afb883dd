"""The simulator gives the published data sets: reference rows on given noise, and the counts of full sets."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from benchmarks.cancer.references import FixedParameters, Persist, population_theta, theta_of
from benchmarks.cancer.scoring import errors_of, one_step_scores
from benchmarks.cancer.sets import draw_sets, load_sets
from benchmarks.cancer.simulator import DEATH_VOLUME, Chances, Patients, draw_patients, simulate_factual
from benchmarks.cancer.task import forecast_rows
from benchmarks.cancer.testsets import TestSet, one_step_set, sequence_set
from benchmarks.cancer.tracks import TRACKS, measure

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("NEUROTWIN_GOLDEN", ROOT.parent / "shared" / "golden")) / "cancer_benchmark"


@pytest.fixture(scope="module")
def golden():
    """Rows of the reference simulator, gamma 4, and the scores of simple predictors on them."""
    if not FOLDER.exists():
        pytest.skip("no reference rows of the cancer benchmark: set NEUROTWIN_GOLDEN")
    with np.load(FOLDER / "cancer_pkpd_gamma04_seed7004.npz") as content:
        rows = {name: content[name] for name in content.files}
    return rows, json.loads((FOLDER / "scores.json").read_text())["scores"]["4"]


@pytest.fixture(scope="module")
def drawn():
    """The same by this simulator, in the order of the reference rows."""
    random = np.random.RandomState(7004)
    patients = draw_patients(random, 200)
    chances = Chances.draw(random, 200)
    one_step = one_step_set(random, draw_patients(random, 60), 4.0)
    sequences = [sequence_set(random, draw_patients(random, 24), 4.0, plans) for plans in ("sliding", "random")]
    return patients, chances, one_step, *sequences


def reference_patients(rows, prefix):
    names = {"kind": "patient_types", "volume": "initial_volumes", "alpha": "alpha", "rho": "rho", "beta_c": "beta_c"}
    return Patients(**{name: rows[f"{prefix}_{column}"] for name, column in names.items()})


def test_factual_courses_on_given_noise(golden, drawn):
    rows, _ = golden
    chances = Chances(rows["f_noise"], drawn[1].recovery, rows["f_chemo_rv"], rows["f_radio_rv"])
    found = simulate_factual(reference_patients(rows, "f"), 4.0, chances)
    np.testing.assert_allclose(found.volume, rows["f_V"], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found.chemo, rows["f_chemo"])
    np.testing.assert_array_equal(found.radio, rows["f_radio"])
    np.testing.assert_array_equal(found.last, rows["f_seq_len"])
    np.testing.assert_array_equal(found.died, rows["f_death"] > 0)
    np.testing.assert_array_equal(found.recovered, rows["f_recov"] > 0)


def test_parameters_in_the_published_order_of_draws(golden, drawn):
    rows, _ = golden
    sets = (drawn[0], drawn[2].patients, drawn[3].patients, drawn[4].patients)
    for prefix, found in zip("fosr", sets, strict=True):
        for name, value in vars(reference_patients(rows, prefix)).items():
            np.testing.assert_allclose(getattr(found, name), value, rtol=1e-9, err_msg=f"{prefix} {name}")


def test_one_step_rows(golden, drawn):
    rows, found = golden[0], drawn[2]
    np.testing.assert_allclose(found.volume, rows["o_hist_V"], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found.patient.reshape(-1, 4)[:, 0], rows["o_pid"])
    np.testing.assert_array_equal(found.day.reshape(-1, 4)[:, 0], rows["o_t"])
    np.testing.assert_array_equal(found.plan[:, 0, 0].reshape(-1, 4), rows["o_chemo_opt"])
    np.testing.assert_array_equal(found.plan[:, 0, 1].reshape(-1, 4), rows["o_radio_opt"])
    np.testing.assert_allclose(found.outcome.reshape(-1, 4), rows["o_Vnext"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("prefix", "index"), [("s", 3), ("r", 4)])
def test_sequence_rows(golden, drawn, prefix, index):
    rows, found = golden[0], drawn[index]
    np.testing.assert_allclose(found.volume, rows[f"{prefix}_hist_V"], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found.chemo, rows[f"{prefix}_hist_chemo"])
    np.testing.assert_array_equal(found.radio, rows[f"{prefix}_hist_radio"])
    np.testing.assert_array_equal(found.patient, rows[f"{prefix}_pid"])
    np.testing.assert_array_equal(found.day, rows[f"{prefix}_t"])
    np.testing.assert_array_equal(found.plan[:, 1:], rows[f"{prefix}_opt"])
    # Kept in single precision.
    np.testing.assert_allclose(found.outcome[:, 1:], rows[f"{prefix}_Vfut"], rtol=2e-7, atol=1e-9)


def scores_of(test: TestSet, forecaster):
    observed = measure(test.volume, test.last - 1, TRACKS["clean"], gamma=4.0, seed=0, part="sliding")
    return forecast_rows(test, observed, forecaster)


def test_the_scorer_on_reference_rows(golden, drawn):
    _, scores = golden
    for index, name in ((2, "one_step"), (3, "seq_sliding_treatment"), (4, "seq_random_trajectories")):
        test = drawn[index]
        kind = test.patients.kind
        for predictor, forecaster in (("persist", Persist()), ("popmean", FixedParameters(population_theta(kind)))):
            found = errors_of(test, scores_of(test, forecaster)).score
            np.testing.assert_allclose(found, np.atleast_1d(scores[name][predictor]), atol=1e-3, err_msg=predictor)


def test_true_parameters_leave_the_noise_alone(golden, drawn):
    _, scores = golden
    found = errors_of(drawn[2], scores_of(drawn[2], FixedParameters(theta_of(drawn[2].patients)))).score
    np.testing.assert_allclose(found, scores["one_step"]["true"], atol=1e-3)


def test_the_three_one_step_errors_by_hand(drawn):
    test = drawn[2]
    forecast = scores_of(test, Persist())
    found = one_step_scores(test, forecast)
    factual = {
        (p, d): e for p, d, e in reversed(list(zip(test.patient, test.day, forecast - test.outcome, strict=True)))
    }
    pooled, by_day = [], {}
    for row in range(len(test.day)):
        own = forecast[row, 0] - test.outcome[row, 0]
        history = [float(factual[(test.patient[row], day)][0]) for day in range(test.day[row])] + [own]
        pooled += history
        for day, error in enumerate(history):
            by_day.setdefault(day, []).append(error**2)
    scale = 100 / DEATH_VOLUME
    assert found["all"] == pytest.approx(scale * np.sqrt(np.mean(np.square(pooled))))
    assert found["orig"] == pytest.approx(scale * np.sqrt(np.mean([np.mean(one) for one in by_day.values()])))
    assert found["last"] == pytest.approx(errors_of(test, forecast).score[0])


def test_sets_are_kept_on_disk_as_drawn(tmp_path):
    sizes = (12, 4, 3)
    first, again = load_sets(4.0, 5, sizes, tmp_path), load_sets(4.0, 5, sizes, tmp_path)
    fresh = draw_sets(4.0, 5, sizes)
    for name in ("train", "validation", "one_step", "sliding", "randomised"):
        for field in ("volume", "chemo", "last"):
            np.testing.assert_array_equal(getattr(getattr(first, name), field), getattr(getattr(fresh, name), field))
            np.testing.assert_array_equal(getattr(getattr(again, name), field), getattr(getattr(fresh, name), field))
    np.testing.assert_array_equal(again.sliding.outcome, fresh.sliding.outcome)


@pytest.mark.full
@pytest.mark.parametrize(
    ("gamma", "seed", "mean", "deviation", "length", "rows"),
    [
        (0.0, 10, 9.950, 63.624, 51.29, (202512, 506363, None)),
        (4.0, 10, 7.796, 52.488, 57.33, (226896, 560863, 563871)),
        (4.0, 101, 7.563, 51.433, 57.34, (228368, 563243, None)),
    ],
)
def test_full_sets_have_the_published_counts(gamma, seed, mean, deviation, length, rows):
    sets = draw_sets(gamma, seed)
    train = sets.train
    active = train.volume[np.arange(60) < train.last[:, None]]
    assert active.mean() == pytest.approx(mean, abs=1e-3)
    assert active.std() == pytest.approx(deviation, abs=1e-3)
    assert train.last.mean() == pytest.approx(length, abs=5.1e-3)  # published to two decimals
    counts = [len(one.day) for one in (sets.one_step, sets.sliding, sets.randomised)]
    assert all(count == row for count, row in zip(counts, rows, strict=True) if row is not None)
