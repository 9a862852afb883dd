"""The report of an ingest: every row and item accounted for, as JSON beside the cohort and as a short table."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from neurotwin.ingest.accounting import KINDS, Account, ItemAccounts
from neurotwin.ingest.mapping import SourceMapping
from neurotwin.ingest.page import write_page
from neurotwin.ingest.rows import FileAccount

REPORT_NAME = "ingest_report.json"
FORMAT = 1


@dataclass
class IngestReport:
    """What became of a source.

    Attributes:
        source, mapping: names of what was read and of the mapping.
        files: accounts of rows, file by file.
        items: accounts of measurements, treatments and statics.
        subjects: counts: read, kept, without_observations.
        flags: what looks odd in the data though each item is valid.
        survey: what the cohort covers, see `survey.Survey`.
        sha256: hash of the cohort's content.
        output: folder of the cohort.
    """

    source: str
    mapping: SourceMapping
    files: list[FileAccount]
    items: ItemAccounts
    subjects: dict[str, int] = field(default_factory=dict)
    flags: list[dict[str, Any]] = field(default_factory=list)
    survey: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""
    output: Path = Path()

    @property
    def totals(self) -> Account:
        """Rows of all files."""
        total = Account()
        for one in self.files:
            total.add(one)
        return total

    @property
    def balanced(self) -> bool:
        """Whether read = accepted + merged + out_of_scope + rejected for each file and each kind of item."""
        accounts = [*self.files, self.totals, *self.items.totals.values(), *self.items.by_name.values()]
        return all(account.balanced for account in accounts)

    def as_dict(self) -> dict[str, Any]:
        """Plain data; counts, names and places only."""
        return {
            "format": FORMAT,
            "source": self.source,
            "mapping": self.mapping.name,
            "about": dict(self.mapping.about),
            "index_event": self.mapping.index.event,
            "cohort_sha256": self.sha256,
            "files": [one.as_dict() for one in self.files],
            "totals": self.totals.as_dict(),
            **{kind: self._items(kind) for kind in KINDS},
            "units": self._units(),
            "ranges": self._ranges(),
            "subjects": self.subjects,
            "flags": self.flags,
            "survey": self.survey,
        }

    def write(self, folder: Path) -> Path:
        """Write `REPORT_NAME` into ``folder``, and the same for people beside it (`page`)."""
        path, content = folder / REPORT_NAME, self.as_dict()
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        write_page(folder, content)
        return path

    def _items(self, kind: str) -> dict[str, Any]:
        plan = self.mapping
        known = {
            "measurements": [one.name for one in plan.variables],
            "treatments": [one.name for one in plan.treatments],
            "statics": [one.name for one in plan.statics],
        }
        by_name = {name: self.items.account(name).as_dict() for name in known[kind]}
        empty = {"empty": self.items.empty} if kind == "measurements" else {}
        return {**self.items.totals[kind].as_dict(), **empty, "by_name": by_name}

    def _ranges(self) -> list[dict[str, Any]]:
        schema = self.mapping.cohort_schema.model_dump(mode="json")  # with null for an open end
        kinds = {"measurements": "variables", "treatments": "treatments", "statics": "statics"}
        return [
            {
                "kind": kind,
                "name": one["name"],
                "unit": one["unit"],
                "plausible": one["plausible"],
                "source": one.get("source", ""),
            }
            for kind in KINDS
            for one in schema[kinds[kind]]
            if not one.get("levels")
        ]

    def _units(self) -> list[dict[str, Any]]:
        return [
            {"name": name, "from": source, "to": target, "count": count}
            for (name, source, target), count in sorted(self.items.converted.items())
        ]


def print_summary(report: IngestReport, console: Console | None = None) -> None:
    """Print a short table of the report, by default to standard output."""
    console = console or Console()
    console.print(
        f"{report.source} -> {report.output}: {_subjects(report)}", soft_wrap=True, highlight=False, markup=False
    )
    table = Table(box=SIMPLE)
    for heading in ("", "read", "accepted", "merged", "left out", "rejected", "because"):
        table.add_column(heading, justify="left" if heading in ("", "because") else "right")
    for name, account in [*((one.path, one) for one in report.files), *report.items.totals.items()]:
        table.add_row(escape(name), *_counts(account))
    console.print(table)
    if ends := report.survey.get("follow_up"):
        few = report.survey["fewest"]
        told = ", ".join(f"{name} {f'below {few}' if count is None else f'{count:,}'}" for name, count in ends.items())
        console.print(f"follow-up ended by: {told}", soft_wrap=True, markup=False)
    for flag in report.flags:
        console.print(f"look at: {flag['what']} ({', '.join(flag['variables'])})", soft_wrap=True, markup=False)


def _counts(account: Account) -> list[str]:
    why = ", ".join(f"{reason} {count}" for reason, count in account.rejected.most_common(3))
    numbers = (account.read, account.accepted, account.merged, account.out_of_scope, account.rejected.total())
    return [*(f"{number:,}" for number in numbers), why]


def _subjects(report: IngestReport) -> str:
    counts = report.subjects
    return f"{counts['kept']:,} subjects, {counts['without_observations']:,} of them without observations"
