"""The README: its numbers are those measured, and its simulator, model and solver do what it says."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from neurotwin.episodes import make_episodes
from neurotwin.scaling import Scaling
from neurotwin.simulators.geng_nsclc import GengNsclc
from neurotwin.simulators.population import Published
from neurotwin.simulators.protocols import Protocol, Visits
from neurotwin.simulators.regimens import Cycles
from neurotwin.simulators.simulate import simulate
from neurotwin.solvers import Midpoint
from neurotwin.training import SurrogatePredictor

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


@pytest.fixture
def script():
    """scripts/update_readme.py as a module."""
    spec = importlib.util.spec_from_file_location("update_readme", ROOT / "scripts" / "update_readme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def block(script):
    """Function: results -> the block of the page."""
    return script.block


def defined_below(heading):
    """What the first Python block below a heading defines."""
    pattern = rf"^## {heading}\n.*?^```python[^\n]*\n(.*?)^```"
    code = re.search(pattern, README, re.MULTILINE | re.DOTALL).group(1)
    content = {"__name__": "readme"}
    exec(compile(code, heading, "exec"), content)
    return content


def test_the_results_are_those_measured(block):
    found = ROOT / "benchmarks" / "demo" / "results.json"
    if not found.exists():
        pytest.skip("benchmarks/demo/results.json: not measured yet")
    stands = re.search(r"<!-- results:begin -->\n(.*)\n<!-- results:end -->", README, re.DOTALL).group(1)
    assert stands == block(json.loads(found.read_text())), "run scripts/update_readme.py"


def test_the_cohort_benchmark_shows_what_was_measured(script):
    folder = ROOT / "benchmarks" / "cohort"
    if not (folder / "results.json").exists():
        pytest.skip("benchmarks/cohort/results.json: not measured yet")
    stands = re.search(script.BEGIN + r"\n(.*)\n" + script.END, (folder / "README.md").read_text(), re.DOTALL).group(1)
    found = json.loads((folder / "results.json").read_text())
    assert stands == script.block(found, script.COHORT_COLUMNS), "run scripts/update_readme.py"


def test_the_results_tell_what_was_missed(block):
    goal = {"name": "g", "goal": 2.0, "direction": "<=", "measured": 1.0, "unit": "s", "cause": ""}
    goals = [goal, goal | {"measured": 3.0, "cause": "slow"}, goal | {"measured": None}, goal | {"direction": ">="}]
    row = {"task": "t", "variable": "v", "scale": "log", "predictor": "p", "mae": 0.12345, "rmse": 12345.6}
    found = block({"machine": "m", "versions": {"a": "1"}, "command": "c", "date": "d", "rows": [row], "goals": goals})
    assert "| t | v | log | p | 0.123 | 12346 | - | - |" in found
    met = [line.split("|")[-2].strip() for line in found.splitlines()[-4:]]
    assert met == ["yes", "no: slow", "not measured", "no: not explained"]


def test_the_simulator_simulates():
    dose = Cycles("drug", amount=100.0, interval=12.0, duration=1.0, count=3)
    protocol = Protocol(48.0, Visits(6.0), regimens=[dose])
    simulator = defined_below("Add a simulator")["OneCompartment"]()
    cohort = simulate(simulator, Published(), protocol, n_subjects=8, seed=1, max_rejected=0.0)
    exact = simulate(simulator, Published(), protocol, n_subjects=8, seed=1, max_rejected=0.0, method="dop853")
    assert np.allclose(cohort.observations.value, exact.observations.value, rtol=1e-6)
    assert cohort.observations.value.max() > 1


def test_the_model_answers():
    protocol = Protocol(30.0, Visits(5.0), regimens=[Cycles("chemotherapy", amount=5.0, interval=7.0)])
    cohort = simulate(GengNsclc(), Published(), protocol, n_subjects=12, seed=1)
    model = defined_below("Add a model")["LinearOde"](cohort.schema, Scaling.fit(cohort), Midpoint(2.0))
    episodes, _, _ = make_episodes(cohort, 15.0)
    forecast = SurrogatePredictor(model.eval())(episodes)
    assert np.isfinite(forecast.quantiles).all()


def test_the_solver_has_its_order():
    solver, wrong = defined_below("Add a solver")["Ralston"](1.0), []
    for steps in (8, 16):
        state, dt = torch.ones(1, 1, dtype=torch.float64), torch.full((1,), 1 / steps, dtype=torch.float64)
        for number in range(steps):
            done = solver.advance(lambda t, y: -y, dt * number, dt, state, torch.full_like(dt, 0.5))
            state = done.end
        wrong.append(abs(float(state) - np.exp(-1)))
    assert 1.8 < np.log2(wrong[0] / wrong[1]) < 2.2
    assert float(done.at_query) == pytest.approx(np.exp(-(1 - 0.5 / 16)), abs=1e-3)
