"""An evaluation as tables in the terminal, on stderr: stdout is for results that other programs read."""

import sys

from rich import box
from rich.console import Console
from rich.table import Table

from neurotwin.evaluation.event_table import print_events
from neurotwin.evaluation.results import Estimate, EvaluationReport, Score
from neurotwin.evaluation.spelling import spell

_WIDE = 120  # columns of a terminal that has room for everything
_EXTRA = (("RMSE", "rmse"), ("CRPS", "crps"), ("width", "width"))
_EXTRA_BINARY = (("Brier", "brier"), ("log score", "log_score"), ("AUC", "auc"))


def print_report(report: EvaluationReport, console: Console | None = None) -> None:
    """Print one table per variable and scale, and what was left out. The console is stderr unless another is given.

    A narrow terminal gets the errors, their differences from the first baseline and the coverage.
    """
    # Rich takes a file for a narrow terminal.
    console = console or Console(stderr=True, width=None if sys.stderr.isatty() else 160)
    for variable, scale in dict.fromkeys((one.variable, one.scale) for one in report.scores):
        rows = [one for one in report.scores if (one.variable, one.scale) == (variable, scale)]
        console.print(_table(report, rows, wide=console.width >= _WIDE))
    scored = f"{report.n_scored} of {report.n_subjects} subjects scored at {report.n_queries} later visits"
    console.print(f"{scored}; in brackets: {report.confidence:.0%} patient bootstrap", style="dim")
    for line in omissions(report):
        console.print(line, style="yellow")
    if report.events is not None:
        print_events(report.events, report.time_unit, console)


def omissions(report: EvaluationReport) -> list[str]:
    """One line for each kind of measurement or question that is in no metric."""
    lines = []
    for name, count in report.variables.items():
        if count.n_censored:
            lines.append(f"{name}: {count.n_censored} censored measurements left out")
        if count.n_off_scale:
            lines.append(f"{name}: {count.n_off_scale} of {count.n_targets} measurements have no logarithm")
    lines += [f"{name}: {n} of {report.n_queries} questions not answered" for name, n in report.failed.items() if n]
    return lines


def _table(report: EvaluationReport, rows: list[Score], *, wide: bool) -> Table:
    scale = " (log scale)" if rows[0].scale == "log" else ""
    title, gap = f"{rows[0].variable}{scale}, {rows[0].unit}", 2 if wide else 1
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, gap, 0, 0), pad_edge=False)
    baselines = report.baselines if wide else report.baselines[:1]
    table.add_column("horizon", no_wrap=True)
    table.add_column("predictor", overflow="fold")
    extra = [heading for heading, _ in _extra(rows)] if wide else []
    for heading in ("values", "MAE", *extra, f"in {report.level:.0%}", *(f"MAE less {one}" for one in baselines)):
        table.add_column(heading, justify="right", no_wrap=True)
    for horizon in dict.fromkeys(row.horizon for row in rows):
        for row in (row for row in rows if row.horizon == horizon):
            table.add_row(*_cells(report, row, baselines, [key for _, key in _extra(rows)] if wide else []))
        table.add_section()
    return table


def _extra(rows: list[Score]) -> tuple[tuple[str, str], ...]:
    """Headings and names of the metrics that a wide table has room for."""
    return _EXTRA_BINARY if any("brier" in row.metrics for row in rows) else _EXTRA


def _cells(report: EvaluationReport, row: Score, baselines: tuple[str, ...], extra: list[str]) -> list[str]:
    error = row.metrics["mae"].pooled
    cells = [report.horizon_label(row.horizon), row.predictor, str(row.n_targets)]
    cells.append(spell(error if extra or not baselines else Estimate(value=error.value)))
    cells += [_plain(row, metric) for metric in extra]
    return cells + [_plain(row, "coverage")] + [_less(report, row, baseline) for baseline in baselines]


def _plain(row: Score, metric: str) -> str:
    return spell(Estimate(value=row.metrics[metric].pooled.value)) if metric in row.metrics else "-"


def _less(report: EvaluationReport, row: Score, baseline: str) -> str:
    if row.predictor in report.baselines:
        return ""
    difference = report.difference(row.predictor, baseline, row.variable, row.scale, row.horizon)
    return spell(difference.metrics["mae"].pooled, sign=True)
