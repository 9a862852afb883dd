"""neurotwin sweep: search for hyperparameters, and report what was found."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from neurotwin.verbs.next_step import tell_next

INTERRUPTED = 130


class _Sweeps(TyperGroup):
    """`neurotwin sweep KEY=VALUE` is `neurotwin sweep run KEY=VALUE`."""

    default_command = "run"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = [self.default_command, *args]
        return super().parse_args(ctx, args)


sweep = typer.Typer(
    cls=_Sweeps, no_args_is_help=True, help="Search for hyperparameters: neurotwin sweep hparams_search=lung_tumour"
)
Storage = Annotated[
    str,
    typer.Option(
        help="Database of the trials: sqlite:///FILE or postgresql://USER@HOST/DB; by default a file in the folder.",
        envvar="NEUROTWIN_SWEEP_STORAGE",
    ),
]


@sweep.command(context_settings={"allow_extra_args": True})
def run(
    context: typer.Context,
    trials: Annotated[
        int | None, typer.Option("--trials", "-n", min=1, help="How many in all.", show_default="the search's own")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Trials at once.")] = 1,
    storage: Storage = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a sweep, or join it from another machine.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder.", show_default="runs/sweeps/NAME")
    ] = None,
    gpu: Annotated[
        list[str] | None,
        typer.Option("--gpu", help="CUDA_VISIBLE_DEVICES of a job; repeat for each of them.", show_default=False),
    ] = None,
) -> None:
    """Train trials, each in a process of its own: neurotwin sweep hparams_search=NAME [KEY=VALUE ...]"""
    from neurotwin.extras import need

    need("optuna", "sweep")
    from neurotwin.sweep.run_sweep import run_sweep

    done = run_sweep(
        context.args,
        trials=trials,
        jobs=jobs,
        storage=storage,
        resume=resume,
        folder=output,
        gpus=gpu or (),
        tell=_say,
    )
    best = f"; best {done.best[1]:.6g} in trial {done.best[0]}" if done.best else ""
    _say(f"{'stopped' if done.interrupted else 'done'}: {done.told}{best}")
    if done.interrupted:
        tell_next("the same command with --resume")
        raise typer.Exit(INTERRUPTED)
    if done.experiment:
        _say(f"the best as an experiment: neurotwin train experiment={done.experiment}")
    tell_next(f"neurotwin sweep report {done.folder}")


@sweep.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a sweep.", show_default=False)],
    storage: Storage = "",
    best: Annotated[
        int | None, typer.Option("--best", min=0, help="Number of the trial that best.yaml is to have.")
    ] = None,
) -> None:
    """Write trials.parquet, report.html and best.yaml into the folder of a sweep."""
    from neurotwin.extras import need

    need("optuna", "sweep")
    from neurotwin.sweep.report import report_sweep

    written = report_sweep(folder, storage=storage, best=best)
    for path in written.files:
        _say(f"{path}")
    _say(written.told)
    if written.experiment:
        tell_next(f"neurotwin train experiment={written.experiment}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
