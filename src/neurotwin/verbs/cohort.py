"""neurotwin cohort describe, neurotwin cohort validate, neurotwin cohort to-meds."""

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from neurotwin.cohort import Cohort
from neurotwin.disk import disk_errors
from neurotwin.errors import CohortError
from neurotwin.inventory import describe, validate


def print_description(folder: Path, as_json: bool = False) -> None:
    """Print what a cohort holds, as tables or as JSON, on standard output."""
    told = describe(Cohort.load(folder))
    if as_json:
        print(json.dumps(told, indent=1))
        return
    console = Console()
    unit = told["time_unit"]
    console.print(
        f"[bold]{told['name']}[/bold]: {told['subjects']} subjects (folds {told['subjects_per_fold']}), "
        f"{told['observations']} observations, {told['doses']} doses",
        highlight=False,
    )
    for name, suffix in (("visits_per_subject", ""), ("time_between_visits", f" {unit}"), ("last_time", f" {unit}")):
        console.print(f"  {name.replace('_', ' ')}: {_span(told[name])}{suffix}", highlight=False)
    for title, columns in (
        ("variables", ("name", "unit", "observations", "subjects", "below_limit", "above_limit", "value")),
        ("treatments", ("name", "unit", "kind", "doses", "subjects", "ongoing", "amount")),
        ("statics", ("name", "unit", "subjects", "value")),
    ):
        if told[title]:
            console.print(_table(title, columns, told[title]))


def print_checks(folder: Path, as_json: bool = False) -> None:
    """Print every check of a cohort.

    Raises:
        CohortError: a check does not hold, after all have been printed.
    """
    findings = validate(folder)
    if as_json:
        print(json.dumps([item._asdict() for item in findings], indent=1))
    else:
        table = Table("", "check", "found", box=None)
        for item in findings:
            table.add_row("[green]ok[/green]" if item.holds else "[red]fails[/red]", item.name, item.detail)
        Console().print(table)
    if failed := [item.name for item in findings if not item.holds]:
        raise CohortError(f"{len(failed)} of {len(findings)} checks fail", where=str(folder), expected=failed[0])


def write_meds(folder: Path, output: Path, epoch: str) -> None:
    """Write a cohort as a MEDS data set and tell what was written, on standard error.

    Raises:
        CohortError: there is no cohort, or the data set cannot be made or written there.
        ResourceError: the disk is full.
    """
    from neurotwin.inventory.to_meds import read_epoch, to_meds

    moment = read_epoch(epoch)
    with disk_errors(output, CohortError):
        done = to_meds(Cohort.load(folder), output, epoch=moment)
    print(f"{done.subjects} subjects, {done.events} events in {done.folder}", file=sys.stderr)


def _table(title: str, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left", box=None)
    for name in columns:
        head = f"{name} (5, 50, 95 %)" if name in ("value", "amount") else name.replace("_", " ")
        table.add_column(head, justify="left" if name in ("name", "unit", "kind") else "right")
    for row in rows:
        table.add_row(*(_cell(row, name) for name in columns))
    return table


def _cell(row: dict[str, Any], name: str) -> str:
    if name in ("value", "amount"):
        levels = row.get("levels")
        return ", ".join(f"{level} {count}" for level, count in levels.items()) if levels else _span(row.get(name))
    return str(row[name])


def _span(quantiles: list[float] | None) -> str:
    return "-" if quantiles is None else " / ".join(f"{value:g}" for value in quantiles)
