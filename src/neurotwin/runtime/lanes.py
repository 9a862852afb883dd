"""Lanes: many queries of one patient side by side instead of one after the other.

A graph walks the rows of a plan in sequence, and a row costs it far more than one more member of the batch. Queries
never move the state, so a plan can be walked by several copies of the patient (lanes), each asked a part of the
queries: ninety days asked within one step are one row of ninety lanes, not ninety rows.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.timeline import Timeline

Index = NDArray[np.int64]
ROW_COST = 64
"""Cost of one more row, in courses of a batch (a member of a model with K draws is K courses). Measured on CPUs: about
30 for wide models, 60 for small ones."""


@dataclass(frozen=True)
class Walk:
    """One subject's rows, and the row, lane and fraction of each of its queries.

    Attributes:
        source: ``[row]`` rows of the timeline that are acted out.
        peek: ``[row]`` 1 where the state at the END is forgotten.
        row, lane, fraction: ``[query]``.
    """

    source: Index
    peek: NDArray[np.float64]
    row: Index
    lane: Index
    fraction: NDArray[np.float64]


def spread(
    timeline: Timeline, subject: NDArray[Any], n_draws: int = 1, row_cost: int = ROW_COST
) -> tuple[Timeline, int, Index]:
    """A timeline of ``n_subjects * lanes`` members, the number of lanes, and each query's member.

    Args:
        timeline: of plans, as `build_timeline` made it.
        subject: ``[query]`` of the query table, in the order asked.
        n_draws: joint draws of the model.
        row_cost: of one more row; 0 for a graph that walks no rows.

    The new timeline's ``query_row`` is the row of each query. Subjects stand in order, each with its lanes together.
    """
    hosts = [_hosts(timeline, index, subject == index) for index in range(timeline.n_subjects)]
    lanes = _best(hosts, timeline.n_subjects * n_draws, row_cost)
    walks = [_walk(real, host, fraction, lanes) for real, host, fraction in hosts]
    n_rows = max(1, *(len(walk.source) for walk in walks))
    member, query_row = np.zeros(len(subject), np.int64), np.zeros(len(subject), np.int64)
    columns = {name: _padded(getattr(timeline, name), walks, n_rows, lanes) for name in ("dt", "control", "jump")}
    peek, query_at = np.zeros((2, timeline.n_subjects * lanes, n_rows))
    for index, walk in enumerate(walks):
        own = np.flatnonzero(subject == index)
        member[own], query_row[own] = index * lanes + walk.lane, walk.row
        query_at[member[own], walk.row] = walk.fraction
        peek[index * lanes : (index + 1) * lanes, : len(walk.source)] = walk.peek
    return replace(timeline, **columns, peek=peek, query_at=query_at, query_row=query_row), lanes, member


def _hosts(timeline: Timeline, index: int, own: NDArray[np.bool_]) -> tuple[Index, Index, NDArray[np.float64]]:
    """Rows of one subject that move its state up to the last query, and each query's position among them."""
    rows = timeline.query_row[own]
    real = np.flatnonzero(timeline.peek[index] == 0)
    host = np.searchsorted(real, rows)  # a query's own row, or the one that its peek row stands before
    acts = (timeline.dt[index, real] > 0) | (timeline.jump[index, real] != 0).any(axis=1)
    acts[host] = True
    acts[host.max(initial=-1) + 1 :] = False
    position = np.cumsum(acts) - 1
    return real[acts], position[host], timeline.query_at[index, rows]


def _best(hosts: list[tuple[Index, Index, NDArray[np.float64]]], courses: int, row_cost: int) -> int:
    """Number of lanes at the least cost; each holds ``courses``."""
    counts = [np.bincount(host, minlength=len(real)) for real, host, _ in hosts]
    most = max((int(count.max(initial=1)) for count in counts), default=1)
    choices = {1, *(-(-most // rows) for rows in range(1, min(most, 12) + 1))}

    def cost(lanes: int) -> int:
        rows = max(int(np.maximum(1, -(-count // lanes)).sum()) for count in counts)
        return rows * (row_cost + courses * lanes)

    return min(sorted(choices), key=cost)


def _walk(real: Index, host: Index, fraction: NDArray[np.float64], lanes: int) -> Walk:
    order = np.lexsort((fraction, host))
    count = np.bincount(host, minlength=len(real))
    rank = np.empty(len(host), dtype=np.int64)
    rank[order] = np.arange(len(host)) - np.repeat(np.cumsum(count) - count, count)
    rows = np.maximum(1, -(-count // lanes))
    end = np.cumsum(rows)
    peek = np.ones(int(end[-1]) if len(end) else 0)
    peek[end - 1] = 0.0
    return Walk(np.repeat(real, rows), peek, (end - rows)[host] + rank // lanes, rank % lanes, fraction)


def _padded(column: NDArray[np.float64], walks: list[Walk], n_rows: int, lanes: int) -> NDArray[np.float64]:
    table = np.zeros((len(walks), n_rows, *column.shape[2:]))
    for index, walk in enumerate(walks):
        table[index, : len(walk.source)] = column[index, walk.source]
    return np.repeat(table, lanes, axis=0)
