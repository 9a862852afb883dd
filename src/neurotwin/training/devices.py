"""Are the devices there that a configuration asks for?"""

import os
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.accelerators import CPUAccelerator

from neurotwin.errors import ConfigError


def check_devices(config: dict[str, Any], trainer: pl.Trainer) -> None:
    """Refuse the CPU where several devices were asked for and none is there.

    Lightning itself refuses an accelerator by name that is not there. But with ``accelerator: auto`` it would take
    four devices for four processes on the CPU. Processes that torchrun or SLURM began were asked for as such.

    Raises:
        ConfigError: several devices, no accelerator.
    """
    devices, started = config.get("devices"), "LOCAL_RANK" in os.environ or "SLURM_PROCID" in os.environ
    several = isinstance(devices, int) and devices > 1
    if (
        several
        and not started
        and config.get("accelerator") == "auto"
        and isinstance(trainer.accelerator, CPUAccelerator)
    ):
        raise ConfigError(
            f"{devices} devices were asked for, and this machine has no accelerator",
            where="trainer.devices",
            expected="at most 1",
            remedy=f"for {devices} processes on the CPU add trainer.accelerator=cpu",
        )
