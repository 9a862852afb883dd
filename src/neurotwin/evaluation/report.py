"""The evaluation as one HTML page: no script, no external file, readable on a phone, on paper, in light and dark."""

from collections.abc import Sequence
from pathlib import Path

from neurotwin.disk import disk_errors, write_whole
from neurotwin.errors import InputError
from neurotwin.evaluation import blocks, contrasts
from neurotwin.evaluation.sections import Task
from neurotwin.evaluation.table import omissions
from neurotwin.pages.document import document
from neurotwin.pages.markup import text

_CUTS = {"random": "a random visit of each subject", "per_subject": "a time of its own for each subject"}
_KINDS = {"real": "real patients", "simulated": "simulated subjects"}


def write_report(
    path: Path, title: str, tasks: Sequence[Task], *, summary: str = "", created: str = "", command: str = ""
) -> Path:
    """Write the page and return its path; a page that is there already is replaced at once.

    Args:
        path: file to write, in a folder that exists.
        title, summary: head of the page.
        tasks: one section each.
        created: date, as text.
        command: that made the numbers.

    Raises:
        InputError: no tasks, no such folder, or the page cannot be written.
        ResourceError: the disk is full.
        ExtraMissingError: matplotlib is not installed.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError("no such folder", where=str(path.parent), remedy="make it first")
    page = render_report(title, tasks, summary=summary, created=created, command=command)
    with disk_errors(path, InputError):
        write_whole(path, page)
    return path


def render_report(title: str, tasks: Sequence[Task], *, summary: str = "", created: str = "", command: str = "") -> str:
    """The page as text; arguments and errors as in `write_report`."""
    if not tasks:
        raise InputError("no tasks", where="report", expected="at least one")
    links = [(f"t{number}", task.title) for number, task in enumerate(tasks)]
    sections = "\n".join(_section(number, task) for number, task in enumerate(tasks))
    how = f" Made with <code>{text(command)}</code>." if command else ""
    return document(title, links, sections, summary=summary, created=created, how=how)


def _section(number: int, task: Task) -> str:
    facts, report = task.cohort, task.evaluation
    shown = list(task.shown) or task.scored
    identity = f"f{number}"
    parts = [
        f'<section id="t{number}" aria-labelledby="h{number}">',
        f'<h2 id="h{number}">{text(task.title)} <span class="tag {facts.kind}">{_KINDS[facts.kind]}</span></h2>',
        f'<p class="lead">{text(task.question)}</p>',
        f"<h3>Data</h3><p><strong>{text(facts.name)}.</strong> {text(facts.description)} {text(facts.source)}</p>",
        blocks.facts(task),
        f"<h3>Result</h3>{blocks.verdicts(task, shown)}",
        _reading(task),
        contrasts.forest(f"{identity}w", task, shown),
        *(blocks.metrics(task, *one) for one in shown),
        contrasts.subgroups(task, *shown[0]),
        blocks.errors(f"{identity}h", task, *shown[0]),
        blocks.trajectories(f"{identity}s", task),
        blocks.calibration(identity, task, shown[0][0]),
        blocks.comparison(identity, task.comparison) if task.comparison else "",
        blocks.notes([*task.notes, *omissions(report)]),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _reading(task: Task) -> str:
    """How the numbers are to be read."""
    report = task.evaluation
    cut = _CUTS[report.cut] if isinstance(report.cut, str) else f"{report.cut:g} {text(report.time_unit)}"
    return (
        f'<p class="small">Known: what was seen up to the cut ({cut}). Forecast: every later visit. In brackets: '
        f"{report.confidence:.0%} interval from {report.n_bootstrap:,} resamples of the subjects. Inside: share of the "
        f"measurements inside the {report.level:.0%} interval; width: of that interval. Lower is better for MAE, RMSE, "
        "CRPS and width.</p>"
    )
