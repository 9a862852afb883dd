"""`python -m neurotwin.train`: what `neurotwin train` calls, and what torchrun starts.

With plain overrides it composes, trains once and prints what is next. With Hydra's own flags (``-m``, ``--cfg``, ...)
it is an ordinary Hydra application. Of several processes the first one speaks.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

from neurotwin import compose
from neurotwin.errors import ConfigError, NeurotwinError, PreemptedError

RANK = next((int(os.environ[name]) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID") if name in os.environ), 0)
"""Which of several processes this one is, as whoever started it says."""


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
            compose.hydra_main("train", arguments, lambda config: run(_of_one_process(config))["best_validation_loss"])
            return 0
        config = compose.compose("train", arguments)
        metrics = run(config)
    except NeurotwinError as error:
        if RANK:
            # All processes leave when one is asked to; the first of them tells so, and with which code.
            if isinstance(error, PreemptedError):
                return 0
            print(f"process {RANK}: {error}", file=sys.stderr)
            return error.exit_code
        print(error, file=sys.stderr)
        return error.exit_code
    if RANK:
        return 0
    # A development run keeps no weights: there is nothing to evaluate.
    follow = (
        f"; next: neurotwin evaluate {config['paths']['output_dir']}"
        if metrics["best_validation_loss"] is not None
        else ""
    )
    print(f"trained in {metrics['seconds']} s{follow}", file=sys.stderr)
    return 0


def _of_one_process(config: dict[str, Any]) -> dict[str, Any]:
    """Refuse several processes under Hydra's own flags: each of them would run the whole sweep, with trials, folders
    and choices of its own."""
    trainer = config["trainer"]
    if trainer.get("strategy", "auto") == "auto" and trainer.get("devices") in (1, "1", None):
        return config
    raise ConfigError(
        "Hydra's own flags and several processes do not go together",
        where="trainer",
        expected="trainer.devices=1 and no strategy",
        remedy="for a sweep use: neurotwin sweep, which gives each trial processes of its own",
    )


if __name__ == "__main__":
    sys.exit(main())
