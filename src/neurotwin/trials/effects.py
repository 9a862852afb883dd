"""Effects with their intervals: of means, adjusted means, and proportions. The statistics are those of statsmodels."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.extras import need

Array = NDArray[np.float64]


class Effect(NamedTuple):
    """Treated less control (or over control, for a ratio), with its interval, standard error, p value, and the
    ``method``; ``n`` subjects took part."""

    estimate: float
    low: float
    high: float
    se: float
    p: float
    method: str
    n: int


def mean_difference(value: Array, treated: NDArray[np.bool_], confidence: float) -> Effect:
    """Difference of means, with Welch's interval for unequal variances."""
    stats = need("scipy.stats", "simulate")
    kept = np.isfinite(value)
    found = stats.ttest_ind(value[kept & treated], value[kept & ~treated], equal_var=False)
    low, high = found.confidence_interval(confidence)
    estimate = float(value[kept & treated].mean() - value[kept & ~treated].mean())
    se = float(abs(estimate / found.statistic)) if found.statistic else np.nan
    return Effect(estimate, float(low), float(high), se, float(found.pvalue), "Welch", int(kept.sum()))


def adjusted_difference(
    value: Array, treated: NDArray[np.bool_], covariates: Array, confidence: float, method: str = "ANCOVA"
) -> Effect:
    """Coefficient of the treatment in a linear model with covariates ``[subject, covariate]``.

    Its standard error is robust against unequal variances (HC3: Long and Ervin, Am Stat 54:217, 2000). A linear
    working model need not be right: after randomisation the coefficient estimates the average effect all the same
    (Lin, Ann Appl Stat 7:295, 2013). Subjects without a value or a covariate are left out.
    """
    api: Any = need("statsmodels.regression.linear_model", "baselines")
    kept = np.isfinite(value) & np.isfinite(covariates).all(axis=1)
    centred = covariates[kept] - covariates[kept].mean(axis=0)
    design = np.column_stack([np.ones(kept.sum()), treated[kept], centred[:, centred.std(axis=0) > 0]])
    fit = api.OLS(value[kept], design).fit(cov_type="HC3", use_t=True)
    low, high = fit.conf_int(1 - confidence)[1]
    return Effect(
        float(fit.params[1]), float(low), float(high), float(fit.bse[1]), float(fit.pvalues[1]), method, int(kept.sum())
    )


def risk_difference(value: Array, treated: NDArray[np.bool_], confidence: float) -> Effect:
    """Difference of proportions with Newcombe's hybrid score interval (Stat Med 17:873, 1998; his method 10); the p
    value is Fisher's exact one."""
    proportion, stats = need("statsmodels.stats.proportion", "baselines"), need("scipy.stats", "simulate")
    kept = np.isfinite(value)
    count = [int(value[kept & side].sum()) for side in (treated, ~treated)]
    total = [int((kept & side).sum()) for side in (treated, ~treated)]
    low, high = proportion.confint_proportions_2indep(
        count[0], total[0], count[1], total[1], method="newcomb", compare="diff", alpha=1 - confidence
    )
    share = np.divide(count, total)
    se = float(np.sqrt((share * (1 - share) / total).sum()))
    p = stats.fisher_exact([count, np.subtract(total, count).tolist()]).pvalue
    return Effect(float(share[0] - share[1]), float(low), float(high), se, float(p), "Newcombe", int(kept.sum()))


def exact_share(count: int, total: int, confidence: float) -> tuple[float, float, float]:
    """A proportion with its exact interval (Clopper and Pearson, Biometrika 26:404, 1934)."""
    low, high = need("statsmodels.stats.proportion", "baselines").proportion_confint(
        count, total, alpha=1 - confidence, method="beta"
    )
    return count / total, float(low), float(high)


def binomial_limits(total: int, probability: float, confidence: float) -> tuple[float, float]:
    """Shares between which a count of ``total`` draws falls with at least this confidence, if the probability is
    true."""
    low, high = need("scipy.stats", "simulate").binom.interval(confidence, total, probability)
    return float(low) / total, float(high) / total
