"""Event times as tables in the terminal."""

from rich import box
from rich.console import Console
from rich.table import Table

from neurotwin.evaluation.results import Estimate, EventReport
from neurotwin.evaluation.spelling import spell


def print_events(report: EventReport, time_unit: str, console: Console) -> None:
    """Print one table per outcome, who was scored, and which baselines were left out."""
    for outcome in dict.fromkeys(one.outcome for one in report.scores):
        console.print(_table(report, outcome, time_unit))
    ends = ", ".join(f"{name} {count}" for name, count in report.ended.items())
    at = "a random visit" if report.cut == "random" else f"{report.cut:g} {time_unit}"
    console.print(f"{report.n_subjects} subjects free of all outcomes at {at}; follow-up ended: {ends}", style="dim")
    for name, why in report.left_out.items():
        console.print(f"{name} left out: {why}", style="yellow")


def _table(report: EventReport, outcome: str, time_unit: str) -> Table:
    table = Table(title=f"risk of {outcome}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("horizon", no_wrap=True)
    table.add_column("predictor", overflow="fold")
    for heading in ("events", "C-index", "Brier", "mean risk", "observed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for horizon in report.horizons:
        for name in report.predictors:
            one = report.score(name, outcome, horizon)
            cells = [spell(one.c_index), spell(one.brier), _plain(one.predicted), _plain(one.observed)]
            table.add_row(f"{horizon:g} {time_unit}", name, str(one.n_events), *cells)
        table.add_section()
    return table


def _plain(estimate: Estimate) -> str:
    return spell(Estimate(value=estimate.value))
