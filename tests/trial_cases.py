"""What the tests of trials share: courses written down by hand, and a small world whose model has a closed form."""

import numpy as np

from neurotwin.events import Doses
from neurotwin.schema import Schema, Static, Treatment, Variable
from neurotwin.trials.analysis import Pool
from neurotwin.trials.courses import Courses
from neurotwin.trials.endpoints import Outcome

SCHEMA = Schema(
    name="toy",
    time_unit="mo",
    variables=(Variable(name="diameter", unit="mm", plausible=(0, 500)),),
    treatments=(
        Treatment(name="drug", unit="mg", kind="bolus"),
        Treatment(name="drip", unit="mg/h", kind="infusion"),
    ),
    statics=(Static(name="age", unit="a", plausible=(0, 120)), Static(name="sex", levels=("female", "male"))),
)
CUT = 2.0


def courses_of(control, treated=None, *, time=None, statics=None, doses=None):
    """Courses of subjects whose ``control`` and ``treated`` values ``[subject, visit]`` are given, at whole months."""
    control = np.asarray(control, dtype=float)
    treated = control if treated is None else np.asarray(treated, dtype=float)
    n, visits = control.shape
    tables = {"a": control[..., None], "b": treated[..., None]}
    none = Doses.of()
    return Courses(
        SCHEMA,
        np.array([f"s{number}" for number in range(n)]),
        np.tile([50.0, 0.0], (n, 1)) if statics is None else np.asarray(statics, dtype=float),
        CUT,
        np.tile(np.arange(visits, dtype=float), (n, 1)) if time is None else np.asarray(time, dtype=float),
        tables,
        tables,
        {"a": none, "b": none} if doses is None else doses,
    )


def pool_of(n=4000, r=0.7, effect=0.5, seed=0):
    """A continuous endpoint whose twins correlate with it by ``r`` under either arm."""
    rng = np.random.default_rng(seed)
    score, rest = rng.standard_normal((2, n))
    control = r * score + np.sqrt(1 - r**2) * rest
    baseline = rng.standard_normal(n)
    return Pool("continuous", Outcome(control), Outcome(control + effect), baseline, score, np.arange(n) % 2)


def time_pool(n=1000, ratio=0.6, seed=0):
    """Exponential times with a hazard ratio, watched until 3."""
    rng = np.random.default_rng(seed)
    uniform = -np.log(rng.random(n))
    outcomes = []
    for hazard in (1.0, ratio):
        time = uniform / hazard
        outcomes.append(Outcome(np.minimum(time, 3.0), time < 3.0, np.zeros(n)))
    return Pool("time", *outcomes, np.zeros(n), None, rng.integers(0, 2, n))


def vancomycin_world():
    """A world of vancomycin patients, who are acted out in closed form."""
    from simulator_cases import configured

    from neurotwin.simulators.population import Published
    from neurotwin.simulators.vancomycin import Vancomycin
    from neurotwin.trials import World

    return World(Vancomycin(), Published(), configured("protocol", "vancomycin_q12h"))
