"""Figures of a trial's report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurotwin.evaluation.plots import INK, MARKERS, MUTED, PALETTE, Drawing
from neurotwin.extras import need
from neurotwin.trials import survival
from neurotwin.trials.analysis import WORDS, Pool, Sample

STYLES = ("-", "--")
ORDER = ("unadjusted", "baseline", "twin", "baseline and twin", "log-rank", "Fisher")


def survival_plot(told: Mapping[str, Any], pool: Pool, sample: Sample, arms: Sequence[str], unit: str) -> Drawing:
    """Kaplan-Meier curves with their intervals, and how many are at risk below."""
    until = told["until"]
    ticks = np.linspace(0, until, 7)
    outcome = sample.outcome(pool)
    with Drawing(6.4, 3.9) as drawing:
        axes = drawing.axes
        for place, (name, kind) in enumerate(zip(arms, ("control", "treated"), strict=True)):
            curve = told["curves"][kind]
            time = np.concatenate([[0.0], curve["time"], [until]])
            for key, more in (("survival", {"label": name.replace("_", " ")}), ("low", None), ("high", None)):
                steps = np.concatenate([[1.0], curve[key], np.asarray(curve[key])[-1:] if len(curve[key]) else [1.0]])
                if more is not None:
                    axes.step(time, steps, STYLES[place], where="post", color=PALETTE[place], **more)
                elif key == "low":
                    low = steps
                else:
                    axes.fill_between(time, low, steps, step="post", color=PALETTE[place], alpha=0.15, lw=0)
            side = sample.treated if kind == "treated" else ~sample.treated
            counts = survival.at_risk(outcome.value[side], ticks)
            level = -0.29 - 0.09 * place
            across = axes.get_xaxis_transform()
            for tick, count in zip(ticks, counts, strict=True):
                axes.text(tick, level, str(count), color=PALETTE[place], ha="center", transform=across, fontsize=8)
        axes.text(0, -0.21, "at risk", color=MUTED, ha="center", transform=axes.get_xaxis_transform(), fontsize=8)
        axes.set(xlim=(0, until), ylim=(0, 1.02), ylabel="share without the event")
        axes.set_xlabel(f"time since randomisation, {unit}")
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks.round(1)])
        axes.legend(loc="lower left", frameon=False)
    return drawing


def courses_plot(courses: Mapping[str, Any], label: str, unit: str, log: bool, dotted: Any = None) -> Drawing:
    """Mean and central 80 % of each arm; ``dotted``, the means that another engine tells."""
    with Drawing(6.4, 3.2) as drawing:
        axes = drawing.axes
        for place, (arm, rows) in enumerate(courses.items()):
            axes.fill_between(rows["time"], rows["low"], rows["high"], color=PALETTE[place], alpha=0.15, lw=0)
            axes.plot(rows["time"], rows["mean"], STYLES[place], color=PALETTE[place], label=arm.replace("_", " "))
            if dotted is not None:
                other = dotted[arm]
                axes.plot(other["time"], other["mean"], ":", lw=2.2, color=PALETTE[place])
        axes.axvline(0, color=MUTED, lw=0.9, ls=(0, (4, 3)))
        axes.set_xlabel(f"time since randomisation, {unit}")
        axes.set_ylabel(label)
        if log:
            axes.set_yscale("log")
        axes.legend(loc="best", frameon=False)
    return drawing


def patients_plot(time: Any, values: Mapping[str, Any], count: int, label: str, unit: str, log: bool) -> Drawing:
    """A few patients under both arms: what no real trial sees."""
    with Drawing(6.4, 3.2) as drawing:
        axes = drawing.axes
        for place, (arm, table) in enumerate(values.items()):
            for row in range(count):
                seen = np.isfinite(table[row])
                named = arm.replace("_", " ") if row == 0 else None
                axes.plot(
                    time[row][seen], table[row][seen], STYLES[place], color=PALETTE[place], lw=1.0, alpha=0.8,
                    label=named,
                )  # fmt: skip
        axes.axvline(0, color=MUTED, lw=0.9, ls=(0, (4, 3)))
        axes.set_xlabel(f"time since randomisation, {unit}")
        axes.set_ylabel(label)
        if log:
            axes.set_yscale("log")
        axes.legend(loc="best", frameon=False)
    return drawing


def forest_plot(rows: Sequence[Mapping[str, Any]], ratio: bool, label: str) -> Drawing:
    """Effects with intervals, one line each, and the true effect as a hollow diamond."""
    names = [row["label"] for row in rows]
    with Drawing(6.4, 1.0 + 0.3 * len(rows)) as drawing:
        axes = drawing.axes
        for place, row in enumerate(rows):
            effect = row["effect"]
            if effect is not None and np.isfinite([effect["low"], effect["high"]]).all():
                axes.plot([effect["low"], effect["high"]], [place, place], color=PALETTE[0], lw=1.4)
                axes.plot(effect["estimate"], place, MARKERS[1], ms=5, color=PALETTE[0])
            if row["truth"] is not None and np.isfinite(row["truth"]):
                axes.plot(row["truth"], place, "D", ms=6, mfc="none", mec=PALETTE[1], mew=1.2)
        axes.axvline(1 if ratio else 0, color=INK, lw=0.9)
        if ratio:
            ticker = need("matplotlib.ticker", "viz")
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(ticker.NullFormatter())
        axes.set_yticks(range(len(rows)), names)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(label)
    return drawing


def power_plot(rows: Sequence[Mapping[str, Any]], target: float = 0.8) -> Drawing:
    """Share of trials that reject against their size, by analysis; dotted what theory says."""
    with Drawing(6.4, 3.2) as drawing:
        axes = drawing.axes
        for place, name in enumerate(_analyses(rows)):
            mine = [row for row in rows if row["analysis"] == name]
            size = [row["size"] for row in mine]
            share = np.array([row["share"] for row in mine])
            low, high = (np.array([row[key] for row in mine]) for key in ("low", "high"))
            color = PALETTE[place % len(PALETTE)]
            error = [np.maximum(share - low, 0), np.maximum(high - share, 0)]
            axes.errorbar(
                size, share, error, fmt=MARKERS[place % len(MARKERS)], ls="-", ms=4, lw=1.2, capsize=2, color=color,
                label=WORDS.get(name, name),
            )  # fmt: skip
            if all(row["theory"] is not None for row in mine):
                axes.plot(size, [row["theory"] for row in mine], ":", color=color, lw=1.4)
        axes.axhline(target, color=MUTED, lw=0.9, ls=(0, (4, 3)))
        axes.set(ylim=(0, 1.02), xlabel="subjects randomised", ylabel="share of trials that reject")
        axes.legend(loc="best", frameon=False, fontsize=8)
    return drawing


def precision_plot(told: Mapping[str, Any]) -> Drawing:
    """Variance of the effect by analysis over that of the unadjusted one: measured with its interval, and by theory."""
    names = [name for name in ORDER if name in told["analyses"]]
    with Drawing(6.4, 1.0 + 0.36 * len(names)) as drawing:
        axes = drawing.axes
        for place, name in enumerate(names):
            row = told["analyses"][name]
            axes.barh(place, row["variance_ratio"], 0.55, color=PALETTE[0], alpha=0.35)
            axes.plot([row["variance_ratio_low"], row["variance_ratio_high"]], [place, place], color=PALETTE[0], lw=1.6)
            axes.plot(row["variance_ratio_theory"], place, "D", ms=6, mfc="none", mec=PALETTE[1], mew=1.2)
        axes.axvline(1, color=INK, lw=0.9)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.set_xlim(left=0)
        axes.set_xlabel("variance, over that of the unadjusted analysis")
    return drawing


def twins_plot(pool: Pool, label: str) -> Drawing:
    """Each subject's outcome under control against its twin's forecast."""
    with Drawing(4.6, 3.4) as drawing:
        axes = drawing.axes
        score, value = pool.score, pool.control.value
        if score is not None:
            shown = np.flatnonzero(np.isfinite(score) & np.isfinite(value))[:400]
            axes.plot(score[shown], value[shown], "o", ms=3, alpha=0.5, color=PALETTE[0], mew=0)
            ends = [min(score[shown].min(), value[shown].min()), max(score[shown].max(), value[shown].max())]
            axes.plot(ends, ends, ":", color=MUTED)
        axes.set(xlabel=f"the twin's forecast: {label}", ylabel="outcome under control")
    return drawing


def _analyses(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [name for name in ORDER if any(row["analysis"] == name for row in rows)]
