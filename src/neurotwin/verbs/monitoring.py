"""neurotwin monitor: is a bundle still right about the patients that a site sees now?"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from neurotwin.verbs.next_step import tell_next

VERDICT = 5
"""Exit code of a verdict that is no: an alarm, or a gate that does not hold."""
SAMPLE = 200
"""Patients whom the runtime is asked about, to see how often it keeps silent."""


def monitor(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder, NAME@VERSION.", show_default=False)],
    cohort: Annotated[Path, typer.Argument(help="The site's cohort, with the bundle's channels.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for monitor.json and monitor.html.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Cohort to compare with, in the place of the bundle's own reference.")
    ] = None,
    part: Annotated[
        str | None, typer.Option(help="all, train, validation or test; test of the cohort that it was trained on.")
    ] = None,
    window: Annotated[
        int | None, typer.Option(help="Also look at the patients one after the other, in windows.")
    ] = None,
    order: Annotated[str, typer.Option(help="Covariate that orders the patients in time; as the cohort stands.")] = "",
    by: Annotated[list[str] | None, typer.Option("--by", help="Score by this covariate too; repeatable.")] = None,
    false_alarm: Annotated[
        float, typer.Option(help="Probability, at most, of an alarm in a run where nothing changed.")
    ] = 0.01,
    fail_on: Annotated[str, typer.Option(help="Verdict from which the exit code is 5: alarm, watch, never.")] = "alarm",
    json: Annotated[Path | None, typer.Option("--json", help="Write the report here.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with plots here.")] = None,
) -> None:
    """Watch a bundle on a site's own patients: drift, calibration, accuracy, silence. Exit code 5 on an alarm."""
    from neurotwin.monitoring.monitor import Options
    from neurotwin.verbs.reports import check_page

    if fail_on not in ("alarm", "watch", "never"):
        from neurotwin.errors import ConfigError

        raise ConfigError(f"fail-on {fail_on!r}", where="--fail-on", expected="alarm, watch or never")
    options = Options(false_alarm=false_alarm, window=window, order=order, by=by or ())
    if output is not None:
        make_folder(output)
        json, html = json or output / "monitor.json", html or output / "monitor.html"
    check_target(json)
    check_page(html)
    report = run_monitor(bundle, cohort, reference, part, options)
    _tell(report)
    if json is not None:
        _write(report, json)
    if html is not None:
        from neurotwin.monitoring.page import write_page

        print(f"page: {write_page(html, report)}", file=sys.stderr)
    tell_next(_next(report, bundle, cohort, html))
    bad = {"alarm": ("alarm",), "watch": ("alarm", "watch"), "never": ()}[fail_on]
    if report.verdict in bad:
        raise typer.Exit(VERDICT)


def run_monitor(bundle: Path, cohort: Path, reference: Path | None, part: str | None, options: Any) -> Any:
    """The report on a cohort's folder.

    Raises:
        ConfigError: the bundle carries no reference and none is given, or an argument out of range.
        CohortError: no such cohort, or one of other channels.
        ArtefactError: the bundle is damaged.
    """
    from neurotwin.monitoring.monitor import monitor as watch_site
    from neurotwin.monitoring.site import read_site
    from neurotwin.runtime import Predictor

    predictor = Predictor.load(bundle)
    site = read_site(cohort, predictor.bundle, predictor.schema, part)
    known = find_reference(predictor, reference)
    return watch_site(
        predictor, site, known, options, patients=sample(site.cohort, SAMPLE, predictor.signature.min_visits)
    )


def find_reference(predictor: Any, cohort: Path | None) -> Any:
    """The bundle's own reference, or one made from a cohort: of that which the bundle was trained on, the training
    part tells the inputs and the test part how good it was; of another, all subjects tell both."""
    from neurotwin.cohort import Cohort
    from neurotwin.errors import ConfigError
    from neurotwin.monitoring import Reference
    from neurotwin.monitoring.fitting import fit_reference
    from neurotwin.monitoring.site import data_card, read_site

    own = Reference.of_bundle(predictor.bundle)
    if cohort is None:
        if own is None:
            raise ConfigError(
                "the bundle carries no reference",
                where=str(predictor.bundle.path),
                remedy="give --reference COHORT, best the one that it was trained on, or export it again",
            )
        return own
    judged = read_site(cohort, predictor.bundle, predictor.schema)
    inputs = judged.cohort
    if judged.part == "test":
        inputs = Cohort.load(cohort).part("train", int(data_card(predictor.bundle).get("rotation", 0)))
    return fit_reference(
        predictor,
        predictor.calibration,
        inputs,
        judged.cohort,
        min_visits=predictor.signature.min_visits,
        description=f"{len(inputs)} subjects of {cohort.name}",
    )


def sample(cohort: Any, most: int, min_visits: int = 1) -> Any:
    """Documents of up to ``most`` patients, spread evenly over the cohort, each at a visit drawn by its id from the
    ``min_visits``-th on; at the last where there are fewer."""
    import numpy as np

    from neurotwin.evaluation.cuts import random_cuts
    from neurotwin.verbs.examples import patient_document

    last = np.full(len(cohort), -np.inf)
    np.maximum.at(last, cohort.observations.subject, cohort.observations.time)
    cuts = np.minimum(random_cuts(cohort, min_visits=min_visits), last)
    known = np.flatnonzero(np.isfinite(cuts))
    for subject in known[:: max(1, -(-len(known) // most))]:
        yield patient_document(cohort, int(subject), float(cuts[subject]), limits=True)


def make_folder(folder: Path) -> None:
    """Raises InputError where it cannot be made, ResourceError when the disk is full."""
    from neurotwin.disk import disk_errors
    from neurotwin.errors import InputError

    with disk_errors(folder, InputError):
        folder.mkdir(parents=True, exist_ok=True)


def check_target(path: Path | None) -> None:
    """Raises InputError unless a file can be written there, before anything is computed for it."""
    from neurotwin.errors import InputError

    if path is not None and (not path.parent.is_dir() or path.is_dir()):
        raise InputError("no such folder", where=str(path.parent), expected="a file in a folder that is there")


def _tell(report: Any) -> None:
    """The verdicts as a table on stderr, the worst first."""
    from rich.console import Console
    from rich.table import Table

    from neurotwin.monitoring.report import ORDER

    console = Console(stderr=True)
    table = Table(title=f"{report.n_subjects} subjects of {report.cohort} beside {report.reference}")
    for column in ("feature", "verdict", "distance", "PSI", "what changed"):
        table.add_column(column)
    loud = [one for one in report.checks if one.verdict in ("alarm", "watch")]
    for one in sorted(loud, key=lambda one: (-ORDER.index(one.verdict), one.adjusted)):
        table.add_row(one.feature, one.verdict, f"{one.distance:.2f}", f"{one.stability:.2f}", one.told)
    if loud:
        console.print(table)
    for flag in report.stream.flags if report.stream else ():
        console.print(f"stream: {flag.feature} after {flag.patients} patients (the last {flag.window})")
    if report.abstentions:
        console.print(f"silent about {report.abstentions.share:.1%} of {report.abstentions.n} patients asked about")
    quiet = sum(one.verdict == "ok" for one in report.checks)
    console.print(f"{report.verdict}: {quiet} of {len(report.checks)} checks ok, {len(report.not_judged)} not judged")
    for line in report.advice:
        console.print(line)


def _write(report: Any, path: Path) -> None:
    import json

    from neurotwin.disk import disk_errors, write_whole
    from neurotwin.errors import InputError

    content = json.dumps(report.to_dict(), indent=1, allow_nan=False) + "\n"
    with disk_errors(path, InputError):
        write_whole(path, content)


def _next(report: Any, bundle: Path, cohort: Path, html: Path | None) -> str:
    if report.verdict in ("alarm", "watch"):
        return f"neurotwin evaluate {bundle} --cohort {cohort} --html site.html"
    return f"neurotwin monitor {bundle} {cohort} --html monitor.html" if html is None else f"neurotwin inspect {bundle}"
