"""What is varied, how a cost is measured along it, and the power that it grows by."""

import math
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from benchmarks.train_step.run import high_water

Work = Callable[[], Any]
SPAN = 0.02
"""Seconds that quick work is repeated for in each turn."""
FEWEST = 3
"""Points that a slope with an error takes."""


class Part(Protocol):
    """One thing whose cost is measured.

    Attributes:
        name: in words.
        routes: ways to do it.
        axes: what is varied, each alone -> its values; ``quick``: fewer and smaller ones.
    """

    name: str
    routes: tuple[str, ...]
    axes: Mapping[str, tuple[int, ...]]
    quick: Mapping[str, tuple[int, ...]]

    def ready(self, route: str, against: str, value: int) -> Work:
        """The work, with all that is made once made."""

    def small(self, route: str) -> Work:
        """The least of the same work."""


class Fit(NamedTuple):
    """``cost ~ value ** exponent`` from the value ``begin`` on; ``error``: the exponent's standard error."""

    exponent: float
    error: float
    begin: float
    points: int


def fit(values: Sequence[float], costs: Sequence[float | None]) -> Fit | None:
    """The slope of the logarithms by least squares over the upper half of the range of ``log(value)``.

    None where fewer than three costs above 0 are known there: what adds nothing has no power.
    """
    begin = math.sqrt(min(values) * max(values)) * (1 - 1e-9)
    known = [(value, cost) for value, cost in zip(values, costs, strict=True) if value >= begin and cost and cost > 0]
    if len(known) < FEWEST:
        return None
    x, y = np.log(np.array(known, float)).T
    spread = ((x - x.mean()) ** 2).sum()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / spread
    rest = y - y.mean() - slope * (x - x.mean())
    error = math.sqrt((rest**2).sum() / (len(x) - 2) / spread)
    return Fit(float(slope), error, float(known[0][0]), len(known))


def seconds_of(part: Part, against: str, values: Sequence[int], repeats: int) -> dict[tuple[str, int], float]:
    """CPU seconds of this process by route and value, all of them in turns: the least of the repeats."""
    works = {(route, value): part.ready(route, against, value) for value in values for route in part.routes}
    least = dict.fromkeys(works, math.inf)
    for turn in range(repeats + 1):  # the first warms up
        for key, work in works.items():
            until = time.perf_counter() + SPAN
            while True:
                begin = time.process_time()
                work()
                took = time.process_time() - begin
                if turn:
                    least[key] = min(least[key], took)
                if time.perf_counter() > until:
                    break
    return least


def peak_of(part: Part, route: str, against: str, value: int) -> float | None:
    """MiB that the work adds to the peak of a process of its own."""

    def measure() -> float:
        part.small(route)()  # what is loaded once is no one's
        work = part.ready(route, against, value)
        before = high_water()
        work()
        return (high_water() - before) / 1024

    return in_child(measure)


def in_child(work: Callable[[], float]) -> float | None:
    """What ``work`` gives in a fork of this process; None where the fork came to an end before (memory)."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)

    def run() -> None:
        send.send(work())

    child = context.Process(target=run)
    child.start()
    send.close()
    try:
        return float(receive.recv())
    except EOFError:
        return None
    finally:
        child.join()


def fits_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The exponents of time and memory of each part, route and axis."""
    found = []
    for what, route, against in dict.fromkeys((row["what"], row["route"], row["against"]) for row in rows):
        mine = [row for row in rows if (row["what"], row["route"], row["against"]) == (what, route, against)]
        told: dict[str, Any] = {"what": what, "against": against, "route": route}
        values = [row["value"] for row in mine]
        for key, name in (("cpu_ms", "time"), ("peak_mib", "memory")):
            one = fit(values, [row[key] for row in mine])
            told |= {name: one and one.exponent, f"{name}_error": one and one.error}
        begin = math.sqrt(min(values) * max(values)) * (1 - 1e-9)
        found.append(told | {"from": min(value for value in values if value >= begin), "to": max(values)})
    return found
