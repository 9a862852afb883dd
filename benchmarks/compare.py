"""Goals of a quick run beside those in a committed results.json: what has become worse than the slack allows."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks import page

SLACK = 0.85
"""Share of a goal, or of a committed figure that missed it, that a quick run must reach."""
HELD, FAILED, LEFT = "held", "FAILED", "not judged"
Goal = Mapping[str, Any]


class Verdict(NamedTuple):
    """On one committed goal. ``bound``: what the quick figure may not pass; None where nothing is judged."""

    benchmark: str
    name: str
    direction: str
    goal: float | None
    committed: float | None
    quick: float | None
    bound: float | None
    state: str
    why: str = ""


def bound_of(goal: Goal) -> float | None:
    """The goal with its slack where the committed figure met it, else that figure with the same slack."""
    figure, asked = goal["measured"], goal["goal"]
    if figure is None:
        return None
    base = asked if page.met(asked, goal["direction"], figure) else figure
    looser_is_less = (goal["direction"] == page.LARGER) == (base >= 0)
    return float(base * SLACK if looser_is_less else base / SLACK)


def judge(
    benchmark: str, committed: Sequence[Goal], quick: Sequence[Goal], full_only: Mapping[str, str]
) -> list[Verdict]:
    """A verdict on every committed goal. One that the quick run neither tells nor is excused from has failed; one that
    it could not measure (a peer or a device is missing) is not judged."""
    told = {plain(one["name"]): one["measured"] for one in quick}
    found = []
    for one in committed:
        name, figure = plain(one["name"]), one["measured"]
        excuse = next((why for part, why in full_only.items() if part in name), None)
        bound, value = bound_of(one), told.get(name)
        if excuse is not None:
            state, why, value = LEFT, f"full run only: {excuse}", None
        elif name not in told:
            state, why = FAILED, "the quick run does not name this goal"
        elif value is None:
            state, why = LEFT, "not measured here"
        elif bound is None:
            state, why = LEFT, "no committed figure"
        else:
            state, why = (HELD if page.met(bound, one["direction"], value) else FAILED), ""
        found.append(Verdict(benchmark, name, one["direction"], one["goal"], figure, value, bound, state, why))
    return found


def plain(name: str) -> str:
    """A goal's name without what stands in parentheses: that may depend on the machine."""
    return re.sub(r" \([^)]*\)", "", name)


def better(first: Sequence[Verdict], second: Sequence[Verdict]) -> list[Verdict]:
    """Of two runs: a goal has failed that failed in both."""
    return [
        other if one.state == FAILED and other.state == HELD else one for one, other in zip(first, second, strict=True)
    ]


def failed(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that count."""
    return [one for one in verdicts if one.state == FAILED]


def table(verdicts: Sequence[Verdict]) -> str:
    """Markdown."""
    rows = [
        one._asdict()
        | {
            "asked": f"{one.direction} {page.spelled(one.goal)}" if one.direction else "",
            "held": f"{one.direction} {page.spelled(one.bound)}" if one.bound is not None else "-",
            "state": f"{one.state}: {one.why}" if one.why else one.state,
        }
        for one in verdicts
    ]
    columns = {"benchmark": "benchmark", "name": "goal", "asked": "asked", "committed": "committed",
               "held": "may not pass", "quick": "quick", "state": "verdict"}  # fmt: skip
    return page.table(columns, rows)
