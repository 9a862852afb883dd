"""neurotwin trial. It imports what it needs when it runs, so that ``--help`` stays fast."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from neurotwin.verbs.next_step import tell_next

PARTS = ("simulator", "population", "protocol", "engine")
DESIGN = (
    "title", "question", "arms", "cut", "endpoints", "adverse_events", "eligibility", "randomisation", "dropout",
    "subgroups", "sizes", "shift", "confidence", "tolerance",
)  # fmt: skip


def trial(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the report, trial.json, subjects.parquet.")],
    twins: Annotated[
        str | None, typer.Option(help="Who forecasts each subject under control: library, bundle or none.")
    ] = None,
    bundle: Annotated[Path | None, typer.Option(help="An exported bundle: the surrogate engine, compared.")] = None,
) -> None:
    """A randomised trial in virtual patients: neurotwin trial trial=tmz_vs_pcv sizes.randomised=200 -o DIR"""
    from neurotwin.trials.results import write_trial

    more = [f"twins={twins}"] if twins else []
    more += [f"bundle={bundle}"] if bundle else []
    overrides = [*context.args, *more]
    done, design, config = run(overrides, output)
    page = write_trial(
        output, done, design, config, command=f"neurotwin trial {shlex.join([*overrides, '-o', str(output)])}"
    )
    flow = done.numbers["flow"]
    print(
        f"{flow['screened']} screened, {flow['eligible']} eligible, {flow['randomised']} randomised; report: {page}",
        file=sys.stderr,
    )
    again = [one for one in overrides if not one.startswith("seed=")] + [f"seed={config['seed'] + 1}"]
    tell_next(f"neurotwin trial {shlex.join([*again, '-o', f'{output}_2'])}")


def run(overrides: Sequence[str], folder: Path) -> tuple[Any, Any, dict[str, Any]]:
    """Compose ``trial.yaml`` with overrides and run, unless ``folder`` is taken; returns the trial, its design and its
    configuration."""
    from neurotwin.extras import need
    from neurotwin.runtime import Predictor
    from neurotwin.trials.results import check_folder
    from neurotwin.trials.run_trial import run_trial

    for module, extra in (("statsmodels", "baselines"), ("matplotlib", "viz")):
        need(module, extra)
    design, world, config = design_of(overrides)
    check_folder(folder, config)
    bundle = None if config["bundle"] is None else Predictor.load(config["bundle"])
    return run_trial(design, world, seed=config["seed"], twins=config["twins"], bundle=bundle), design, config


def design_of(overrides: Sequence[str]) -> tuple[Any, Any, dict[str, Any]]:
    """The design and the world of a composed ``trial.yaml``, and the configuration."""
    from neurotwin import compose
    from neurotwin.trials.design import Design
    from neurotwin.trials.world import World

    config = compose.compose("trial", overrides)
    config.pop("paths", None)  # the folder is told by --output, and no part of what is asked
    world = World(
        **{name: compose.build(config[name], name) for name in PARTS},
        method=config["method"],
        max_rejected=config["max_rejected"],
    )
    parts = {
        name: compose.build(config[name], name) if isinstance(config[name], dict | list) else config[name]
        for name in DESIGN
    }
    return Design(**parts), world, config
