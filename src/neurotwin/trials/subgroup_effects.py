"""Effects within subgroups, and whether they differ more than chance lets them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.extras import need
from neurotwin.trials import effects, survival
from neurotwin.trials.analysis import BASELINE, Pool, Sample
from neurotwin.trials.groups import Grouped

Array = NDArray[np.float64]
LEAST = 8
"""Subjects of a subgroup below which no effect is told."""


def subgroup_effects(pool: Pool, complete: Pool, sample: Sample, grouped: Grouped, confidence: float) -> dict[str, Any]:
    """Per subgroup the effect with its interval (ANCOVA, Cox, or Newcombe) and the true one; ``interaction_p`` of a
    test that all are the same (Wald, of the products of arm and subgroup).

    ``complete`` is the pool without dropout, which the truth is told of.
    """
    outcome, index = sample.outcome(pool), grouped.member[sample.rows]
    rows = []
    for place, label in enumerate(grouped.labels):
        mine = index == place
        told = None
        if _enough(mine, outcome.value, sample.treated):
            part = Sample(sample.rows[mine], sample.treated[mine], sample.null)
            told = _effect(pool, part, confidence)
        rows.append(
            {
                "label": label,
                "n": int(mine.sum()),
                "effect": told._asdict() if told else None,
                "truth": _truth(complete, grouped.member == place),
            }
        )
    return {
        "by": grouped.name,
        "rows": rows,
        "interaction_p": _interaction(pool, sample, index),
        "measure": "hazard ratio" if outcome.event is not None else "difference",
    }


def _enough(mine: NDArray[np.bool_], value: Array, treated: NDArray[np.bool_]) -> bool:
    seen = mine & np.isfinite(value)
    return bool(seen.sum() >= LEAST and min((seen & treated).sum(), (seen & ~treated).sum()) >= LEAST // 2)


def _effect(pool: Pool, part: Sample, confidence: float) -> effects.Effect | None:
    outcome = part.outcome(pool)
    if outcome.event is not None:
        return survival.hazard_ratio(outcome.value, outcome.event, part.treated, confidence)
    if pool.kind == "binary":
        return effects.risk_difference(outcome.value, part.treated, confidence)
    covariates = pool.covariates(BASELINE)[part.rows]
    return effects.adjusted_difference(outcome.value, part.treated, covariates, confidence)


def _truth(pool: Pool, mine: NDArray[np.bool_]) -> float | None:
    """Of everybody in the pool who belongs to the subgroup."""
    rows = np.flatnonzero(mine)
    if not len(rows):
        return None
    control, treated = pool.control.take(rows), pool.treated.take(rows)
    if control.event is not None and treated.event is not None:
        told = survival.hazard_ratio(
            np.concatenate([control.value, treated.value]),
            np.concatenate([control.event, treated.event]),
            np.repeat([False, True], len(rows)),
            0.95,
        )
        return told.estimate if told else None
    return float(np.nanmean(treated.value - control.value))


def _interaction(pool: Pool, sample: Sample, index: NDArray[np.int64]) -> float | None:
    """p value of all products of arm and subgroup together; None where a subgroup cannot be told apart."""
    outcome, treated = sample.outcome(pool), sample.treated
    kept = np.isfinite(outcome.value)
    present = [one for one in np.unique(index[kept]) if _enough(index == one, outcome.value, treated)]
    kept &= np.isin(index, present)
    if len(present) < 2:
        return None
    groups = np.stack([index[kept] == one for one in present[1:]], axis=1).astype(np.float64)
    arm = treated[kept].astype(np.float64)[:, None]
    design = np.hstack([arm, groups, arm * groups])
    last = np.eye(design.shape[1])[-groups.shape[1] :]
    if outcome.event is not None:
        cox = need("statsmodels.duration.hazard_regression", "baselines")
        fit = cox.PHReg(outcome.value[kept], design, status=outcome.event[kept].astype(int), ties="efron").fit(disp=0)
    else:
        linear = need("statsmodels.regression.linear_model", "baselines")
        extra = pool.covariates(BASELINE)[sample.rows][kept] if pool.kind == "continuous" else np.zeros((kept.sum(), 0))
        whole = np.column_stack([design, extra - extra.mean(axis=0) if extra.shape[1] else extra, np.ones(kept.sum())])
        last = np.pad(last, ((0, 0), (0, whole.shape[1] - last.shape[1])))
        fit = linear.OLS(outcome.value[kept], whole).fit(cov_type="HC3", use_t=True)
    coefficient, covariance = last @ fit.params, last @ np.asarray(fit.cov_params()) @ last.T
    try:
        wald = float(coefficient @ np.linalg.solve(covariance, coefficient))
    except np.linalg.LinAlgError:
        return None
    return float(need("scipy.stats", "simulate").chi2.sf(wald, len(coefficient)))
