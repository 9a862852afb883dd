"""Type 1 diabetes against reference values made by simglucose, its meals, and its patients."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from simulator_cases import ROOT, configured, golden, reference, states_at

from neurotwin.errors import SimulationError
from neurotwin.events import Doses
from neurotwin.simulators import t1d_patients
from neurotwin.simulators.meals import CUTS
from neurotwin.simulators.population import Typical
from neurotwin.simulators.t1d_parameters import PARAMETERS, SYMBOLS
from neurotwin.simulators.t1d_uvapadova import T1dUvaPadova
from neurotwin.simulators.trial import act_out, draw_block

BASAL, INFUSION, BOLUS, MEAL = range(4)
MEALS, BOLUSES = [(60, 45.0), (360, 70.0), (720, 80.0)], [(60, 3.0), (360, 5.0), (720, 5.5)]
PUMP_OFF = Doses.of(0, 0, np.inf, BASAL, -1)
NAMES = ["adult#001", "adult#005", "adolescent#003", "child#002"]
FOLDER = "organ_glucose_t1d_uvapadova_simglucose"


def patients(names=NAMES):
    """Patients of the reference, as one model."""
    table = golden("t1d_uvapadova.json")["patients"]
    return T1dUvaPadova(**{key: np.array([table[name][symbol] for name in names]) for key, symbol in SYMBOLS.items()})


def eaten(meals=MEALS, boluses=BOLUSES, n=1):
    """The same meals and boluses for ``n`` subjects."""
    rows = [(time, MEAL, amount) for time, amount in meals] + [(time, BOLUS, amount) for time, amount in boluses]
    time, treatment, amount = zip(*rows, strict=True)
    return Doses.of(np.repeat(np.arange(n), len(rows)), np.tile(time, n), np.nan, treatment * n, np.tile(amount, n))


def course(model, times, doses, n=1, method="rk4"):
    """States ``[n, time, state]``; nobody fails."""
    states, solution = states_at(model, times, model.acted_out(doses), method=method, n=n)
    assert not solution.status.any()
    return states


def glucose(model, states):
    """Plasma glucose ``[n, time]``."""
    return np.stack([model.observe(states[:, i])[:, 0] for i in range(states.shape[1])], axis=1)


def test_reference_patients_rest_where_the_table_says():
    everyone = patients()
    rest = everyone.initial_state(4)
    rows = [golden("t1d_uvapadova.json")["runs"][name.replace("#", "") + "_meals_bolus"][0] for name in NAMES]
    np.testing.assert_allclose(rest[:, :13], np.array(rows)[:, 1:14], rtol=1e-7)
    slopes = everyone.vector_field(np.zeros(4), rest, np.zeros((4, 4)))
    assert np.abs(slopes[:, :-1]).max() < 1e-12
    assert everyone.basal_rate == pytest.approx([1.267360500, 1.179830097, 0.647797088, 0.395091], rel=1e-6)


def test_four_patients_of_all_ages_match_the_reference_over_a_day():
    """Fixed steps; the child, given an adult's boluses, comes down to 10 mg/dL, where production stands still."""
    everyone, times = patients(), np.arange(0, 1441, 5.0)
    states = course(everyone, times, eaten(n=4), n=4)
    for subject, name in enumerate(NAMES):
        rows = np.array(golden("t1d_uvapadova.json")["runs"][name.replace("#", "") + "_meals_bolus"])
        mine = states[subject, np.searchsorted(times, rows[:, 0])]
        scale = np.abs(states[subject, :, :13]).max(axis=0)
        assert (np.abs(mine[:, :13] - rows[:, 1:14]) / scale).max() < (1e-5 if name == "child#002" else 1e-6), name
        seen = everyone.take(slice(subject, subject + 1)).observe(mine)
        assert np.abs(seen / rows[:, 14:] - 1).max() < 1e-5, name
    lowest = glucose(everyone, states).min(axis=1)
    assert lowest[2] < 40 and lowest[3] == pytest.approx(10.2, abs=0.01)
    held_back = 0.008198363 * states[3, :, 3] + 0.023930547 * states[3, :, 8]
    assert (held_back > 8.24333692076).any()  # kp1: the clamp on production acts


@pytest.mark.parametrize(
    ("run", "doses"), [("adult001_pump_off", PUMP_OFF), ("adult001_meal_no_bolus", eaten([(60, 60.0)], []))]
)
def test_the_exact_solution_matches_the_reference(run, doses):
    rows = np.array(golden("t1d_uvapadova.json")["runs"][run])
    states = course(T1dUvaPadova(), rows[:, 0], doses, method="dop853")[0]
    np.testing.assert_allclose(states[:, 6], rows[:, 7], rtol=1e-7, atol=2e-9)  # insulin action, 0 without insulin
    np.testing.assert_allclose(states[:, :13], rows[:, 1:14], rtol=1e-6, atol=2e-9)
    np.testing.assert_allclose(T1dUvaPadova().observe(states), rows[:, 14:], rtol=1e-7)


@pytest.mark.parametrize(("run", "doses"), [("adult001_pump_off", PUMP_OFF), ("adult001_meals_bolus", eaten())])
def test_the_whole_course_matches_the_reference(run, doses):
    table = np.genfromtxt(reference(f"{FOLDER}/{run}.csv"), delimiter=",", skip_header=1)
    states = course(T1dUvaPadova(), table[:, 0], doses)[0]
    scale = np.abs(table[:, 1:14]).max(axis=0)
    assert (np.abs(states[:, :13] - table[:, 1:14]) / np.where(scale > 0, scale, 1)).max() < 1e-6


def test_the_reference_notices_a_wrong_parameter():
    """One patient per parameter, which is wrong by 0.1 %, on both runs of the reference that hold a meal."""
    n = len(PARAMETERS)
    columns = np.array([3, 4, 5, 9, 12])  # glucose, insulin in plasma and liver, glucose under the skin
    wrong = {
        key: np.tile(getattr(T1dUvaPadova(), key) * (1 + 1e-3 * (np.arange(n) == number)), 2)
        for number, key in enumerate(PARAMETERS)
    }
    plain = eaten([(60, 60.0)], [], n=n)
    doses = Doses.concatenate(eaten(n=n), replace(plain, subject=plain.subject + n))
    known = golden("t1d_uvapadova.json")["runs"]
    runs = [np.array(known[f"adult001_{run}"]) for run in ("meals_bolus", "meal_no_bolus")]
    times = np.unique(np.concatenate([run[1:, 0] for run in runs]))
    states = course(T1dUvaPadova(**wrong), times, doses, n=2 * n)
    worst = np.zeros(n)
    for half, run in enumerate(runs):
        mine = states[half * n : (half + 1) * n][:, np.searchsorted(times, run[1:, 0])][..., columns]
        worst = np.maximum(worst, np.abs(mine / run[1:, columns + 1] - 1).max(axis=(1, 2)))
    assert [key for key, error in zip(PARAMETERS, worst, strict=True) if error < 5e-6] == []


def test_carbohydrate_is_conserved():
    """What was eaten is in the stomach, in the gut, or has appeared in plasma (f = 0.9 of it)."""
    model, times = T1dUvaPadova(), np.arange(0, 721, 1.0)
    states = course(model, times, eaten([(60, 60.0)], []))[0]
    appeared = np.trapezoid(model.gut_absorption_rate * states[:, 2], times)
    assert states[-1, :3].sum() + appeared == pytest.approx(60_000, rel=5e-5)
    assert states[75, :3].sum() + np.trapezoid(0.08906 * states[:76, 2], times[:76]) == pytest.approx(60_000, rel=1e-4)


def bites(*meals):
    """Begin and grams of the bites of some meals, in order, with the periods checked."""
    doses = T1dUvaPadova().acted_out(eaten(meals, []))
    begun, held = doses.take(doses.is_bolus), doses.take(~doses.is_bolus)
    assert len(held) == CUTS * len(begun)
    assert ((held.end - held.time) * held.amount).sum() == pytest.approx(sum(grams for _, grams in meals))
    order = np.argsort(begun.time)
    return begun.time[order].tolist(), begun.amount[order].tolist()


def test_a_meal_is_eaten_bite_by_bite():
    assert bites((10, 12.0)) == ([10, 11, 12], [5, 5, 2])
    assert bites((10.25, 5.0)) == ([10.25], [5])
    assert bites((3, 0.0)) == ([], [])
    doses = T1dUvaPadova().acted_out(eaten([(0.1, 200.0)], []))
    edges = np.unique(np.concatenate([doses.time, doses.end[~doses.is_bolus]]))
    assert len(edges) == 40 * CUTS + 1  # no two edges differ by a rounding error


def test_meals_announced_while_eating_are_queued():
    """As in simglucose: added to what is left, so that the bite at minute 12 is 2 + 3 g; and again once it is eaten."""
    assert bites((10, 12.0), (11, 6.0)) == ([10, 11, 12, 13], [5, 5, 5, 3])
    assert bites((10, 12.0), (12, 6.0)) == ([10, 11, 12, 13], [5, 5, 5, 3])
    assert bites((10, 12.0), (13, 6.0)) == ([10, 11, 12, 13, 14], [5, 5, 2, 5, 1])
    assert bites((10, 12.0), (12.5, 6.0)) == ([10, 11, 12, 13, 14], [5, 5, 2, 5, 1])
    assert bites((10, 12.0), (20, 6.0), (10, 1.0)) == ([10, 11, 12, 20, 21], [5, 5, 3, 5, 1])


def simglucose_memory(meals, until):
    """The package's rules of eating, minute by minute: (bouts begun, g counted in the last bout), no stomach."""
    planned, last, bouts, counted = 0.0, 0.0, 0, 0.0
    for minute in range(until):
        planned += sum(grams for time, grams in meals if time == minute)
        bite = min(5.0, planned)
        planned -= bite
        if bite > 0 and last <= 0:
            bouts, counted = bouts + 1, 0.0
        counted, last = counted + bite, bite
    return bouts, counted


@pytest.mark.parametrize("second", [1, 2, 3, 4, 5, 30])
def test_what_belongs_to_a_bout(second):
    meals = [(0, 12.0), (second, 6.0)]
    states = course(T1dUvaPadova(), [60.0], eaten(meals, []))[0]
    bouts, counted = simglucose_memory(meals, 60)
    assert states[0, 14] == counted and (states[0, 13] > 0) == (bouts == 2)
    last = max(bites(*meals)[0])
    assert states[0, 15] == pytest.approx(60 - last)


def test_a_new_bout_looks_at_the_stomach():
    model = T1dUvaPadova()
    before, after = course(model, [100.0, 101.0], eaten([(0, 60.0), (100, 30.0)], []))[0]
    assert after[13] == pytest.approx(before[0] + before[1]) and after[14] == 5.0


def test_nothing_happens_without_a_dose():
    model = T1dUvaPadova()
    states = course(model, [0.0, 1440.0], Doses.of())[0]
    np.testing.assert_allclose(states[1, :15], states[0, :15], rtol=1e-10, atol=1e-10)
    assert states[1, 15] == states[0, 15] + 1440


def bolus(amount, time=60):
    return Doses.of(0, time, np.nan, BOLUS, amount)


def each(times, *plans):
    """States ``[plan, time, state]`` of the default patient under several plans, each a list of doses."""
    doses = [replace(dose, subject=np.full(len(dose), number)) for number, plan in enumerate(plans) for dose in plan]
    return course(T1dUvaPadova(), times, Doses.concatenate(*doses), n=len(plans))


def test_questions_of_a_clinic():
    """A forgotten bolus and a pump that stops raise glucose, more and longer; a bolus too many makes hypoglycaemia."""
    meal = eaten([(60, 60.0)], [])
    plans = [[meal, bolus(4)], [meal], [meal, bolus(20)], [meal, bolus(4, 40)], [meal, bolus(4, 120)]]
    plans += [[Doses.of(0, 60, 60 + span, BASAL, -1)] for span in (60, 240)]
    after = glucose(T1dUvaPadova(), each(np.arange(0, 721, 10.0), *plans))
    matched, forgotten, over, early, late, pump_1_h, pump_4_h = after
    assert forgotten.max() > matched.max() + 20 and matched.min() > 70 and over.min() < 54
    assert early.max() < matched.max() < late.max()
    assert 138.56 < pump_1_h.max() < pump_4_h.max() - 30


def test_ways_of_giving_insulin_agree():
    """A bolus is its units within a minute; an infusion adds to the basal rate; changes of the basal rate add up."""
    rate = float(T1dUvaPadova().basal_rate)
    half, whole, off = (Doses.of(0, 60, 120, BASAL, change) for change in (0.5, 1.0, -1.0))
    pairs = [
        ([bolus(0.3)], [Doses.of(0, 60, 61, INFUSION, 18)]),
        ([half], [Doses.of(0, 60, 120, INFUSION, 0.5 * rate)]),
        ([half, half], [whole]),
        ([off, off], [off]),
        ([off, Doses.of(0, 60, 120, INFUSION, rate)], [Doses.of()]),
    ]
    end = each([400.0], *(plan for pair in pairs for plan in pair))[:, 0]
    np.testing.assert_allclose(end[::2], end[1::2], rtol=1e-9, atol=1e-9)


def test_doses_that_cannot_be_given_are_refused():
    model = T1dUvaPadova()
    with pytest.raises(SimulationError, match=r"meal = 400 g.*0 to 300 g"):
        model.acted_out(eaten([(60, 400.0)], []))
    with pytest.raises(SimulationError, match=r"insulin_bolus = -1 \[IU\]"):
        model.acted_out(bolus(-1))
    with pytest.raises(SimulationError, match="meal is given as a period"):
        model.acted_out(Doses.of(0, 60, 70, MEAL, 5))
    with pytest.raises(SimulationError, match="meal is not delivered"):
        states_at(model, [100.0], eaten([(60, 40.0)], []))
    with pytest.raises(SimulationError, match=r"basal_change = -4 1.*-3 to 3"):
        states_at(model, [100.0], Doses.of(0, 60, 70, BASAL, -4))


def test_glucose_below_zero_is_rejected_not_clipped():
    states, solution = states_at(patients(["child#002"]), [600.0], T1dUvaPadova().acted_out(bolus(15)))
    assert solution.status[0] != 0 and np.isnan(states).all()


def test_the_fitted_population():
    """Medians near those of the 30 patients (ranges as published with the reference), and everyone possible."""
    model = T1dUvaPadova()
    people = model.proposed_population(3000, np.random.default_rng(1))
    everyone = replace(model, **people.parameters)
    assert everyone.screen().accepted.all()
    group, weight, rate = people.statics.T
    assert np.bincount(group.astype(int)) / 3000 == pytest.approx([1 / 3] * 3, abs=0.03)
    np.testing.assert_allclose(rate, everyone.basal_rate)
    assert np.median(weight[group == 0]) == pytest.approx(84, rel=0.05) and weight[group == 2].max() < 60
    shares = np.corrcoef(t1d_patients.to_scale(people.parameters)[group == 0].T) - np.eye(len(t1d_patients.FITTED))
    assert 0.05 < np.abs(shares).max() < 0.8  # the correlations are there, and shrunk


def test_the_fitted_population_lies_among_the_published_patients():
    path = reference(f"{FOLDER}/population_ranges_30.csv")
    rows = [line.split(",") for line in Path(path).read_text().splitlines()[1:]]
    people = T1dUvaPadova().proposed_population(3000, np.random.default_rng(2))
    for group, symbol, low, _, high in rows:
        names = [name for name in t1d_patients.FITTED if SYMBOLS[name] == symbol]
        for name in names:
            median = np.median(people.parameters[name][people.statics[:, 0] == t1d_patients.GROUPS.index(group)])
            assert float(low) < median < float(high), (group, name)


def test_impossible_patients_are_screened_out():
    kinds = {
        "fasting_glucose": [138.0, 100.0, 190.0, 138.0, 138.0, 138.0],
        "fasting_insulin": [100.0, 100.0, 100.0, 1000.0, 100.0, 100.0],
        "slowest_emptying": [0.004, 0.004, 0.004, 0.004, 0.1, 0.004],
        "fasting_production": [2.3, 2.3, 2.3, 2.3, 2.3, 20.0],
    }
    people = T1dUvaPadova(**{name: np.array(values) for name, values in kinds.items()})
    assert people.screen().accepted.tolist() == [True] + 5 * [False]


def test_the_typical_patient_has_the_given_covariates():
    draw = Typical().draw(T1dUvaPadova(), 1, np.random.default_rng())
    for name, value in draw.parameters.items():
        assert value[0] == pytest.approx(getattr(T1dUvaPadova(), name), rel=1e-11), name
    child = Typical({"age_group": "child", "body_weight": 30, "basal_insulin": 0.4})
    model = replace(T1dUvaPadova(), **child.draw(T1dUvaPadova(), 1, np.random.default_rng()).parameters)
    assert model.basal_rate == pytest.approx([0.4]) and model.body_weight == 30
    assert model.uptake_sensitivity == pytest.approx(
        0.031319 * t1d_patients.ratio_to_adults("uptake_sensitivity", "child")
    )
    assert model.screen().accepted.all()


def test_the_published_patients_are_read_from_a_table(tmp_path, monkeypatch):
    """A table of two, made here."""
    known = golden("t1d_uvapadova.json")["patients"]
    lines = [",".join(["Name", *SYMBOLS.values()])]
    lines += [
        ",".join([name, *(str(known[name][key]) for key in SYMBOLS.values())]) for name in ("adult#005", "child#002")
    ]
    path = tmp_path / "patients.csv"
    path.write_text("\n".join(lines))
    monkeypatch.setenv(t1d_patients.VARIABLE, str(path))
    people = T1dUvaPadova().published_population(400, np.random.default_rng(0))
    assert set(people.statics[:, 0]) == {0.0, 2.0} and abs((people.statics[:, 0] == 0).mean() - 0.5) < 0.1
    child = people.parameters["body_weight"] < 30
    assert (people.parameters["uptake_sensitivity"][child] == 0.062822379).all()
    with pytest.raises(SimulationError, match=r"body_weight is set.*typical"):
        T1dUvaPadova(body_weight=80.0).published_population(1, np.random.default_rng(0))
    for content, message in (("a,b\n1,2\n", "not a table"), ("Name\n", "no patients")):
        path = tmp_path / f"{len(message)}.csv"
        path.write_text(content)
        monkeypatch.setenv(t1d_patients.VARIABLE, str(path))
        with pytest.raises(SimulationError, match=message):
            T1dUvaPadova().published_population(1, np.random.default_rng(0))
    monkeypatch.setenv(t1d_patients.VARIABLE, str(tmp_path / "none.csv"))
    with pytest.raises(SimulationError, match=r"cannot be read.*population=proposed"):
        T1dUvaPadova().published_population(1, np.random.default_rng(0))


def test_without_the_table_the_remedy_is_named(monkeypatch):
    monkeypatch.delenv(t1d_patients.VARIABLE, raising=False)
    monkeypatch.setattr(t1d_patients, "find_spec", lambda name: None)
    with pytest.raises(SimulationError, match=r"simglucose is not installed.*pip install --no-deps"):
        T1dUvaPadova().published_population(1, np.random.default_rng(0))


@pytest.fixture
def whole_table():
    try:
        path = t1d_patients.table_path()
    except SimulationError:
        pytest.skip("the patient table of simglucose is not here (pip install --no-deps simglucose==0.2.11)")
    return path


def test_the_thirty_published_patients(whole_table):
    group, values = t1d_patients.patient_table(whole_table)
    assert np.bincount(group).tolist() == [10, 10, 10]
    everyone = T1dUvaPadova(**dict(zip(SYMBOLS, values.T, strict=True)))
    assert everyone.screen().accepted.all()
    constant = [list(SYMBOLS).index(name) for name in t1d_patients.CONSTANT]
    assert (values[:, constant] == values[0, constant]).all()
    steps = course(everyone, [0.0, 1440.0], Doses.of(), n=30)
    np.testing.assert_allclose(steps[:, 1, 3], steps[:, 0, 3], rtol=1e-9)


def test_the_fit_can_be_made_again(whole_table, tmp_path):
    fit = Path(t1d_patients.__file__).with_name(t1d_patients.FIT)
    script = [sys.executable, ROOT / "scripts" / "fit_t1d_patients.py", whole_table, tmp_path / "fit.json"]
    subprocess.run(script, check=True, capture_output=True)
    again, shipped = json.loads((tmp_path / "fit.json").read_text()), json.loads(fit.read_text())
    np.testing.assert_allclose(again["correlation"], shipped["correlation"], atol=2e-4)
    assert again["mean"]["child"] == pytest.approx(shipped["mean"]["child"], abs=2e-5)


@pytest.mark.parametrize("name", ["t1d_day", "t1d_corrections", "t1d_randomised"])
def test_nobody_fails_in_a_protocol(name):
    """Boluses are recorded as given, and corrections are decided on the way."""
    model, protocol = configured("simulator", "t1d_uvapadova"), configured("protocol", name)
    block = draw_block(model, configured("population", "proposed"), protocol, np.arange(4), 3)
    done = act_out(block, protocol)
    assert not done.status.any() and np.isfinite(done.value).all()
    assert set(done.doses.treatment) >= {BOLUS, MEAL}
    assert done.doses.is_bolus[np.isin(done.doses.treatment, (BOLUS, MEAL))].all()
