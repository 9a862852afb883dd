"""The report of an ingest as one HTML page: the same numbers as `ingest_report.json`, for people.

The page shows counts, shares, names and units. It shows no value and no id of a subject, and no cell of the maps or
histograms that fewer than `survey.FEWEST` subjects are behind.
"""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from neurotwin.ingest.page import accounts, coverage, flow
from neurotwin.pages.document import document
from neurotwin.pages.markup import facts, text

PAGE_NAME = "ingest_report.html"
SECTIONS = (
    ("look", "Look at these first", accounts.flags),
    ("flow", "From files to folds", flow.flow),
    ("rows", "Rows, file by file", accounts.rows),
    ("items", "Values, name by name", accounts.items),
    ("units", "Units converted", accounts.units),
    ("ranges", "Plausible ranges", accounts.ranges),
    ("missing", "What is missing", coverage.missingness),
    ("intervals", "Time between measurements", coverage.intervals),
)
"""Id, title and function (report -> HTML) of each section."""


def write_page(folder: Path, report: Mapping[str, Any]) -> Path:
    """Write `PAGE_NAME` into ``folder``; ``report`` is the content of the JSON report."""
    path = folder / PAGE_NAME
    path.write_text(render_page(report), encoding="utf-8")
    return path


def render_page(report: Mapping[str, Any]) -> str:
    """The page as text."""
    style = resources.files("neurotwin.ingest.page").joinpath("page.css").read_text(encoding="utf-8")
    sections = "\n".join(
        f'<section id="{identity}" aria-labelledby="{identity}-title"><h2 id="{identity}-title">{title}</h2>\n'
        f"{content(report)}\n</section>"
        for identity, title, content in SECTIONS
    )
    return document(
        f"Ingest report: {report['source']}",
        [(identity, title) for identity, title, _ in SECTIONS],
        _overview(report) + sections,
        summary=_origin(report),
        how=f" Cohort <code>{text(report['cohort_sha256'][:12])}</code>.",
        style=style,
    )


def _origin(report: Mapping[str, Any]) -> str:
    """Where the records come from and what was made of them."""
    about = report["about"]
    told = [about[name].rstrip(".") + "." for name in ("title", "source") if about.get(name)]
    if licence := about.get("licence"):
        told.append(f"Licence: {licence.rstrip('.')}.")
    return " ".join([*told, f"Read with the mapping {report['mapping']}; time 0 is: {report['index_event']}."])


def _overview(report: Mapping[str, Any]) -> str:
    totals, flags = report["totals"], len(report["flags"])
    counts = {
        "files": len(report["files"]),
        "rows read": totals["read"],
        "rows accepted": totals["accepted"],
        "rows rejected": sum(totals["rejected"].values()),
        "measurements": report["measurements"]["accepted"],
        "subjects": report["subjects"]["kept"],
        "flags": flags,
    }
    return (
        f"{facts(counts)}\n<p>Every row is accounted for: read = accepted + merged + out of scope + rejected, for each "
        "file and each name. The same numbers, with the lines of the first rejections, are in "
        "<code>ingest_report.json</code>. This page has no value and no id of a subject, and its maps and histograms "
        f"have no cell with fewer than {report['survey']['fewest']} subjects.</p>\n"
    )
