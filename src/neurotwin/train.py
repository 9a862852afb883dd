"""`python -m neurotwin.train`: what `neurotwin train` calls, and what torchrun starts.

With plain overrides it composes, trains once and prints what is next. With Hydra's own flags (``-m``, ``--cfg``, ...)
it is an ordinary Hydra application.
"""

import sys
from collections.abc import Sequence
from typing import Any

from neurotwin import compose
from neurotwin.errors import NeurotwinError


def run(config: dict[str, Any]) -> dict[str, Any]:
    """Train what a composed configuration describes; returns the run's metrics."""
    from neurotwin.recipes import recipe_of
    from neurotwin.training import train

    return train(recipe_of(config))


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if any(argument.startswith("-") for argument in arguments):
            compose.hydra_main("train", arguments, lambda config: run(config)["best_validation_loss"])
            return 0
        config = compose.compose("train", arguments)
        metrics = run(config)
    except NeurotwinError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    # A development run keeps no weights: there is nothing to evaluate.
    follow = (
        f"; next: neurotwin evaluate {config['paths']['output_dir']}"
        if metrics["best_validation_loss"] is not None
        else ""
    )
    print(f"trained in {metrics['seconds']} s{follow}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
