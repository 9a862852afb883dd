"""The parts of one task's section of the report, each as HTML; empty text where there is nothing to show."""

from collections.abc import Iterable

from neurotwin.evaluation import plots
from neurotwin.evaluation.markup import figure, number, percent
from neurotwin.evaluation.results import Estimate, Reliability, Scale, Score
from neurotwin.evaluation.sections import PlanComparison, Task
from neurotwin.evaluation.spelling import spell
from neurotwin.pages import markup
from neurotwin.pages.markup import key, table, text, unit_text

_COLUMNS = (("mae", "MAE"), ("rmse", "RMSE"), ("crps", "CRPS"), ("width", "width"), ("coverage", "inside"))
_BINARY_COLUMNS = (
    ("mae", "MAE"),
    ("brier", "Brier"),
    ("log_score", "log score"),
    ("auc", "AUC"),
    ("coverage", "inside"),
)
_PREDICTOR_MARKS = ("dot", "square", "triangle")
_BASIS = {
    "simulated-only": "The model learned from a simulator: this compares simulated plans.",
    "observational": "Learned from observational data: who got which plan was not random, so the difference is no "
    "proof of an effect.",
}


def facts(task: Task) -> str:
    """Counts of subjects and measurements."""
    cohort = task.cohort
    counts = {
        "train": cohort.n_train,
        "calibration": cohort.n_calibration,
        "test": cohort.n_test,
        "scored": task.evaluation.n_scored,
        "measurements": cohort.n_observations,
    }
    return markup.facts(counts)


def verdicts(task: Task, shown: Iterable[tuple[str, Scale]]) -> str:
    """One item per variable: the mean absolute error, and its paired difference from each baseline."""
    items = []
    baselines = [] if task.main in task.evaluation.baselines else task.evaluation.baselines
    for variable, scale in shown:
        score = task.evaluation.score(task.main, variable, scale)
        error = f"{number(score.metrics['mae'].pooled)} {unit_text(score.unit)}".strip()
        sentences = [
            f"<strong>{name_of(score)}</strong>: {text(task.label(task.main))} was off by {error} on average, over "
            f"{score.n_targets:,} measurements of {score.n_subjects:,} subjects."
        ]
        for baseline in baselines:
            gap = task.evaluation.difference(task.main, baseline, variable, scale).metrics["mae"].pooled
            kind, words = _judge(gap)
            judged = f'<span class="{kind}">{words}</span> {text(task.label(baseline))}'
            sentences.append(f"{judged}: difference {number(gap, sign=True)}.")
        items.append(f"<li>{' '.join(sentences)}</li>")
    return f'<ul class="verdict">{"".join(items)}</ul>'


def metrics(task: Task, variable: str, scale: Scale) -> str:
    """The table over all horizons, and the one by horizon folded away."""
    report = task.evaluation
    rows = [one for one in report.scores if (one.variable, one.scale) == (variable, scale)]
    columns = _BINARY_COLUMNS if any("brier" in row.metrics for row in rows) else _COLUMNS
    head = ["predictor", "subjects", "values", *(heading for _, heading in columns)]
    head += [f"MAE less {text(task.label(one))}" for one in report.baselines]
    unit = unit_text(rows[0].unit)
    caption = f"{name_of(rows[0])}, in {unit}" if unit else name_of(rows[0])
    keys = [metric for metric, _ in columns]
    whole = [(row.predictor == task.main, _cells(task, row, "", keys)) for row in rows if row.horizon is None]
    bins = sorted((row for row in rows if row.horizon), key=lambda row: (row.horizon or (0, None))[0])
    labelled = [
        (row.predictor == task.main, _cells(task, row, f"{report.horizon_label(row.horizon)}: ", keys)) for row in bins
    ]
    folded = f"<details><summary>{caption}: by horizon</summary>{table(caption, head, labelled)}</details>"
    return table(caption, head, whole) + (folded if len(report.horizons) > 1 else "")


def _cells(task: Task, score: Score, prefix: str, keys: list[str]) -> list[str]:
    cells = [text(prefix + task.label(score.predictor)), f"{score.n_subjects:,}", f"{score.n_targets:,}"]
    for metric in keys:
        estimate = score.metrics[metric].pooled if metric in score.metrics else Estimate(value=None)
        shown = estimate if metric == "mae" else Estimate(value=estimate.value)
        cells.append(percent(shown) if metric == "coverage" else number(shown))
    where = (score.variable, score.scale, score.horizon)
    for baseline in task.evaluation.baselines:
        if score.predictor in task.evaluation.baselines:
            cells.append("")
        else:
            gap = task.evaluation.difference(score.predictor, baseline, *where)
            cells.append(number(gap.metrics["mae"].pooled, sign=True))
    return cells


def errors(identity: str, task: Task, variable: str, scale: Scale) -> str:
    """Error by horizon, where there is more than one bin."""
    if len(task.evaluation.horizons) < 2:
        return ""
    caption = f"{variable}{' (log scale)' if scale == 'log' else ''}: mean absolute error by time after the cut."
    drawing = plots.horizon_plot(task.evaluation, variable, scale, colors_of(task))
    plot = figure(drawing, identity, caption)
    return f'<h3>Error by horizon</h3>{predictor_key(task)}<div class="plots wide">{plot}</div>'


def trajectories(identity: str, task: Task) -> str:
    """A small plot per subject."""
    if not task.trajectories:
        return ""
    figures = "".join(
        figure(
            plots.trajectory_plot(one),
            f"{identity}{number}",
            f"{one.title}: {one.variable}; {len(one.history.value)} values known, {len(one.later.value)} came later.",
        )
        for number, one in enumerate(task.trajectories)
    )
    entries = [
        ("dot", "ink", "known at the cut"),
        ("band", "c0", f"forecast, {task.trajectories[0].level:.0%} interval"),
        ("ring", "ink", "came true later"),
        ("cut", "muted", "cut"),
    ]
    if any(one.treatments for one in task.trajectories):
        entries.append(("bar", "c2", "treatment"))
    return f'<h3>Some test subjects</h3>{key(entries)}<div class="plots">{figures}</div>'


def calibration(identity: str, task: Task, variable: str) -> str:
    """Coverage by nominal level of all predictors, and the PIT histogram of the main one."""
    rows: dict[str, Reliability] = {
        one.predictor: one
        for one in task.evaluation.reliability
        if one.variable == variable and one.nominal and one.n_targets
    }
    if task.main not in rows:
        return ""
    coverage = figure(
        plots.coverage_plot(rows, colors_of(task)),
        f"{identity}c",
        f"{variable}: share of measurements inside the central interval, by its nominal level. On the dotted line an "
        "interval keeps its promise.",
    )
    histogram = figure(
        plots.pit_plot(rows[task.main]),
        f"{identity}p",
        f"{variable}, {task.label(task.main)}: where the truth fell among the quantiles of the forecast. Flat at 1 "
        "when calibrated, high at the ends when intervals are too narrow.",
    )
    return f'<h3>Calibration</h3>{predictor_key(task)}<div class="plots wide">{coverage}{histogram}</div>'


def comparison(identity: str, one: PlanComparison) -> str:
    """Two plans for one subject, and their paired difference."""
    entries = [("band", "c0", one.names[0]), ("dashed", "c1", one.names[1]), ("dot", "ink", "known at the cut")]
    if one.truth:
        entries.append(("ring", "muted", "true course under each plan"))
    unit = one.unit.strip("{}")
    curves = figure(
        plots.plans_plot(one),
        f"{identity}a",
        f"{one.variable}, {unit}, under {one.names[0]} and under {one.names[1]}, with {one.level:.0%} intervals.",
    )
    last = Estimate.of(one.difference.median[-1], one.difference.low[-1], one.difference.high[-1])
    difference = figure(
        plots.difference_plot(one),
        f"{identity}d",
        f"{one.names[1]} less {one.names[0]}, paired: median and {one.level:.0%} interval. "
        f"At {one.difference.time[-1]:g} {one.time_unit}: {spell(last, sign=True)} {unit}.",
    )
    return (
        f"<h3>Two plans for one subject: {text(one.title)}</h3><p>{text(one.note)} {_BASIS[one.counterfactual]}</p>"
        f'{key(entries)}<div class="plots wide">{curves}{difference}</div>'
    )


def notes(lines: Iterable[str]) -> str:
    """What a reader has to know about the numbers."""
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f"<h3>Notes</h3><ul>{items}</ul>" if items else ""


def name_of(score: Score) -> str:
    """Variable and scale, escaped."""
    return text(f"{score.variable} (log scale)" if score.scale == "log" else score.variable)


def _judge(gap: Estimate) -> tuple[str, str]:
    if gap.low is None or gap.high is None:
        return "same", "Too few subjects for a comparison with"
    if gap.high < 0:
        return "better", "Better than"
    return ("worse", "Worse than") if gap.low > 0 else ("same", "No clear difference from")


def colors_of(task: Task) -> dict[str, int]:
    """Colour number of each predictor, the main one first."""
    others = [name for name in task.evaluation.predictors if name != task.main]
    return {name: number for number, name in enumerate([task.main, *others])}


def predictor_key(task: Task) -> str:
    """Legend of the predictors."""
    marks, colors = len(_PREDICTOR_MARKS), len(plots.PALETTE)
    return key((_PREDICTOR_MARKS[i % marks], f"c{i % colors}", task.label(name)) for name, i in colors_of(task).items())
