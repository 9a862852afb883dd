"""The rows of one subject with few events, by plain Python.

The same rows, bit for bit, that arrays are cut into for a batch. For a patient who is asked for alone, a hundred
operations on arrays of thirty entries would take several times as long as a small model; a test holds both together.
"""

import math
from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from neurotwin.events import Doses, Observations, Queries
from neurotwin.timeline.table import Timeline

Array = NDArray[np.float64]
Anchor = tuple[float, int]
Given = tuple[float, float, float, int, float]
"""Opening, time, end, treatment and amount of a dose."""
MOST_EVENTS, MOST_STEPS = 400, 2000
"""Beyond them arrays are as fast."""


class _Steps:
    """Steps of one subject: lengths, and which step reaches and which one leaves each anchor."""

    def __init__(self, anchors: list[Anchor], last_asked: float, at_least: int, max_step: float) -> None:
        self.dt, self.reaching, self.leaving = [0.0], [0], list[int]()
        before = anchors[0][0]
        for time, _ in anchors[1:]:
            gap = time - before
            count = max(1, math.ceil(gap / max_step - 1e-9))
            self.leaving.append(len(self.dt))
            self.dt += [gap / count] * count
            self.reaching.append(len(self.dt) - 1)
            before = time
        self.leaving.append(len(self.dt))
        self.dt += [max_step] * max(at_least, math.ceil((last_asked - before) / max_step - 1e-9))


def single_timeline(
    start: Array,
    static: Array,
    static_mask: Array,
    sizes: tuple[int, int],
    observations: Observations,
    doses: Doses,
    queries: Queries,
    max_step: float,
) -> Timeline | None:
    """Rows of one subject; None where arrays should see to it: many events or steps, and all that is wrong.

    Args:
        sizes: variables and treatments.
        The others are those of `build_timeline`.
    """
    if len(observations) + len(doses) + len(queries) > MOST_EVENTS or not max_step > 0:
        return None
    begin = float(start[0])
    asked = list(zip(queries.time.tolist(), map(int, queries.post_dose.tolist()), strict=True))
    seen = list(zip(observations.time.tolist(), map(int, observations.post_dose.tolist()), strict=True))
    columns = (doses.time.tolist(), doses.end.tolist(), doses.treatment.tolist(), doses.amount.tolist())
    given = [(max(row[0], begin), *row) for row in zip(*columns, strict=True) if not row[1] <= begin]
    if not _is_sound(begin, seen + asked, given):
        return None
    anchors = _anchors(begin, seen, given)
    final = anchors[-1]
    last_asked = max(asked)[0] if asked else final[0]
    if max(last_asked, final[0]) - begin > MOST_STEPS * max_step:
        return None
    steps = _Steps(anchors, last_asked, int(final[1] == 0 and (final[0], 1) in asked), max_step)
    place = {anchor: index for index, anchor in enumerate(anchors)}
    row_step, step_row, query_row, fraction = _queried(asked, anchors, steps)
    n_rows = len(row_step)
    jump, control = _treated(given, place, steps, sizes[1])
    value, mask, censor = _seen(observations, [step_row[steps.reaching[place[one]]] for one in seen], n_rows, sizes[0])
    query, query_at, peek = np.zeros((3, 1, n_rows))
    query[0, query_row] = 1.0
    query_at[0, query_row] = fraction
    dt = np.array(steps.dt)
    if n_rows > len(dt):
        dt, jump, control = dt[row_step], jump[row_step], control[row_step]
        peek[:] = 1.0
        peek[0, step_row] = 0.0
    return Timeline(
        start=start,
        static=static,
        static_mask=static_mask,
        dt=dt[None],
        control=control[None],
        jump=jump[None],
        value=value[None],
        mask=mask[None],
        censor=censor[None],
        query=query,
        query_at=query_at,
        peek=peek,
        query_row=np.array(query_row, dtype=np.int64),
    )


def _is_sound(begin: float, seen: list[Anchor], given: list[Given]) -> bool:
    """Whether all times can be used; arrays tell what is wrong."""
    for time, _ in seen:
        if not begin <= time < math.inf:
            return False
    for _, time, end, _, amount in given:
        if not math.isfinite(time) or not math.isfinite(amount):
            return False
        if not end > time and (end == end or time < begin):
            return False
    return math.isfinite(begin)


def _anchors(begin: float, seen: list[Anchor], given: list[Given]) -> list[Anchor]:
    """As `find_anchors`."""
    marks = {(begin, 0), *seen}
    marks.update([(time, 0) for time, late in seen if late])
    marks.update([(dose[0], 0) for dose in given])
    marks.update([(dose[2], 0) for dose in given if dose[2] < math.inf])
    final, _ = max(marks)
    if any(dose[0] == final and dose[2] != dose[2] for dose in given):
        marks.add((final, 1))
    return sorted(marks)


def _queried(
    asked: list[Anchor], anchors: list[Anchor], steps: _Steps
) -> tuple[list[int], list[int], list[int], list[float]]:
    """Step of each row, row of each step, row and fraction of each query: all but the last query of a step have rows of
    their own before it."""
    n_steps = len(steps.dt)
    found = []
    for number, (time, late) in enumerate(asked):
        origin = bisect_right(anchors, (time, late)) - 1
        if anchors[origin] == (time, late):
            found.append((steps.reaching[origin], 1.0, number))
            continue
        first = steps.leaving[origin]
        dt = steps.dt[first]
        share = (time - anchors[origin][0]) / dt if dt > 0 else 0.0
        later = max(math.ceil(share - 1e-9) - 1, 0)
        found.append((first + later, min(max(share - later, 0.0), 1.0), number))
    fraction = [share for _, share, _ in found]
    found.sort()
    query_row = [0] * len(asked)
    if len({step for step, _, _ in found}) == len(found):
        rows = list(range(n_steps))
        for step, _, number in found:
            query_row[number] = step
        return rows, rows, query_row, fraction
    row_step: list[int] = []
    step_row, next_one = [0] * n_steps, 0
    for step in range(n_steps):
        while next_one < len(found) and found[next_one][0] == step:
            query_row[found[next_one][2]] = len(row_step)
            next_one += 1
            if next_one < len(found) and found[next_one][0] == step:
                row_step.append(step)
        step_row[step] = len(row_step)
        row_step.append(step)
    return row_step, step_row, query_row, fraction


def _treated(given: list[Given], place: dict[Anchor, int], steps: _Steps, n: int) -> tuple[Array, Array]:
    """Jumps and controls ``[step, treatment]``."""
    n_steps = len(steps.dt)
    jump = [0.0] * (n_steps * n)
    control = np.zeros((n_steps, n))
    for opening, _, end, treatment, amount in given:
        first = steps.leaving[place[opening, 0]]
        if end != end:
            jump[first * n + treatment] += amount
        else:
            stop = steps.leaving[place[end, 0]] if end < math.inf else n_steps
            control[first:stop, treatment] += amount
    return np.array(jump).reshape(n_steps, n), control


def _seen(observations: Observations, row: list[int], n_rows: int, n: int) -> tuple[Array, Array, Array]:
    """Values, masks and censoring ``[row, variable]``; repeats are averaged."""
    value, count, censor = ([0.0] * (n_rows * n) for _ in range(3))
    columns = (observations.variable.tolist(), observations.value.tolist(), observations.censor.tolist())
    for here, variable, number, side in zip(row, *columns, strict=True):
        cell = here * n + variable
        value[cell] = (value[cell] + number) if count[cell] else number
        count[cell] += 1
        censor[cell] += side
    if max(count, default=0.0) > 1:
        value = [number / many if many else 0.0 for number, many in zip(value, count, strict=True)]
    table = np.array([value, [float(many > 0) for many in count], censor])
    values, mask, sides = table.reshape(3, n_rows, n)
    return values, mask, np.sign(sides)
