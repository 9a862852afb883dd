"""neurotwin distill and export. Each imports what it needs when it runs, so that ``--help`` stays fast."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from neurotwin.verbs.next_step import tell_next

RunFolder = Annotated[Path, typer.Argument(help="Folder of a training run.", show_default=False)]


def distill(
    run: RunFolder,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the new run.")],
    steps: Annotated[int, typer.Option(min=1, help="Steps of training, 128 subjects' courses each.")] = 6000,
    hidden: Annotated[int, typer.Option(min=1, help="Width of the flow map.")] = 64,
    rates: Annotated[int, typer.Option(min=2, help="At how many rates a plan is remembered.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Of weights and courses.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in the folder.")] = False,
) -> None:
    """Distil a trained neural ODE into a flow map, which forecasts without solving, and measure how far it is off."""
    from neurotwin.extras import need

    need("lightning", "train")
    from neurotwin.training.distill import DistillOptions
    from neurotwin.verbs.distill import distill_run, worst_share

    metrics = distill_run(run, output, DistillOptions(steps, hidden, rates, seed), resume=resume)
    worst, allowed = worst_share(metrics)
    print(
        f"distilled in {metrics['seconds']} s; 95 % of forecasts are within {worst:.2g} of an interval's half-width "
        f"of the teacher's ({allowed:g} allowed)",
        file=sys.stderr,
    )
    tell_next(f"neurotwin evaluate {output} --baseline {run}")


def export(
    run: Annotated[
        Path, typer.Argument(help="Folder of a training run; with --triton, or a bundle.", show_default=False)
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Bundle folder to be, NAME@VERSION.", show_default=False)
    ] = None,
    timelines: Annotated[int, typer.Option(min=1, help="How many timelines the parity proof compares.")] = 1000,
    member: Annotated[
        list[Path] | None, typer.Option("--member", help="Another run of the same data; repeat for an ensemble.")
    ] = None,
    history: Annotated[
        Literal["float32", "float64"], typer.Option(help="Precision in which the history is worked through.")
    ] = "float32",
    plan: Annotated[
        Literal["float32", "float64"], typer.Option(help="Precision in which a plan is worked through.")
    ] = "float32",
    variant: Annotated[
        Literal["latency", "throughput", "exact"], typer.Option(help="Fast for one patient, or for many at once.")
    ] = "latency",
    triton: Annotated[
        Path | None, typer.Option("--triton", help="Also write a model repository of Triton here.", show_default=False)
    ] = None,
) -> None:
    """Export a run, or several as an ensemble, as a bundle of ONNX graphs; fails unless they answer as the model."""
    from neurotwin.verbs.export import export as run_export

    if output is None and triton is None:
        raise typer.BadParameter("Missing option --output, or --triton for a bundle")
    run_export(run, output, triton, member or [], timelines=timelines, history=history, plan=plan, variant=variant)
