"""Figures of the report as inline SVG: text stays text, and colours are CSS variables that follow light and dark."""

import io
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from neurotwin.evaluation.results import EvaluationReport, Reliability, Scale
from neurotwin.evaluation.sections import Curve, Period, PlanComparison, Trajectory
from neurotwin.extras import need

# Drawn in these colours, then replaced by the CSS variable of the same name (see pages/page.css).
INK, MUTED, GRID = "#22262b", "#6e7680", "#d5dae0"
PALETTE = ("#0a62a3", "#c25310", "#4d8a21", "#8a3fa0", "#a06a00")
_VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", **{color: f"c{i}" for i, color in enumerate(PALETTE)}}
MARKERS = ("o", "s", "^")
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "neurotwin",
    "font.size": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.6,
}


class Drawing:
    """One figure. Use as a context: draw on ``axes``, then read ``svg``."""

    def __init__(self, width: float = 3.7, height: float = 2.6) -> None:
        """Size in inches at a text size of 9 points; the page scales it."""
        self._matplotlib = need("matplotlib", "viz")
        self._size = (width, height)
        self._content = ""

    def __enter__(self) -> "Drawing":
        self._style = self._matplotlib.rc_context(_STYLE)
        self._style.__enter__()
        self._figure = need("matplotlib.figure", "viz").Figure(figsize=self._size, layout="constrained")
        self.axes: Any = self._figure.add_subplot()
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            out = io.StringIO()
            self._figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
            self._content = out.getvalue()
        self._style.__exit__(*error)

    def svg(self, title: str, identity: str) -> str:
        """The figure for embedding: ``title`` is read aloud, ``identity`` keeps its ids apart from other figures'."""
        content = self._content[self._content.index("<svg") :]
        content = re.sub(r"<metadata>.*?</metadata>", "", content, flags=re.DOTALL)
        content = re.sub(r'id="([^"]+)"', rf'id="{identity}-\1"', content)
        content = re.sub(r'(href="#|url\(#)', rf"\1{identity}-", content)
        # The page chooses the font.
        content = re.sub(r"font: ([\d.]+)px [^;\"]+", r"font-size: \1px", content)
        content = re.sub(r"font-family: [^;\"]+; ?", "", content)
        for color, name in _VARIABLES.items():
            content = content.replace(color, f"var(--{name})")
        box = re.search(r'viewBox="[^"]+"', content)
        opening = f'<svg {box[0] if box else ""} role="img" aria-label="{title}" xmlns="http://www.w3.org/2000/svg">'
        body = content[content.index(">") + 1 :]
        return f"{opening}<title>{title}</title>{body}".replace("\n", " ").strip()


def trajectory_plot(one: Trajectory) -> Drawing:
    """History as filled dots, the forecast's median and interval, and later truth as open dots."""
    with Drawing() as drawing:
        axes = drawing.axes
        _band(axes, one.forecast, PALETTE[0])
        axes.plot(one.history.time, one.history.value, "o", ms=4, color=INK)
        axes.plot(one.later.time, one.later.value, "o", ms=4.5, mfc="none", mec=INK, mew=1.1)
        _time_axis(axes, one.cut, one.time_unit)
        _value_axis(axes, _label(one.variable, one.unit), one.log_axis)
        _treatments(axes, one.treatments, one.forecast.time[-1])
    return drawing


def plans_plot(one: PlanComparison) -> Drawing:
    """Both plans' curves with their intervals."""
    with Drawing(4.6, 2.9) as drawing:
        axes = drawing.axes
        for curve, color, style in ((one.first, PALETTE[0], "-"), (one.second, PALETTE[1], "--")):
            _band(axes, curve, color, style)
        for points, color in zip(one.truth or (), PALETTE, strict=False):
            axes.plot(points.time, points.value, "o", ms=3.5, mfc="none", mec=color)
        axes.plot(one.history.time, one.history.value, "o", ms=4, color=INK)
        _time_axis(axes, one.cut, one.time_unit)
        _value_axis(axes, _label(one.variable, one.unit), one.log_axis)
    return drawing


def difference_plot(one: PlanComparison) -> Drawing:
    """The paired difference, second plan less first, with its interval and the line of no difference."""
    with Drawing(4.6, 2.9) as drawing:
        drawing.axes.axhline(0, color=INK, lw=0.9)
        _band(drawing.axes, one.difference, PALETTE[3])
        _time_axis(drawing.axes, one.cut, one.time_unit)
        drawing.axes.set_ylabel(_label("difference", one.unit))
    return drawing


def horizon_plot(report: EvaluationReport, variable: str, scale: Scale, colors: Mapping[str, int]) -> Drawing:
    """Mean absolute error with its interval per horizon bin and predictor."""
    rows = [one for one in report.scores if (one.variable, one.scale) == (variable, scale) and one.horizon]
    horizons = list(dict.fromkeys(one.horizon for one in rows))
    with Drawing(4.6, 2.9) as drawing:
        for place, name in enumerate(colors):
            shift = (place - (len(colors) - 1) / 2) * 0.14
            mine = [one for one in rows if one.predictor == name and one.metrics["mae"].pooled.value is not None]
            x = [horizons.index(one.horizon) + shift for one in mine]
            _points(drawing.axes, x, [one.metrics["mae"].pooled for one in mine], colors[name])
        drawing.axes.set_xticks(range(len(horizons)), [report.horizon_label(one) for one in horizons])
        drawing.axes.set_xlim(-0.6, len(horizons) - 0.4)
        drawing.axes.set_ylim(bottom=0)
        drawing.axes.grid(axis="x", visible=False)
        drawing.axes.set_xlabel("time after the cut")
        drawing.axes.set_ylabel(_label("mean absolute error", rows[0].unit) if rows else "")
    return drawing


def coverage_plot(rows: Mapping[str, Reliability], colors: Mapping[str, int]) -> Drawing:
    """Share of truths inside the central interval against its nominal level; on the diagonal when calibrated."""
    with Drawing(4.6, 3.4) as drawing:
        axes = drawing.axes
        axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=":")
        for name, row in rows.items():
            shift = (list(rows).index(name) - (len(rows) - 1) / 2) * 0.012  # intervals side by side
            levels = zip(row.nominal, row.covered, strict=True)
            found = [(level + shift, one.pooled) for level, one in levels if one.pooled.value is not None]
            _points(axes, [x for x, _ in found], [one for _, one in found], colors[name], joined=True)
        ticks = [0, 0.25, 0.5, 0.75, 1]
        axes.set(xlim=(0, 1.03), ylim=(0, 1.03), xlabel="nominal level of the interval", ylabel="share inside")
        axes.set_xticks(ticks, [f"{one:.0%}" for one in ticks])
        axes.set_yticks(ticks, [f"{one:.0%}" for one in ticks])
    return drawing


def pit_plot(row: Reliability) -> Drawing:
    """Histogram of the level at which the forecasts put the truth, in the cells between the quantile levels; flat at 1
    when calibrated, a U when the intervals are too narrow, a hump when they are too wide."""
    below = np.array([0.0, *(one.pooled.value or 0.0 for one in row.below), 1.0])
    edges = np.array([0.0, *row.levels, 1.0])
    with Drawing(4.6, 3.4) as drawing:
        axes = drawing.axes
        axes.bar(
            edges[:-1],
            np.diff(below) / np.diff(edges),
            np.diff(edges),
            align="edge",
            color=PALETTE[0],
            alpha=0.35,
            edgecolor=PALETTE[0],
            linewidth=0.8,
        )
        axes.axhline(1, color=INK, lw=0.9, ls=":")
        axes.set(xlim=(0, 1), xlabel="level at which the truth fell", ylabel="density")
        axes.grid(axis="x", visible=False)
    return drawing


def _label(quantity: str, unit: str) -> str:
    """Axis label; the unit 1 goes unsaid, annotations lose their braces."""
    return quantity if unit == "1" else f"{quantity}, {unit.strip('{}')}"


def _band(axes: Any, curve: Curve, color: str, style: str = "-") -> None:
    axes.fill_between(curve.time, curve.low, curve.high, color=color, alpha=0.18, lw=0)
    axes.plot(curve.time, curve.median, style, color=color)


def _points(axes: Any, x: list[float], estimates: list[Any], color: int, *, joined: bool = False) -> None:
    """Points with their intervals; one without an interval stands alone."""
    if not x:
        return
    y = np.array([one.value for one in estimates])
    low = np.array([one.value if one.low is None else min(one.low, one.value) for one in estimates])
    high = np.array([one.value if one.high is None else max(one.high, one.value) for one in estimates])
    shade, marker = PALETTE[color % len(PALETTE)], MARKERS[color % len(MARKERS)]
    axes.errorbar(
        x,
        y,
        [y - low, high - y],
        fmt=marker,
        ms=4.5,
        color=shade,
        elinewidth=1.1,
        capsize=2,
        ls="-" if joined else "none",
        lw=1,
    )


def _time_axis(axes: Any, cut: float, unit: str) -> None:
    axes.axvline(cut, color=MUTED, lw=0.9, ls=(0, (4, 3)))
    axes.set_xlabel(f"time, {unit}")


def _value_axis(axes: Any, label: str, log: bool) -> None:
    axes.set_ylabel(label)
    if log:
        ticker = need("matplotlib.ticker", "viz")
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        narrow = math.log10(high / low) < 2.5
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if narrow else (1,)))
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(ticker.NullLocator())


def _treatments(axes: Any, periods: tuple[Period, ...], end: float) -> None:
    """Bars and ticks along the bottom of the plot."""
    across = axes.get_xaxis_transform()
    for period in periods:
        if period.end is None:
            axes.plot([period.begin], [0.03], "|", ms=7, mew=1.4, color=PALETTE[2], transform=across)
        else:
            axes.plot(
                [period.begin, min(period.end, end)],
                [0.02, 0.02],
                lw=3,
                color=PALETTE[2],
                transform=across,
                solid_capstyle="butt",
            )
