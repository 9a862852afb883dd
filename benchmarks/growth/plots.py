"""One figure per part: time above, memory below, a column for each of what is varied; both axes by powers."""

import re
from pathlib import Path
from typing import Any

from neurotwin.evaluation.plots import GRID, INK, MARKERS, MUTED, PALETTE

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "neurotwin",
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "text.color": INK,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}
MEASURES = (("cpu_ms", "time", "CPU time, ms"), ("peak_mib", "memory", "peak memory, MiB"))


def draw(rows: list[dict[str, Any]], fits: list[dict[str, Any]], path: Path) -> None:
    """Write the figure of a part's rows: the same rows give the same bytes."""
    import matplotlib
    from matplotlib.figure import Figure

    axes_of = list(dict.fromkeys(row["against"] for row in rows))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.9 * max(len(axes_of), 2), 5.0), layout="constrained")
        grid = figure.subplots(2, len(axes_of), squeeze=False)
        for column, against in enumerate(axes_of):
            for row, (key, name, label) in enumerate(MEASURES):
                axis = grid[row, column]
                _lines(axis, [one for one in rows if one["against"] == against], fits, key, name)
                axis.set_xlabel(against)
                if column == 0:
                    axis.set_ylabel(label)
        figure.savefig(path, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    path.write_text(_short(path.read_text()))


def _short(svg: str) -> str:
    """Without comments, and to a hundredth of a point."""
    svg = re.sub(r"\s*<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", svg)
    return re.sub(r"\s+\n", "\n", svg)


def _lines(axis: Any, rows: list[dict[str, Any]], fits: list[dict[str, Any]], key: str, name: str) -> None:
    """Each route's points, with its exponent in the legend."""
    from matplotlib.ticker import LogLocator

    seen = [row[key] for row in rows if row[key] and row[key] > 0]
    for number, route in enumerate(dict.fromkeys(row["route"] for row in rows)):
        known = [(row["value"], row[key]) for row in rows if row["route"] == route and row[key] and row[key] > 0]
        color, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
        label = f"{route}: {exponent(fits, rows[0]['against'], route, name)}"
        axis.plot(*zip(*known, strict=True) if known else ([], []), color=color, marker=marker, ms=3, lw=1, label=label)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.minorticks_off()
    narrow = bool(seen) and max(seen) < 30 * min(seen)
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.legend(fontsize=6.5, frameon=False, loc="upper left")
    low, high = axis.get_ylim()
    axis.set_ylim(low, high * (high / low) ** 0.35)  # room for the legend


def exponent(fits: list[dict[str, Any]], against: str, route: str, name: str) -> str:
    """With its standard error, as in 0.98 +- 0.01."""
    told = next((one for one in fits if (one["against"], one["route"]) == (against, route)), {})
    return "-" if told.get(name) is None else f"{told[name]:.2f} \N{PLUS-MINUS SIGN} {told[f'{name}_error']:.2f}"
