"""Parts of the report that set one against another: predictors against a baseline, subgroups against each other."""

from neurotwin.evaluation.blocks import colors_of, predictor_key
from neurotwin.evaluation.forest import differences, forest_plot
from neurotwin.evaluation.markup import figure, number, percent
from neurotwin.evaluation.results import Estimate, Scale, SubgroupScore
from neurotwin.evaluation.sections import Task
from neurotwin.pages.markup import table, text, unit_text

MOST_ROWS = 40
"""Rows of a forest plot; more are no longer read."""


def forest(identity: str, task: Task, shown: list[tuple[str, Scale]]) -> str:
    """A forest plot for each baseline, where more than one difference can be set beside another."""
    parts = []
    # Each variable once, on the scale that comes first.
    shown = list({variable: (variable, scale) for variable, scale in reversed(shown)}.values())[::-1]
    for place, baseline in enumerate(task.evaluation.baselines):
        rows = differences(task.evaluation, baseline, shown)[:MOST_ROWS]
        if len(rows) > 1:
            drawing = forest_plot(task.evaluation, rows, colors_of(task))
            caption = (
                f"Mean absolute error less that of {task.label(baseline)}, in percent of it, paired, with "
                f"{task.evaluation.confidence:.0%} intervals. Left of the line is better."
            )
            parts.append(figure(drawing, f"{identity}{place}", caption))
    if not parts:
        return ""
    return f'<h3>Differences</h3>{predictor_key(task)}<div class="plots wide">{"".join(parts)}</div>'


def subgroups(task: Task, variable: str, scale: Scale) -> str:
    """Error and coverage of the main predictor in each part of the subjects."""
    rows = [
        one
        for one in task.evaluation.subgroups
        if (one.predictor, one.variable, one.scale) == (task.main, variable, scale)
    ]
    if not rows:
        return ""
    unit = unit_text(rows[0].unit)
    caption = f"{text(variable)}, {text(task.label(task.main))}, by subgroup{f', in {unit}' if unit else ''}"
    head = ["subgroup", "subjects", "values", "MAE", "width", f"inside {task.evaluation.level:.0%}"]
    return f"<h3>Subgroups</h3>{table(caption, head, [(False, _cells(one)) for one in rows])}"


def _cells(one: SubgroupScore) -> list[str]:
    def plain(metric: str) -> Estimate:
        return one.metrics[metric].pooled if metric in one.metrics else Estimate(value=None)

    return [
        text(f"{one.by}: {one.part}"),
        f"{one.n_subjects:,}",
        f"{one.n_targets:,}",
        number(plain("mae")),
        number(Estimate(value=plain("width").value)),
        percent(plain("coverage")),
    ]
