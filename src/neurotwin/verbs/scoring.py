"""neurotwin score."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from neurotwin.verbs.next_step import tell_next


def score(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder, NAME@VERSION.", show_default=False)],
    cohort: Annotated[Path, typer.Argument(help="Cohort folder.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the scores.")],
    engine: Annotated[Literal["local", "ray"], typer.Option(help="Processes here, or tasks on a Ray cluster.")] = (
        "local"
    ),
    workers: Annotated[
        int | None, typer.Option(min=1, help="How many at once; one per core by default.", show_default=False)
    ] = None,
    plan: Annotated[
        str, typer.Option(help="none, recorded (the record's own doses after the cut), or a plan document.")
    ] = "none",
    after: Annotated[
        str, typer.Option(help="Times from the cut, such as '30,90 d'; by default the plan's, or the bundle's bins.")
    ] = "",
    cut: Annotated[
        float | None,
        typer.Option(help="Time up to which records are known; by default the last visit.", show_default=False),
    ] = None,
    address: Annotated[str, typer.Option(help="Of the Ray cluster, HOST:PORT.")] = "auto",
    lease: Annotated[float, typer.Option(help="Seconds without a sign of life that a worker is given.")] = 60.0,
    tries: Annotated[int, typer.Option(min=1, help="Workers that a record may cost before it is quarantined.")] = 3,
    part_size: Annotated[int, typer.Option(min=1, help="Subjects of one file.")] = 2000,
) -> None:
    """Forecast every subject of a cohort: answered exactly once, or in quarantine with a reason. Can be resumed."""
    from neurotwin.extras import need

    need("pyarrow", "simulate")
    from neurotwin.score import make_job, score_cohort
    from neurotwin.verbs.score_progress import Progress

    job = make_job(bundle, cohort, plan=plan, after=after, cut=cut, part_size=part_size)
    with Progress() as progress:
        summary = score_cohort(
            job,
            output,
            engine=engine,
            workers=workers,
            lease=lease,
            tries=tries,
            address=address,
            told=progress.told,
        )
    if summary.ignored:
        print(f"left out, unknown to the bundle: {', '.join(summary.ignored)}", file=sys.stderr)
    counts = ", ".join(f"{number} {name}" for name, number in summary.subjects.items())
    print(f"{sum(summary.subjects.values())} subjects in {output}: {counts}", file=sys.stderr)
    print(progress.rate(summary.fresh), file=sys.stderr)
    tell_next(f"neurotwin evaluate {bundle} --cohort {cohort}")
