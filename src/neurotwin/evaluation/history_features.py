"""What a regression can be told about a forecast: numbers that sum up a subject's past, its plan and the query.

Per variable, on its modelling scale: last value and its age, first, previous, mean, lowest and highest value, spread,
slope of a straight line, change since the value before, since the first, the lowest and the highest (on a logarithmic
scale these are ratios), and how many. Of the subject: covariates, visits and the time that they span. Of each
treatment: what was given until the cut, its level there, and what is given from there to the query. Of the query: its
time and its horizon. What is not known is NaN.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from neurotwin.calibration import modelled
from neurotwin.episodes import Episodes
from neurotwin.events import Doses, Observations

Array = NDArray[np.float64]
Index = NDArray[np.int64]

PER_VARIABLE = tuple(
    "last age first previous mean lowest highest spread slope step rise from_lowest from_highest count".split()
)


def feature_names(episodes: Episodes) -> tuple[str, ...]:
    """Names of the columns of `query_features`."""
    schema = episodes.schema
    own = [f"{variable.name}.{name}" for variable in schema.variables for name in PER_VARIABLE]
    given = [f"{one.name}.{name}" for one in schema.treatments for name in ("given", "level", "planned")]
    return (*own, *schema.static_columns, "visits", "span", "cut", "since_visit", *given, "time", "horizon")


def query_features(episodes: Episodes) -> Array:
    """``[query, feature]``, named by `feature_names`; times in the schema's unit."""
    subject, time = episodes.queries.subject, episodes.queries.time
    static = np.where(episodes.static_mask > 0, episodes.static, np.nan)
    of_subject = np.column_stack([past_values(episodes), static, _visits(episodes)])
    given = [column for columns in _treatments(episodes) for column in columns]
    return np.column_stack([of_subject[subject], *given, time, time - episodes.cut[subject]])


def past_values(episodes: Episodes) -> Array:
    """``[subject, obs * len(PER_VARIABLE)]``: the past of each variable in a few numbers."""
    seen, blocks = episodes.observations, []
    for number, variable in enumerate(episodes.schema.variables):
        mine = seen.take(seen.variable == number)
        value = modelled(variable, mine.value)
        known = np.isfinite(value)
        blocks.append(_summary(mine.take(known), value[known], episodes.cut))
    return np.column_stack(blocks)


def _summary(seen: Observations, value: Array, cut: Array) -> Array:
    order = np.lexsort((seen.post_dose, seen.time, seen.subject))
    subject, time, value = seen.subject[order], seen.time[order], value[order]
    table = np.full((len(cut), len(PER_VARIABLE)), np.nan)
    table[:, -1] = 0.0
    if not len(value):
        return table
    first = np.flatnonzero(np.r_[True, np.diff(subject) != 0])
    count = np.diff(np.r_[first, len(value)])
    last, owner = first + count - 1, subject[first]
    mean = np.add.reduceat(value, first) / count
    lowest, highest = np.minimum.reduceat(value, first), np.maximum.reduceat(value, first)
    centred = value - np.repeat(mean, count)
    early = time - np.repeat(np.add.reduceat(time, first) / count, count)
    width = np.add.reduceat(early**2, first)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(width > 0, np.add.reduceat(early * centred, first) / width, np.nan)
    previous = np.where(count > 1, value[np.maximum(last - 1, 0)], np.nan)
    end = value[last]
    columns = [end, cut[owner] - time[last], value[first], previous, mean, lowest, highest]
    columns += [np.sqrt(np.add.reduceat(centred**2, first) / count), slope]
    columns += [end - previous, end - value[first], end - lowest, end - highest, count]
    table[owner] = np.column_stack(columns)
    return table


def _visits(episodes: Episodes) -> Array:
    """``[subject, 4]``: number of visits, the time that they span, the cut, and the time since the last visit."""
    seen, n = episodes.observations, len(episodes)
    visits = np.unique(np.stack([seen.subject.astype(np.float64), seen.time], axis=1), axis=0)
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(low, seen.subject, seen.time)
    np.maximum.at(high, seen.subject, seen.time)
    number = np.bincount(visits[:, 0].astype(np.int64), minlength=n)
    some = number > 0
    span, since = np.where(some, high - low, np.nan), np.where(some, episodes.cut - high, np.nan)
    return np.column_stack([number, span, episodes.cut, since])


def _treatments(episodes: Episodes) -> Iterator[tuple[Array, ...]]:
    """Per treatment and query: what was given until the cut, its level there, and what follows until the query."""
    subject, time = episodes.queries.subject, episodes.queries.time
    cut, doses, n = episodes.cut, episodes.doses, len(episodes)
    for number in range(len(episodes.schema.treatments)):
        mine = doses.take(doses.treatment == number)
        until_cut = np.bincount(mine.subject, _amount(mine, -np.inf, cut[mine.subject]), n)
        held = ~mine.is_bolus & (mine.time < cut[mine.subject]) & (mine.end > cut[mine.subject])
        level = np.bincount(mine.subject[held], mine.amount[held], n)
        query, row = _pairs(subject, mine.subject)
        planned = _amount(mine.take(row), cut[subject[query]], time[query])
        ahead = np.bincount(query, planned, len(subject))
        yield tuple(np.asarray(column, dtype=np.float64) for column in (until_cut[subject], level[subject], ahead))


def _amount(doses: Doses, after: Array | float, until: Array) -> Array:
    """Amount of each dose from ``after`` to before ``until``; a rate or level counts times its duration."""
    bolus = np.where((doses.time >= after) & (doses.time < until), doses.amount, 0.0)
    begin, end = np.maximum(doses.time, after), np.minimum(np.where(doses.is_bolus, doses.time, doses.end), until)
    return np.where(doses.is_bolus, bolus, doses.amount * np.maximum(end - begin, 0.0))


def _pairs(query: NDArray[np.int32], dose: NDArray[np.int32]) -> tuple[Index, Index]:
    """All (query row, dose row) of the same subject; ``dose`` is sorted."""
    begin, end = np.searchsorted(dose, query, side="left"), np.searchsorted(dose, query, side="right")
    count = end - begin
    first = np.repeat(begin - (np.cumsum(count) - count), count)
    return np.repeat(np.arange(len(query)), count), first + np.arange(int(count.sum()))
