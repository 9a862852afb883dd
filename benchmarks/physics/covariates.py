"""What a surrogate is told of a virtual patient: the parameters that vary, on scales without bounds.

Everyone's other parameters are the simulator's own numbers, which a surrogate learns from the courses.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neurotwin.simulators.regazzoni_circulation import BETWEEN_SUBJECTS
from neurotwin.simulators.t1d_patients import FITTED, to_scale
from neurotwin.simulators.t1d_rest import rest_of
from neurotwin.simulators.t1d_uvapadova import T1dUvaPadova

Array = NDArray[np.float64]
Covariates = Callable[[Mapping[str, Array]], dict[str, Array]]
"""From the true parameters by name ``[subject]`` to covariates by name ``[subject]``."""
REST = ("production", "uptake", "peripheral_clearance", "hepatic_clearance", "basal")


def of_circulation(truth: Mapping[str, Array]) -> dict[str, Array]:
    """Heart rate, elastances, resistances and compliances, as logarithms; not the settled state."""
    return _logs(truth, tuple(BETWEEN_SUBJECTS))


def of_diabetes(truth: Mapping[str, Array]) -> dict[str, Array]:
    """The fitted parameters on the scale of their fit, and the parameters that rest at the fasting level implies."""
    scaled = dict(zip((f"scaled_{name}" for name in FITTED), to_scale(dict(truth)).T, strict=True))
    model = T1dUvaPadova()
    rest = rest_of(replace(model, **{name: truth[name] for name in model.parameters}))
    return scaled | _logs({name: np.asarray(getattr(rest, name)) for name in REST}, REST)


def of_epileptor(truth: Mapping[str, Array]) -> dict[str, Array]:
    """Excitability, rate of the slow variable (logarithm), current, and where the slow variable starts."""
    plain = {name: truth[name] for name in ("excitability", "fast_current", "initial_permittivity")}
    return plain | _logs(truth, ("permittivity_rate",))


def of_sepsis(truth: Mapping[str, Array]) -> dict[str, Array]:
    """Growth rate, and production and decay of the mediator (logarithms); the inoculum is the state at time 0."""
    return {"pathogen_growth": truth["pathogen_growth"]} | _logs(truth, ("mediator_production", "mediator_decay"))


def _logs(values: Mapping[str, Array], names: tuple[str, ...]) -> dict[str, Array]:
    return {f"log_{name}": np.log(values[name]) for name in names}
