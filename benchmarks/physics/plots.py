"""One figure per task: a few unseen patients, truth against surrogate with its interval."""

from pathlib import Path

import numpy as np
from benchmarks.physics.scores import Courses, errors_of
from benchmarks.physics.tasks import Task

SHOWN = (0.25, 0.5, 0.95)
"""The patients whose error, averaged over channels, is at these quantiles: a good one, a typical one, a bad one."""


def draw(task: Task, courses: Courses, unit: str, path: Path) -> None:
    """Write the figure."""
    from matplotlib.figure import Figure

    judged = courses.until(int((courses.time[0] <= task.judged_until).sum()))
    order = np.argsort(errors_of(judged)[0].mean(1))
    chosen = [order[int(share * (len(order) - 1))] for share in SHOWN]
    figure = Figure(figsize=(3.2 * len(chosen), 1.5 * len(task.variables) + 0.6), layout="constrained")
    axes = np.atleast_2d(figure.subplots(len(task.variables), len(chosen), sharex="col", sharey="row", squeeze=False))
    for column, (patient, share) in enumerate(zip(chosen, SHOWN, strict=True)):
        time = judged.time[patient]
        for row, variable in enumerate(task.variables):
            axis = axes[row, column]
            low, high, median, truth = (
                field[patient, :, row] for field in (judged.low, judged.high, judged.median, judged.truth)
            )
            axis.fill_between(time, low, high, color="tab:orange", alpha=0.3, linewidth=0)
            axis.plot(time, truth, color="black", linewidth=1.6, label="truth")
            axis.plot(time, median, color="tab:orange", linewidth=1.0, linestyle="--", label="surrogate, 90 %")
            axis.tick_params(labelsize=7)
            if column == 0:
                axis.set_ylabel(f"{variable.name.replace('_', chr(10))}\n({variable.unit})", fontsize=6)
        axes[0, column].set_title(f"patient at the {100 * share:.0f}th percentile of error", fontsize=7)
        axes[-1, column].set_xlabel(f"time ({unit})", fontsize=7)
    for row in range(len(task.variables)):  # an interval may reach far beyond what is of interest
        seen = np.stack([field[chosen, :, row] for field in (judged.truth, judged.median)])
        margin = 0.25 * np.ptp(seen)
        axes[row, 0].set_ylim(seen.min() - margin, seen.max() + margin)
    axes[0, 0].legend(fontsize=6, frameon=False)
    figure.savefig(path, dpi=80)
