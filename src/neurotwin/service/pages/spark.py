"""Small drawings in the rows of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from neurotwin.pages.markup import text, unit_text

WIDTH, HEIGHT = 120.0, 32.0


def bar(share: float) -> str:
    """A probability as a bar."""
    return (
        '<svg class="risk-bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="all" width="100" height="10"/><rect class="part" width="{100 * share:.1f}" height="10"/></svg>'
    )


def percent(share: float) -> str:
    """A probability in words: never 0 % or 100 % of what may yet happen or not."""
    return "below 1 %" if share < 0.01 else "above 99 %" if share > 0.99 else f"{100 * share:.0f} %"


def short(value: float) -> str:
    """A number for reading: three digits."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def spark(answer: Mapping[str, Any]) -> tuple[str, str]:
    """The course of an answer's first channel (HTML), and its end in words (HTML); empty where it was silent."""
    rows = answer.get("prediction") or []
    rows = [row for row in rows if row["channel"] == rows[0]["channel"] and row["median"] is not None]
    if not rows:
        return "", ""
    last = rows[-1]
    ends = _ends(last)
    words = f"{short(last['median'])} {unit_text(last['unit'])}"
    if ends is not None:
        words += f' <small class="hint">{short(ends[0])} to {short(ends[1])}</small>'
    values = [value for row in rows for value in (row["median"], *(_ends(row) or ()))]
    low, high = min(values), max(values)
    across = max(row["after"] for row in rows) or 1.0
    scale = (HEIGHT - 4) / ((high - low) or 1.0)

    def place(row: Mapping[str, Any], value: float) -> str:
        return f"{WIDTH * row['after'] / across:.1f},{HEIGHT - 2 - (value - low) * scale:.1f}"

    drawn = "L".join(place(row, row["median"]) for row in rows)
    label = f"{rows[0]['channel']} from {short(rows[0]['median'])} to {short(last['median'])}"
    return (
        f'<svg class="spark c0" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{text(label)}">'
        f'{_band(rows, place)}<path class="line c0" d="M{drawn}"/></svg>',
        words,
    )


def _band(rows: Sequence[Mapping[str, Any]], place: Any) -> str:
    told = [(row, ends) for row in rows if (ends := _ends(row)) is not None]
    if len(told) < 2:
        return ""
    points = [place(row, high) for row, (_, high) in told] + [place(row, low) for row, (low, _) in reversed(told)]
    return f'<path class="band c0" d="M{"L".join(points)}Z"/>'


def _ends(row: Mapping[str, Any]) -> tuple[float, float] | None:
    told = row.get("interval") or {}
    low, high = told.get("lo"), told.get("hi")
    if low is None or high is None or not math.isfinite(low + high):
        return None
    return float(low), float(high)
