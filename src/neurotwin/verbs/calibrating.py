"""neurotwin calibrate. It imports what it needs when it runs, so that ``--help`` stays fast."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from neurotwin.verbs.next_step import tell_next


def calibrate(
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(help="Bundle folder, NAME@VERSION.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Bundle folder to be, of another version.")],
    cohort: Annotated[
        Path | None, typer.Option(help="A site's cohort: fit the forecasts' intervals again on its patients.")
    ] = None,
    seed: Annotated[int, typer.Option("--halves-seed", min=0, help="By which the cohort's patients are halved.")] = 1,
) -> None:
    """Fit a bundle's intervals again: neurotwin calibrate BUNDLE -o NAME@VERSION simulator=NAME [KEY=VALUE ...]

    The overrides tell virtual patients and pairs of plans, for paired differences; --cohort a site's, for forecasts.
    """
    from neurotwin.verbs.calibrate import calibrate_bundle

    made = calibrate_bundle(bundle, output, context.args, cohort, seed)
    print(f"{made.name} {made.version} in {output}, sha256 {made.sha256}", file=sys.stderr)
    tell_next(f"neurotwin predict {output} PATIENT.json --plan A.json --plan B.json")
