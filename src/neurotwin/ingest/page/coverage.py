"""The sections of the page on what the cohort covers: maps of what is missing, and times between measurements."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from neurotwin.ingest.page.words import between
from neurotwin.pages.markup import figure, name_text, table, text

PLOTS = 24
"""Variables with a drawing, those with most intervals first; the table has all."""
Report = Mapping[str, Any]
_TICKS = (
    ("1 ms", 1e-3),
    ("10 ms", 1e-2),
    ("0.1 s", 0.1),
    ("1 s", 1.0),
    ("10 s", 10.0),
    ("1 min", 60.0),
    ("10 min", 600.0),
    ("1 h", 3600.0),
    ("6 h", 21_600.0),
    ("1 d", 86_400.0),
    ("1 wk", 604_800.0),
    ("1 mo", 2_629_800.0),
    ("3 mo", 7_889_400.0),
    ("1 a", 31_557_600.0),
    ("3 a", 94_672_800.0),
    ("10 a", 315_576_000.0),
    ("30 a", 946_728_000.0),
)
_WIDTH, _HEAD, _HEIGHT, _FOOT = 300.0, 14.0, 100.0, 16.0
_TICK_ROOM = 36.0
_FEWEST_BINS = 14


def missingness(report: Report) -> str:
    """Two maps of the share of subjects who lack a variable: by period of time, and by fold."""
    found, few = report["survey"]["missingness"], report["survey"]["fewest"]
    periods = [_head(name, count) for name, count in zip(found["periods"], found["subjects"], strict=True)]
    folds = [_head(f"fold {number}", count) for number, count in enumerate(report["survey"]["folds"])]
    key = (
        '<ul class="key"><li><span class="map-swatch"></span>0 to 100 % of the subjects lack it</li>'
        f'<li><span class="few-swatch"></span>fewer than {few} subjects, not shown</li></ul>'
    )
    return (
        "<p>In each cell: how many percent of the subjects have no measurement of the variable. By time, of the "
        "subjects who were measured in any way in that period after the index event; by fold, of all its "
        f"subjects. Under each heading: how many subjects that is.</p>{key}"
        + _map("Percent of subjects without it, by time", periods, found["by_period"])
        + _map("Percent of subjects without it, by fold", folds, found["by_fold"])
    )


def intervals(report: Report) -> str:
    """Histograms and a table of the times between a subject's successive measurements."""
    found = report["survey"]["intervals"]
    by_name: Mapping[str, Report] = found["by_name"]
    bins = [int(at) for one in by_name.values() for at in one["bins"]]
    rows = [
        (
            False,
            [
                name_text(name),
                f"{one['measurements']:,}",
                f"{one['intervals']:,}",
                "" if one["median"] is None else between(*one["median"]),
                f"{one['untold']:,}",
            ],
        )
        for name, one in by_name.items()
    ]
    head = ["variable", "measurements", "intervals", "middle one", "not shown"]
    told = table("Intervals between successive measurements of a subject", head, rows)
    if not bins:
        return f"<p>No drawing: too few subjects were measured more than once.</p>{told}"
    drawn = sorted((name for name in by_name if by_name[name]["bins"]), key=lambda name: -by_name[name]["intervals"])
    drawn = drawn[:PLOTS]
    first, last = min(bins), max(bins) + 1
    room = max(_FEWEST_BINS - (last - first), 0)
    span = (first - (room + 1) // 2, last + room // 2)
    figures = "".join(_histogram(name, by_name[name], found["edges"], span) for name in by_name if name in drawn)
    left = len(by_name) - len(drawn)
    more = f" Without a drawing: {left}." if left else ""
    return (
        "<p>How long after one measurement of a variable the same subject's next one follows; time on a log scale. "
        f"The number is the share of the highest bin.{more} Bins with fewer than {report['survey']['fewest']} subjects "
        f'are left out.</p><div class="plots">{figures}</div>{told}'
    )


def _head(name: str, count: int | None) -> str:
    return f'{text(name)}<br><span class="small">{"few" if count is None else f"{count:,}"}</span>'


def _map(caption: str, head: Sequence[str], shares: Mapping[str, Sequence[float | None]]) -> str:
    body = "".join(
        f'<tr><th scope="row">{name_text(name)}</th>{"".join(_cell(share) for share in row)}</tr>'
        for name, row in shares.items()
    )
    columns = "".join(f'<th scope="col">{cell}</th>' for cell in ("variable", *head))
    return (
        f'<div class="scroll" tabindex="0"><table class="map"><caption>{caption}</caption>'
        f"<thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(share: float | None) -> str:
    if share is None:
        return '<td class="few">few</td>'
    missing = round(1 - share, 2)
    kind = ' class="none"' if missing == 0 else ""
    return f'<td{kind} style="--missing:{missing:g}">{missing * 100:.0f}</td>'


def _histogram(name: str, one: Report, edges: Sequence[float], span: tuple[int, int]) -> str:
    """Bars on an axis of bins, all of one width; every variable has the same axis."""
    width = _WIDTH / (span[1] - span[0])
    highest = max(one["bins"], key=lambda at: one["bins"][at])
    most = one["bins"][highest]
    base = _HEAD + _HEIGHT
    bars = "".join(
        f'<rect x="{(int(at) - span[0]) * width + 0.5:.2f}" y="{base - _HEIGHT * count / most:.2f}" '
        f'width="{width - 1:.2f}" height="{_HEIGHT * count / most:.2f}" fill="var(--c0)"/>'
        for at, count in one["bins"].items()
    )
    peak = f'<text x="{(int(highest) - span[0] + 0.5) * width:.1f}" y="{_HEAD - 4:g}" text-anchor="middle">'
    peak += f"{most / one['intervals']:.0%}</text>"
    caption = f"{name}: {one['intervals']:,} intervals, the middle one {between(*one['median'])}"
    drawing = (
        f'<svg viewBox="0 0 {_WIDTH:g} {base + _FOOT:g}" role="img" aria-label="{text(caption)}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{text(caption)}</title>'
        f"{_axis(edges, span[0], width)}{bars}{peak}</svg>"
    )
    return figure(drawing, f"{caption}.")


def _axis(edges: Sequence[float], first: int, width: float) -> str:
    """A base line, and a line with a label at each usual time that has room."""
    base = _HEAD + _HEIGHT
    parts, free = [f'<path d="M0 {base:g}h{_WIDTH:g}" stroke="var(--muted)"/>'], 12.0
    step = math.log(edges[-1] / edges[0]) / (len(edges) - 1)
    for label, seconds in _TICKS:
        x = (math.log(seconds / edges[0]) / step - first) * width
        if free <= x <= _WIDTH - 12:
            free = x + _TICK_ROOM
            parts.append(f'<path d="M{x:.1f} {_HEAD:g}v{_HEIGHT + 3:g}" stroke="var(--grid)"/>')
            parts.append(f'<text x="{x:.1f}" y="{base + 14:g}" text-anchor="middle">{label}</text>')
    return "".join(parts)
