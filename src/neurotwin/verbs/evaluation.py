"""neurotwin evaluate and compare. Each imports what it needs when it runs, so that ``--help`` stays fast."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from neurotwin.verbs.next_step import tell_next

ReportPage = Annotated[Path | None, typer.Option("--html", help="Write a page with plots here.")]
Subgroups = Annotated[
    list[str] | None, typer.Option("--by", help="Score the subjects by this covariate too; repeatable.")
]
Part = Annotated[str, typer.Option(help="train, validation or test.")]
Replicates = Annotated[int, typer.Option(help="Patient bootstrap replicates.")]


def evaluate(
    run: Annotated[Path, typer.Argument(help="Training run, or a bundle with --cohort.", show_default=False)],
    baseline: Annotated[
        list[Path] | None,
        typer.Option("--baseline", "-b", help="Run, linear_mixed, gradient_boosting or mechanistic_map; repeatable."),
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="The run's exported bundle: score it in the run's place, calibrated.")
    ] = None,
    cohort: Annotated[Path | None, typer.Option(help="Cohort on which a bundle is scored.")] = None,
    cut: Annotated[
        float | None, typer.Option(help="With --cohort: time up to which the past is known; one random visit.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the report here.")] = None,
    html: ReportPage = None,
    by: Subgroups = None,
    part: Part = "test",
    bootstrap: Replicates = 1000,
) -> None:
    """Score a run or a bundle on held-out subjects beside last value carried forward, population mean and other runs.

    A bundle alone is scored without torch.
    """
    from neurotwin.evaluation.table import print_report
    from neurotwin.verbs.reports import check_page, write_report

    check_page(html)
    if cohort is not None:
        from neurotwin.verbs.evaluate_bundle import evaluate_bundle
        from neurotwin.verbs.reports import facts_of_cohort

        report = evaluate_bundle(run, cohort, cut=cut, part=part, n_bootstrap=bootstrap, by=by or ())
        facts, step = facts_of_cohort(cohort) if html else None, f"neurotwin inspect {run}"
    else:
        from neurotwin.extras import need

        need("lightning", "train")
        from neurotwin.verbs.evaluate import evaluate_run, facts_of_run

        report = evaluate_run(run, baseline or [], bundle=bundle, part=part, n_bootstrap=bootstrap, by=by or ())
        facts, step = facts_of_run(run) if html else None, f"neurotwin export {run} -o bundles/NAME@0.1.0"
    if json:
        write_report(report, json)
    print_report(report)
    if html:
        _write_page(report, facts, html)
    tell_next(step)


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Training runs on one cohort.", show_default=False)],
    reference: Annotated[
        str | None, typer.Option(help="Predictor that the others are compared with; the first run's.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the report here.")] = None,
    html: ReportPage = None,
    by: Subgroups = None,
    part: Part = "test",
    bootstrap: Replicates = 1000,
) -> None:
    """Set runs side by side on the same held-out subjects: one table, and a page with plots."""
    from neurotwin.extras import need

    need("lightning", "train")
    from neurotwin.evaluation.table import print_report
    from neurotwin.verbs.evaluate import compare_runs, facts_of_run
    from neurotwin.verbs.reports import check_page, write_report

    check_page(html)
    report = compare_runs(runs, reference=reference, part=part, n_bootstrap=bootstrap, by=by or ())
    if json:
        write_report(report, json)
    print_report(report)
    if html:
        _write_page(report, facts_of_run(runs[0]), html)
    else:
        tell_next(f"neurotwin compare {' '.join(str(run) for run in runs)} --html comparison.html")


def _write_page(report: Any, facts: Any, path: Path) -> None:
    from neurotwin.verbs.reports import write_page

    page = write_page(report, facts, path, command=" ".join(["neurotwin", *sys.argv[1:]]))
    print(f"page: {page}", file=sys.stderr)
