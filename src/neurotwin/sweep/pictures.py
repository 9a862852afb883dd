"""The figures of a sweep's page: course, learning curves, importances, parallel coordinates, Pareto front, cost."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from neurotwin.evaluation.plots import INK, MUTED, PALETTE, Drawing
from neurotwin.sweep.results import Results, curves
from neurotwin.sweep.telling import number

BEST, COMPLETE, PRUNED, FAILED = PALETTE[1], PALETTE[0], MUTED, PALETTE[3]
LABEL = 24
"""Letters of a word on an axis."""


def course_plot(results: Results) -> Drawing:
    """First objective by trial, and the best so far."""
    name, sign = _first(results)
    done = results.complete
    with Drawing(4.6, 2.9) as drawing:
        axes = drawing.axes
        values = [trial.values[0] for trial in done]
        axes.plot([trial.number for trial in done], values, "o", ms=4.5, color=COMPLETE)
        pruned = [trial for trial in results.trials if trial.state.name == "PRUNED" and trial.intermediate_values]
        last = [trial.intermediate_values[max(trial.intermediate_values)] for trial in pruned]
        axes.plot([trial.number for trial in pruned], last, "x", ms=4.5, color=PRUNED)
        best, so_far = math.inf, []
        for value in values:
            best = min(best, sign * value)
            so_far.append(sign * best)
        axes.step([trial.number for trial in done], so_far, where="post", color=BEST, lw=1.4)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.set(xlabel="trial", ylabel=_words(name))
        _limit(axes, [*values, *last])
    return drawing


def curves_plot(results: Results, watched: str) -> Drawing:
    """Loss by epoch of every training; the best trial's stands out."""
    best = results.best
    with Drawing(4.6, 2.9) as drawing:
        axes = drawing.axes
        shown: list[float] = []
        for trial in sorted(results.trials, key=lambda trial: best is not None and trial.number == best.number):
            mine = best is not None and trial.number == best.number
            color = BEST if mine else PRUNED if trial.state.name == "PRUNED" else COMPLETE
            for epochs, values in curves(trial):
                axes.plot(
                    [epoch + 1 for epoch in epochs],
                    values,
                    color=color,
                    lw=1.8 if mine else 0.9,
                    alpha=1 if mine else 0.45,
                    marker="." if len(epochs) == 1 else "",
                )
                shown += values
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel="epoch", ylabel=_words(watched))
        _limit(axes, shown)
    return drawing


def importance_plot(shares: Mapping[str, float]) -> Drawing:
    """A bar per key, the largest on top."""
    keys = list(shares)[::-1]
    with Drawing(4.6, 0.9 + 0.28 * len(keys)) as drawing:
        axes = drawing.axes
        axes.barh(range(len(keys)), [shares[key] for key in keys], color=COMPLETE, alpha=0.75, height=0.6)
        axes.set_yticks(range(len(keys)), [_shortened(key) for key in keys])
        axes.set(xlim=(0, 1), xlabel="share of the importance")
        axes.grid(axis="y", visible=False)
    return drawing


def coordinates_plot(results: Results) -> Drawing:
    """A line per complete trial over an axis per key; the better its first objective, the darker."""
    name, sign = _first(results)
    keys = [*results.keys]
    done = sorted(results.complete, key=lambda trial: -sign * trial.values[0])
    rows = {key: _places(results, key) for key in keys}
    values = [trial.values[0] for trial in results.complete]
    low, high = min(values), max(values)
    with Drawing(max(8.6, 1.5 * (len(keys) + 1)), 3.4) as drawing:  # the page shows it twice as wide as the others
        axes = drawing.axes
        for rank, trial in enumerate(done):
            heights = [rows[key][0][_key(trial.params[key])] for key in keys]
            heights.append((trial.values[0] - low) / (high - low) if high > low else 0.5)
            last = rank == len(done) - 1
            share = (rank + 1) / len(done)
            axes.plot(
                range(len(heights)),
                heights,
                color=BEST if last else COMPLETE,
                lw=2.0 if last else 1.1,
                alpha=1 if last else 0.08 + 0.5 * share**2,
            )
        for place, ticks in enumerate([*(rows[key][1] for key in keys), {number(low): 0.0, number(high): 1.0}]):
            axes.axvline(place, color=MUTED, lw=0.8)
            for text, height in ticks.items():
                axes.annotate(
                    text, (place, height), (3, 0), textcoords="offset points", fontsize=7.5, va="center", color=INK
                )
        labels = [_shortened(key.rpartition(".")[2]) for key in keys]
        axes.set_xticks(range(len(keys) + 1), [*labels, _words(name)], rotation=18, ha="right")
        axes.set_yticks([])
        axes.set(ylim=(-0.06, 1.06), xlim=(-0.2, len(keys) + 0.55))
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
    return drawing


def front_plot(results: Results) -> Drawing:
    """Two objectives against each other; the trials that no other beats in both are joined."""
    names = list(results.objectives)
    front = results.front
    with Drawing(4.6, 3.4) as drawing:
        axes = drawing.axes
        rest = [trial for trial in results.complete if trial not in front]
        axes.plot(*_pairs(rest), "o", ms=4.5, mfc="none", color=COMPLETE)
        axes.plot(*_pairs(front), "o-", ms=5, lw=1.2, color=BEST)
        for trial in front:
            axes.annotate(
                str(trial.number), trial.values[:2], (4, 4), textcoords="offset points", fontsize=8, color=INK
            )
        axes.set(xlabel=_words(names[0]), ylabel=_words(names[1]))
    return drawing


def cost_plot(results: Results) -> Drawing:
    """Seconds of each trial."""
    spent = [trial for trial in results.trials if "seconds" in trial.user_attrs]
    with Drawing(4.6, 2.9) as drawing:
        axes = drawing.axes
        for state, color in (("COMPLETE", COMPLETE), ("PRUNED", PRUNED), ("FAIL", FAILED)):
            mine = [trial for trial in spent if trial.state.name == state]
            seconds = [trial.user_attrs["seconds"] for trial in mine]
            axes.bar([trial.number for trial in mine], seconds, color=color, alpha=0.75)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel="trial", ylabel="time, s")
        axes.grid(axis="x", visible=False)
    return drawing


def _first(results: Results) -> tuple[str, int]:
    name, direction = next(iter(results.objectives.items()))
    return name, 1 if direction == "minimize" else -1


def _words(name: str) -> str:
    return {"latency": "latency, ms"}.get(name, name.replace("_", " "))


def _shortened(text: str) -> str:
    return text if len(text) <= LABEL else f"…{text[1 - LABEL :]}"


def _pairs(trials: Sequence[Any]) -> tuple[list[float], list[float]]:
    return [trial.values[0] for trial in trials], [trial.values[1] for trial in trials]


def _key(value: Any) -> Any:
    """1, 1.0 and True are different choices."""
    return type(value), value


def _places(results: Results, key: str) -> tuple[dict[Any, float], dict[str, float]]:
    """Height of each value on a key's axis, and what to write at which height."""
    distribution = next(trial.distributions[key] for trial in results.complete)
    if choices := getattr(distribution, "choices", ()):
        step = 1 / max(1, len(choices) - 1)
        heights = {_key(choice): place * step if len(choices) > 1 else 0.5 for place, choice in enumerate(choices)}
        return heights, {_shortened(number(choice)): heights[_key(choice)] for choice in choices}
    scale = math.log if distribution.log else float
    low, high = scale(distribution.low), scale(distribution.high)
    values = {trial.params[key] for trial in results.complete}
    heights = {_key(value): (scale(value) - low) / (high - low) for value in values}
    return heights, {number(distribution.low): 0.0, number(distribution.high): 1.0}


def _limit(axes: Any, values: Sequence[float]) -> None:
    """Where a few values are far off, leave them out of sight: the rest would be a line."""
    finite = sorted(value for value in values if math.isfinite(value))
    if len(finite) < 8:
        return
    low, middle, high = finite[0], finite[len(finite) // 2], finite[-1]
    upper = finite[int(0.95 * (len(finite) - 1))]
    if high - low > 4 * (upper - low) > 0 or high - middle > 8 * (middle - low) > 0:
        margin = 0.06 * (upper - low)
        axes.set_ylim(low - margin, upper + margin)
