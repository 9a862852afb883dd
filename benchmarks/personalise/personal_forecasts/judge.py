"""What a route's answers are worth: error, interval, time; and differences between routes on the same patients."""

from typing import Any, NamedTuple

import numpy as np
from benchmarks.personalise.personal_forecasts.routes import Answer, Route
from benchmarks.personalise.personal_forecasts.schedules import Array
from benchmarks.personalise.personal_forecasts.tasks import Questions

from neurotwin.evaluation.bootstrap import bootstrap_sums, percentile_interval

REPLICATES = 4000


class Judged(NamedTuple):
    """Per patient: mean squared error against the ``truth`` and against what was ``measured``, share ``covered``, mean
    ``width``; ``told`` by the route."""

    truth: Array
    measured: Array
    covered: Array
    width: Array
    told: list[dict[str, float]]

    @property
    def error(self) -> float:
        """Root mean square over patients, each with the same weight."""
        return float(np.sqrt(self.truth.mean()))


def judge(questions: Questions, answers: list[Answer]) -> Judged:
    """Answers of the first patients; a forecast that is not finite is an error of its own, not left out."""
    task, rows = questions.task, []
    for patient, answer in enumerate(answers):
        mine = questions.episodes.queries.subject == patient
        value = questions.targets.value[mine]
        low, high = (np.clip(end, *task.limits) for end in (answer.low, answer.high))
        if not all(np.isfinite(item).all() for item in (answer.point, low, high)):
            raise ArithmeticError(f"{task.name}: patient {patient} was answered with a number that is not finite")
        off, against = answer.point - task.scored(questions.truth[mine]), answer.point - task.scored(value)
        width = task.scored(high) - task.scored(low)
        covered = (low <= value) & (value <= high)
        rows.append([(off**2).mean(), (against**2).mean(), covered.mean(), width.mean()])
    return Judged(*np.array(rows).T, [answer.told for answer in answers])


def row_of(questions: Questions, route: Route, judged: Judged) -> dict[str, Any]:
    """For results.json."""
    told = judged.told[0]
    more = {name: float(np.median([one[name] for one in judged.told])) for name in told}
    if "ess" in told:
        more |= {
            "least_ess": min(one["ess"] for one in judged.told),
            "worst_rhat": max(one["rhat"] for one in judged.told),
        }
        more.pop("rhat")
    return {
        "problem": questions.task.name,
        "route": route.name,
        "knows": route.knows,
        "setting": route.setting,
        "patients": len(judged.truth),
        "repeats": len(route.seconds),
        "seconds": min(route.seconds),
        "error": judged.error,
        "error_measured": float(np.sqrt(judged.measured.mean())),
        "unit": questions.task.unit,
        "coverage": float(judged.covered.mean()),
        "width": float(judged.width.mean()),
    } | more


def compared(one: Judged, other: Judged, *, seed: int = 1) -> dict[str, float]:
    """Error of ``one`` over that of ``other`` on the patients that both answered, and its 95 % interval: bootstrap over
    patients, paired."""
    n = min(len(one.truth), len(other.truth))
    columns = np.stack([one.truth[:n], other.truth[:n]], axis=1)
    sums = bootstrap_sums(columns, n_bootstrap=REPLICATES, seed=seed)
    ratio = np.sqrt(sums[:, 0] / sums[:, 1])
    low, high = percentile_interval(ratio[1:, None])
    return {"ratio": float(ratio[0]), "low": float(low[0]), "high": float(high[0]), "patients": n}
