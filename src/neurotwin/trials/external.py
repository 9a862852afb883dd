"""A trial without control: what treated subjects did, less what their twins were expected to do without."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.extras import need
from neurotwin.trials import effects
from neurotwin.trials.analysis import BOTH, Pool, effect_of_means
from neurotwin.trials.effects import Effect
from neurotwin.trials.randomisation import Randomisation
from neurotwin.trials.replicates import replicates

Array = NDArray[np.float64]


def against_twins(value: Array, score: Array, confidence: float) -> Effect:
    """Mean of outcome less forecast, with Student's interval: it holds what varies between subjects, and nothing of
    how wrong the twins are on average, which no treated subject can tell."""
    stats = need("scipy.stats", "simulate")
    gap = (value - score)[np.isfinite(value) & np.isfinite(score)]
    se = float(gap.std(ddof=1) / np.sqrt(len(gap)))
    found = stats.ttest_1samp(gap, 0.0)
    low, high = found.confidence_interval(confidence)
    return Effect(float(gap.mean()), float(low), float(high), se, float(found.pvalue), "less the twins", len(gap))


def external_control(
    pool: Pool, randomisation: Randomisation, size: int, count: int, seed: int, confidence: float
) -> dict[str, Any] | None:
    """Bias and coverage of a single arm of half the subjects against its twins, beside the randomised trial with the
    same twins as covariate; None without twins."""
    if pool.score is None or pool.kind != "continuous":
        return None
    gap = pool.treated.value - pool.control.value
    truth = float(np.nanmean(gap))
    alone, randomised = [], []
    for sample in replicates(pool, randomisation, size, count, seed):
        half = sample.rows[: size // 2]
        alone.append(against_twins(pool.treated.value[half], pool.score[half], confidence))
        randomised.append(effect_of_means(pool, sample, BOTH, confidence))
    rows = {}
    for name, told in (("external control", alone), ("randomised", randomised)):
        estimate = np.array([one.estimate for one in told])
        rows[name] = {
            "mean": float(estimate.mean()),
            "bias": float(estimate.mean() - truth),
            "bias_se": float(estimate.std(ddof=1) / np.sqrt(count)),
            "sd": float(estimate.std(ddof=1)),
            "coverage": sum(one.low <= truth <= one.high for one in told) / count,
        }
    limits = list(effects.binomial_limits(count, confidence, 0.99))
    return {"truth": truth, "size": size, "trials": count, "coverage_limits": limits, "analyses": rows}
