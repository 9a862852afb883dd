"""Figures of the monitoring page: inline SVG like those of the evaluation's page, drawn from a report's counts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from neurotwin.evaluation.plots import INK, MUTED, PALETTE, Drawing
from neurotwin.monitoring.abstention import wilson
from neurotwin.monitoring.report import Check, StreamReport

REFERENCE, SITE = PALETTE[0], PALETTE[1]


def numbers(check: Check) -> Drawing:
    """Share of patients up to each value, reference and site."""
    with Drawing(3.7, 2.5) as drawing:
        axes = drawing.axes
        edges = np.array(check.edges)
        for counts, color, style in ((check.reference, REFERENCE, "--"), (check.counts, SITE, "-")):
            below = np.cumsum(counts)[:-1] / max(sum(counts), 1)
            axes.step(_padded(edges), np.r_[below[0], below, below[-1]], style, where="post", color=color)
        axes.set(ylim=(-0.02, 1.02), xlabel=_axis(check), ylabel="share up to it")
        _percent(axes.yaxis)
    return drawing


def categories(check: Check) -> Drawing:
    """Share of patients at each level, reference and site side by side."""
    with Drawing(3.7, 2.5) as drawing:
        axes, place = drawing.axes, np.arange(len(check.levels))
        for shift, counts, color in ((-0.2, check.reference, REFERENCE), (0.2, check.counts, SITE)):
            axes.bar(place + shift, np.array(counts) / max(sum(counts), 1), 0.36, color=color, alpha=0.75)
        axes.set_xticks(place, [one[:14] for one in check.levels])
        axes.set(ylabel="share of patients", xlabel=check.feature)
        axes.grid(axis="x", visible=False)
        axes.set_ylim(bottom=0)
        _percent(axes.yaxis)
    return drawing


def coverage(checks: Sequence[Check], labels: Sequence[str], level: float) -> Drawing:
    """Share of truths inside the interval by horizon, with its 95 % interval, reference and site."""
    with Drawing(4.6, 2.9) as drawing:
        axes = drawing.axes
        axes.axhline(level, color=INK, lw=0.9, ls=":")
        for shift, color, marker, of in ((-0.08, REFERENCE, "s", "reference"), (0.08, SITE, "o", "counts")):
            pairs = [(getattr(one, of)[-1], sum(getattr(one, of))) for one in checks]
            share = np.array([inside / max(n, 1) for inside, n in pairs])
            ends = np.array([wilson(inside, max(n, 1)) for inside, n in pairs]).T
            gap = np.abs(np.stack([share - ends[0], ends[1] - share]))
            axes.errorbar(
                np.arange(len(share)) + shift, share, gap, fmt=marker, ms=4.5, color=color, capsize=2, elinewidth=1.1
            )
        axes.set_xticks(range(len(labels)), labels)
        axes.set_xlim(-0.6, len(labels) - 0.4)
        axes.set(xlabel="time after the cut", ylabel="share inside", ylim=(axes.get_ylim()[0], 1.005))
        axes.grid(axis="x", visible=False)
        _percent(axes.yaxis)
    return drawing


def trend(stream: StreamReport, features: Sequence[str]) -> Drawing:
    """Distance from the reference in the last window, look by look; a dashed line where an alarm was raised first."""
    with Drawing(6.4, 3.0) as drawing:
        axes = drawing.axes
        for number, name in enumerate(features):
            seen = [(look.patients, look.distance[name]) for look in stream.looks if name in look.distance]
            if seen:
                axes.plot(*zip(*seen, strict=True), color=PALETTE[number % len(PALETTE)], ls=("-", "--")[number > 2])
        if stream.flags:
            axes.axvline(stream.flags[0].patients, color=MUTED, lw=1, ls=(0, (4, 3)))
        axes.set(ylim=(0, None), xlabel="patients seen", ylabel="distance, last window")
    return drawing


def _padded(edges: Any) -> Any:
    width = (edges[-1] - edges[0]) or max(abs(edges[0]), 1.0)
    return np.r_[edges[0] - 0.05 * width, edges, edges[-1] + 0.05 * width]


def _axis(check: Check) -> str:
    unit = "" if check.unit in ("", "1") else f", {check.unit}"
    return f"{check.feature}{unit}"


def _percent(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
