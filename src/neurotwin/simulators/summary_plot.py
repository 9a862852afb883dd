"""A picture of a simulated cohort: what was seen of each variable over time, and what was given."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import Cohort
from neurotwin.extras import need

Array = NDArray[np.float64]
N_COURSES, N_SUBJECTS, N_BINS = 40, 2000, 60
INK, MUTED, COURSE, MIDDLE = "#22262b", "#6e7680", "#8fb7d9", "#c25310"
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#d5dae0",
    "grid.linewidth": 0.6,
    "text.color": INK,
    "svg.hashsalt": "neurotwin",
}


def draw_summary(cohort: Cohort, path: Path, *, title: str = "") -> None:
    """Draw a cohort into a file, one panel per variable and one per treatment that was given.

    A variable's panel has up to 40 courses, and of the first 2000 subjects the median and the band from the 5th to the
    95th percentile; its axis is logarithmic where the variable is modelled on a log scale. A treatment's panel has the
    mean amount per subject and interval (bolus), or the mean rate or level (infusion, setting). Needs the extra `viz`.
    """
    matplotlib = need("matplotlib", "viz")
    schema, n_all = cohort.schema, len(cohort)
    cohort = cohort.take(np.arange(min(n_all, N_SUBJECTS)))
    given = [index for index in range(len(schema.treatments)) if (cohort.doses.treatment == index).any()]
    n_panels = len(schema.variables) + len(given)
    n_columns = min(3, n_panels)
    n_lines = math.ceil(n_panels / n_columns)
    end = _end(cohort)
    with matplotlib.rc_context(STYLE):
        figure = need("matplotlib.figure", "viz").Figure(figsize=(3.6 * n_columns, 2.5 * n_lines), layout="constrained")
        panels = figure.subplots(n_lines, n_columns, squeeze=False).ravel()
        for index, axes in enumerate(panels[: len(schema.variables)]):
            _draw_variable(axes, cohort, index)
        for index, axes in zip(given, panels[len(schema.variables) : n_panels], strict=True):
            _draw_treatment(axes, cohort, index, end)
        for axes in panels[:n_panels]:
            axes.set_xlabel(f"time [{schema.time_unit}]")
            axes.set_xlim(0, end)
        for axes in panels[n_panels:]:
            axes.set_axis_off()
        figure.suptitle(title or f"{schema.name}: {n_all} subjects")
        figure.savefig(path, dpi=110, metadata={"Software": None} if path.suffix == ".png" else {"Date": None})


def _end(cohort: Cohort) -> float:
    times = [cohort.observations.time, cohort.doses.time, cohort.doses.end[np.isfinite(cohort.doses.end)]]
    return float(np.concatenate([[1e-9], *times]).max())


def _draw_variable(axes: Any, cohort: Cohort, index: int) -> None:
    variable, seen = cohort.schema.variables[index], cohort.observations
    seen = seen.take(seen.variable == index)
    for subject in range(min(len(cohort), N_COURSES)):
        own = seen.subject == subject
        order = np.argsort(seen.time[own])
        axes.plot(seen.time[own][order], seen.value[own][order], color=COURSE, linewidth=0.7, alpha=0.7)
    if len(cohort) >= N_COURSES:
        middle, band = _quantiles(seen.time, seen.value)
        axes.fill_between(middle, band[0], band[2], color=MIDDLE, alpha=0.15, linewidth=0)
        axes.plot(middle, band[1], color=MIDDLE, linewidth=1.8)
    if variable.transform == "log" and (seen.value > 0).all():
        axes.set_yscale("log")
        # What lies far below the offset of its modelling scale is as good as nothing: no room for it.
        axes.set_ylim(bottom=max(float(seen.value.min()), variable.offset / 10, float(seen.value.max()) * 1e-12))
    axes.set_title(f"{variable.name} [{variable.unit}]", fontsize=9)


def _quantiles(time: Array, value: Array) -> tuple[Array, Array]:
    """Middle of each occupied time bin, and the 5th, 50th and 95th percentile in it."""
    edges = np.linspace(0, time.max(initial=1e-9), N_BINS + 1)
    bins = np.clip(np.searchsorted(edges, time, side="right") - 1, 0, N_BINS - 1)
    occupied = [number for number in range(N_BINS) if (bins == number).sum() >= 20]
    middle = np.array([time[bins == number].mean() for number in occupied])
    band = np.array([np.quantile(value[bins == number], (0.05, 0.5, 0.95)) for number in occupied])
    return middle, band.reshape(-1, 3).T


def _draw_treatment(axes: Any, cohort: Cohort, index: int, end: float) -> None:
    treatment, doses = cohort.schema.treatments[index], cohort.doses
    doses = doses.take(doses.treatment == index)
    edges = np.linspace(0, end, N_BINS + 1)
    if treatment.kind == "bolus":
        amount, _ = np.histogram(doses.time, edges, weights=doses.amount)
        label = f"{treatment.name} [{treatment.unit} per {edges[1]:.3g} {cohort.schema.time_unit}]"
    else:
        stop = np.minimum(doses.end, end)
        overlap = np.minimum(stop[:, None], edges[1:]) - np.maximum(doses.time[:, None], edges[:-1])
        amount = (np.clip(overlap, 0, None) * doses.amount[:, None]).sum(axis=0) / edges[1]
        label = f"{treatment.name} [{treatment.unit}]"
    axes.stairs(amount / len(cohort), edges, color=INK, fill=True, alpha=0.5)
    axes.set_title(f"{label}, mean", fontsize=9)
