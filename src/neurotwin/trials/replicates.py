"""Trials repeated from one population in which both outcomes of everybody are known: power, type-I error, precision.

A replicate draws its subjects with replacement, allocates them anew, and looks their outcomes up; nothing is simulated
again. So the average effect that the replicates estimate is exactly that of the population.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import ConfigError
from neurotwin.extras import need
from neurotwin.trials import effects, survival
from neurotwin.trials.analysis import (
    BASELINE,
    BOTH,
    LOG_RANK,
    SCORE,
    UNADJUSTED,
    Pool,
    Sample,
    effect_of_means,
    p_value,
)
from neurotwin.trials.randomisation import Randomisation

Array = NDArray[np.float64]
MOST_DRAWS = 100


def replicates(
    pool: Pool, randomisation: Randomisation, size: int, count: int, seed: int, *, null: bool = False
) -> Iterator[Sample]:
    """``count`` trials of ``size`` subjects; an allocation that leaves an arm fewer than two is drawn again.

    Raises ConfigError where that happens to almost all.
    """
    rng = np.random.default_rng([seed, size, int(null)])
    made = 0
    for _ in range(MOST_DRAWS * count):
        index = rng.integers(0, len(pool), size)
        treated = randomisation.assign(pool.stratum[index], rng) == 1
        if 1 < treated.sum() < size - 1:
            made += 1
            yield Sample(index, treated, null)
        if made == count:
            return
    raise ConfigError(
        f"hardly any trial of {size} subjects has two in each arm",
        where="trial.sizes.power",
        expected="larger trials, or a ratio that is less uneven",
    )


def rejections(
    pool: Pool,
    randomisation: Randomisation,
    size: int,
    count: int,
    seed: int,
    confidence: float,
    *,
    null: bool = False,
    analyses: Sequence[str] | None = None,
) -> dict[str, dict[str, Any]]:
    """By analysis, the share of trials whose test rejects, with its exact interval; ``seed`` decides the trials."""
    names = tuple(analyses or pool.analyses)
    stratified = bool(randomisation.strata)
    count_of = dict.fromkeys(names, 0)
    for sample in replicates(pool, randomisation, size, count, seed, null=null):
        for name in names:
            p = p_value(pool, sample, name, confidence, stratified=stratified)
            count_of[name] += p < 1 - confidence
    found = {}
    for name in names:
        share, low, high = effects.exact_share(count_of[name], count, confidence)
        found[name] = {"share": share, "low": low, "high": high, "rejected": count_of[name], "trials": count}
    return found


def type_one_error(
    pool: Pool, randomisation: Randomisation, size: int, count: int, seed: int, confidence: float
) -> dict[str, Any]:
    """Rejections where nobody's outcome depends on the arm, and the limits within which a true level would fall."""
    found = rejections(pool, randomisation, size, count, seed, confidence, null=True)
    low, high = effects.binomial_limits(count, 1 - confidence, 0.99)
    return {
        "size": size,
        "trials": count,
        "limits": [low, high],
        "limits_confidence": 0.99,
        "analyses": {name: row | {"within": low <= row["share"] <= high} for name, row in found.items()},
    }


def power_curve(
    pool: Pool, randomisation: Randomisation, sizes: Sequence[int], count: int, seed: int, confidence: float
) -> list[dict[str, Any]]:
    """A row per size and analysis: the share that rejects, its interval, and what theory says."""
    share = randomisation.ratio[1] / sum(randomisation.ratio)
    drifts = {name: _drift(pool, name, share) for name in pool.analyses}
    rows = []
    for size in sizes:
        for name, row in rejections(pool, randomisation, size, count, seed, confidence).items():
            rows.append({"size": size, "analysis": name} | row | {"theory": _power(drifts[name], size, confidence)})
    return rows


def theory(pool: Pool, analysis: str, size: int, share: float, confidence: float) -> float | None:
    """Power by formula: of a t test with the variance that covariates leave; of a log-rank test by Schoenfeld
    (Biometrika 68:316, 1981), with the hazard ratio and the share of events of the whole population."""
    return _power(_drift(pool, analysis, share), size, confidence)


def _power(drift: float | None, size: int, confidence: float) -> float | None:
    if drift is None:
        return None
    normal = need("scipy.stats", "simulate").norm
    edge, shift = normal.ppf(0.5 + confidence / 2), drift * np.sqrt(size)
    return float(normal.sf(edge - shift) + normal.cdf(-edge - shift))


def _drift(pool: Pool, analysis: str, share: float) -> float | None:
    """Mean of the test's statistic, over the root of the number of subjects; None without a formula."""
    if analysis == LOG_RANK and pool.control.event is not None and pool.treated.event is not None:
        time = np.concatenate([pool.control.value, pool.treated.value])
        event = np.concatenate([pool.control.event, pool.treated.event])
        ratio = survival.hazard_ratio(time, event, np.repeat([False, True], len(pool)), 0.95)
        if ratio is None:
            return None
        events = share * pool.treated.event.mean() + (1 - share) * pool.control.event.mean()
        return float(abs(np.log(ratio.estimate)) * np.sqrt(share * (1 - share) * events))
    if analysis in (UNADJUSTED, BASELINE, SCORE, BOTH):
        variance, gap = asymptotic_variance(pool, analysis, share)
        return float(abs(gap) / np.sqrt(variance))
    return None


def asymptotic_variance(pool: Pool, analysis: str, share: float) -> tuple[float, float]:
    """``n`` times the variance of an effect of means among ``n`` subjects of whom ``share`` are treated, and the
    effect.

    var(Y1 - X b)/share + var(Y0 - X b)/(1 - share), with b pooled over the arms: the influence function of ANCOVA in a
    randomised trial (Schuler et al., Int J Biostat 18:329, 2022; Tsiatis et al., Stat Med 27:4658, 2008). With one
    covariate, equal shares and an effect that is the same for all it is 1 - r^2 of the unadjusted one. Where outcomes
    are missing, each arm counts those it has.
    """
    covariates = pool.covariates(analysis)
    centred = covariates - np.nanmean(covariates, axis=0)
    variances, means, slopes, parts = [], [], [], []
    for value, weight in ((pool.treated.value, share), (pool.control.value, 1 - share)):
        kept = np.isfinite(value) & np.isfinite(centred).all(axis=1)
        parts.append((value[kept], centred[kept], weight, kept.mean()))
    if covariates.shape[1]:
        # Pooled over the arms, each with its weight in the trial.
        within = [(y - y.mean(), x - x.mean(axis=0), weight * seen / len(y)) for y, x, weight, seen in parts]
        square = sum(scale * x.T @ x for _, x, scale in within)
        slopes = np.linalg.lstsq(square, sum(scale * x.T @ y for y, x, scale in within), rcond=None)[0]
    for y, x, weight, seen in parts:
        left = y - x @ slopes if covariates.shape[1] else y
        variances.append(left.var() / (weight * seen))
        means.append(left.mean())
    return float(sum(variances)), float(means[0] - means[1])


def precision(
    pool: Pool, randomisation: Randomisation, size: int, count: int, seed: int, confidence: float
) -> dict[str, Any]:
    """By analysis of means: bias, spread, coverage, and the ratio of variances to the unadjusted analysis, measured in
    replicates and by theory.

    The interval of the ratio is a percentile bootstrap over the replicates, which all analyses share.
    """
    names = pool.analyses
    share = randomisation.ratio[1] / sum(randomisation.ratio)
    truth = asymptotic_variance(pool, UNADJUSTED, share)[1]
    told: dict[str, list[effects.Effect]] = {name: [] for name in names}
    for sample in replicates(pool, randomisation, size, count, seed):
        for name in names:
            told[name].append(effect_of_means(pool, sample, name, confidence))
    estimates = {name: np.array([one.estimate for one in told[name]]) for name in names}
    chosen = np.random.default_rng(seed).integers(0, count, (1000, count))
    base, rows = asymptotic_variance(pool, UNADJUSTED, share)[0], {}
    for name in names:
        found, first = estimates[name], estimates[UNADJUSTED]
        ratios = found[chosen].var(axis=1) / first[chosen].var(axis=1)
        covered = sum(one.low <= truth <= one.high for one in told[name])
        rows[name] = {
            "mean": float(found.mean()),
            "bias": float(found.mean() - truth),
            "bias_se": float(found.std(ddof=1) / np.sqrt(count)),
            "sd": float(found.std(ddof=1)),
            "mean_se": float(np.mean([one.se for one in told[name]])),
            "coverage": covered / count,
            "coverage_limits": list(effects.binomial_limits(count, confidence, 0.99)),
            "variance_ratio": float(found.var() / first.var()),
            "variance_ratio_low": float(np.quantile(ratios, 0.025)),
            "variance_ratio_high": float(np.quantile(ratios, 0.975)),
            "variance_ratio_theory": asymptotic_variance(pool, name, share)[0] / base,
        }
    return {"size": size, "trials": count, "truth": truth, "correlation": correlation(pool), "analyses": rows}


def correlation(pool: Pool) -> dict[str, float] | None:
    """Of the twin's forecast with the outcome, by arm; None without twins."""
    if pool.score is None:
        return None
    found = {}
    for name, outcome in (("control", pool.control), ("treated", pool.treated)):
        kept = np.isfinite(outcome.value) & np.isfinite(pool.score)
        found[name] = float(np.corrcoef(outcome.value[kept], pool.score[kept])[0, 1])
    return found
