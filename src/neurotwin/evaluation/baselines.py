"""The baselines by name, each fitted on a training cohort."""

from collections.abc import Callable, Mapping, Sequence

from neurotwin.cohort import Cohort
from neurotwin.episodes import Predict
from neurotwin.errors import ConfigError
from neurotwin.evaluation.gradient_boosting import GradientBoosting
from neurotwin.evaluation.linear_mixed import LinearMixed
from neurotwin.evaluation.locf import Locf, PopulationMean

ALWAYS = ("locf", "population_mean")
"""Those that every report has."""

BASELINES: Mapping[str, Callable[[Cohort], Predict]] = {
    "locf": Locf.fit,
    "population_mean": PopulationMean.fit,
    "linear_mixed": LinearMixed.fit,
    "gradient_boosting": GradientBoosting.fit,
}
"""Name to what fits it; the last two need the extra ``baselines`` and a while."""


def fit_baselines(train: Cohort, names: Sequence[str] = ALWAYS) -> dict[str, Predict]:
    """The named baselines, fitted. Raises ConfigError for a name that is none, or what a baseline's fit raises."""
    if unknown := [name for name in names if name not in BASELINES]:
        raise ConfigError(f"no baseline {unknown[0]!r}", where="baselines", expected=f"one of {', '.join(BASELINES)}")
    return {name: BASELINES[name](train) for name in names}
