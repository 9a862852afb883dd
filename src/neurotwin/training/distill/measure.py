"""How far a distilled flow is off its teacher, on held-out subjects, and over which plans that was measured."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurotwin.cohort import Cohort
from neurotwin.models.distilled_flow import DistilledFlow
from neurotwin.timeline.given import changes_and_totals
from neurotwin.training.distill.courses import CourseSource
from neurotwin.training.distill.data import MEASURE, CourseData
from neurotwin.training.distill.plans import KINDS

HALF_WIDTH = 1.6448536
"""Of a 90 % interval, in standard deviations."""
ALLOWED = 0.2
"""Largest error, as a share of a 90 % interval's half-width, with which a forecast counts as the teacher's: such a
shift costs a Gaussian interval 1.8 of its 90 points of coverage."""
REPEATS = 4
Array = NDArray[np.float64]


def measure(model: DistilledFlow, data: CourseData, part: Cohort, edges: list[float]) -> dict[str, Any]:
    """What stands in the bundle as ``distilled``: errors by channel and horizon on each kind of plan, and the bounds.

    Errors are those of a forecast's mean against the teacher's, in the channel's scale (its standard deviation in
    training, on its modelling scale), from the state's clock on.

    Args:
        data: what the flow was distilled from; random plans and query times are drawn from a stream of its own.
        part: subjects that neither the teacher nor the flow was trained on.
        edges: upper edges of horizon bins; those below the longest horizon are used.
    """
    source = data.source(model, part)
    edges = [*(edge for edge in edges if edge < source.horizon), source.horizon]
    rng = np.random.default_rng((data.seed, MEASURE))
    measured: dict[str, list[tuple[Array, Array, Array]]] = {"own": [], "other": []}
    changes, totals, subjects = 0, np.zeros(model.n_control), 0
    for _ in range(REPEATS):
        for kind in ("own", "other"):
            found = _answers(model, source, rng, None if kind == "other" else KINDS.index("own"))
            measured[kind].append(found[:3])
            changes, totals = max(changes, found[3]), np.maximum(totals, found[4])
            subjects = max(subjects, len(found[0]))
    tables = {kind: _table(parts, edges, model) for kind, parts in measured.items()}
    names = [variable.name for variable in model.schema.variables]
    worse = np.maximum(*(np.array([tables[kind][name]["share"] for name in names]) for kind in ("own", "other")))
    return {
        "subjects": subjects,
        "plans": 2 * REPEATS * subjects,
        "horizons": edges,
        "errors": {"own_plans": tables["own"], "all_plans": tables["other"]},
        "share": {name: worse[index].tolist() for index, name in enumerate(names)},
        "allowed_share": ALLOWED,
        "longest": source.horizon,
        "changes": changes,
        "totals": {item.name: float(total) for item, total in zip(model.schema.treatments, totals, strict=True)},
    }


def _answers(
    model: DistilledFlow, source: CourseSource, rng: np.random.Generator, kind: int | None
) -> tuple[Array, Array, Array, int, Array]:
    """Horizons ``[subject, query]``, absolute errors and their shares ``[subject, query, obs]``, most changes and
    totals of a plan."""
    episodes, _ = source.episodes(rng, len(source.cohort), kind)
    plan = episodes.plan(model.solver.max_step)
    state, rows, place = source.asked_of(episodes)
    with torch.no_grad():
        student, teacher = model.forecast(state, rows), model.teacher.forecast(state, rows)
    index = torch.arange(len(place)).unsqueeze(1)

    def at(values: Tensor) -> Array:
        return np.asarray(values[index, place].double().numpy())

    error = np.abs(at(student.mean) - at(teacher.mean))
    horizon = episodes.queries.time.reshape(place.shape) - episodes.clock[:, None]
    changes, totals = changes_and_totals(plan)
    share = error / (HALF_WIDTH * at(teacher.deviation))
    return horizon, error, share, int(changes.max(initial=0)), totals.max(axis=0, initial=0.0)


def _table(parts: list[tuple[Array, Array, Array]], edges: list[float], model: DistilledFlow) -> dict[str, Any]:
    """By channel: quantiles of the error, and the 95th percentile of its share, in each horizon bin."""
    horizon = np.concatenate([part[0].ravel() for part in parts])
    error, share = (np.concatenate([part[number].reshape(-1, model.n_obs) for part in parts]) for number in (1, 2))
    place = np.minimum(np.searchsorted(edges, horizon), len(edges) - 1)

    def each(values: Array, level: float) -> list[float]:
        return [float(np.quantile(values[place == number], level)) for number in range(len(edges))]

    return {
        variable.name: {
            "median": each(error[:, index], 0.5),
            "p95": each(error[:, index], 0.95),
            "worst": each(error[:, index], 1.0),
            "share": each(share[:, index], 0.95),
        }
        for index, variable in enumerate(model.schema.variables)
    }
