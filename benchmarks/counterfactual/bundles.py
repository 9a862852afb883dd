"""The bundles that are asked, and on which pairs of plans their intervals of differences were calibrated."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.failsafe import twins
from benchmarks.failsafe.twins import Kind

from neurotwin import compose
from neurotwin.calibrating import Virtual
from neurotwin.runtime import Predictor

HERE = Path(__file__).resolve().parent
WORK = Path("runs/benchmarks/counterfactual")

TITRATED = Kind(
    "vancomycin_titrated",
    "vancomycin",
    "vancomycin_titrated",
    twins.settings(4.0, "[24.0]", 30),
    1.0,
    HERE / "weights",
    2000,
)
"""A twin of vancomycin whose patients' doses changed on the way: where they do not, as in the fail-safe benchmark's,
nothing tells what a dose does from what the patient is."""


@dataclass(frozen=True)
class Calibrated:
    """A bundle and the overrides of `neurotwin calibrate` by which its pairs of plans are drawn.

    The amounts are not those of the contrasts, wherever the range of training leaves others.
    """

    kind: Kind
    overrides: tuple[str, ...]

    @property
    def all_overrides(self) -> list[str]:
        """With the simulator and the protocol of the bundle."""
        return [f"simulator={self.kind.simulator}", f"protocol={self.kind.protocol}", *self.overrides]

    def virtual(self, **changes: int) -> Virtual:
        """The patients and plans, as the verb builds them."""
        changed = [f"{name}={value}" for name, value in changes.items()]
        config = compose.compose("calibrate", [*self.all_overrides, *changed])
        parts = {
            name: compose.build(config.pop(name), name) for name in ("simulator", "population", "protocol", "plans")
        }
        return Virtual(**parts, **config)


WARFARIN = (
    "protocol@plans=warfarin_randomised", "plans.regimens.0.amounts=[2.0,4.0,6.0,8.0,10.0]", "cuts=[168,240,312]",
)  # fmt: skip
DAILY = ("plans.regimens.0.start=[0.0,0.0]", "plans.regimens.0.count=[14,28]")
"""A dose a day from the plans' start on, for two weeks at least, as plans of warfarin are; the protocol's own begin up
to two days later and may end after a week."""
WIDER = "warfarin_wider"


BUNDLES = {
    "lung_tumour": Calibrated(
        twins.TWINS["lung_tumour"],
        ("protocol@plans=randomised_chemo_rt", "plans.regimens.0.amounts=[2.5,5.0]",
         "plans.regimens.1.amounts=[1.0,2.0]", "plans.regimens.0.start=[0.0,14.0]",
         "plans.regimens.1.start=[0.0,14.0]"),
    ),
    "vancomycin_titrated": Calibrated(
        TITRATED,
        ("protocol@plans=vancomycin_randomised",
         "plans.regimens.0.amounts=[450.0,650.0,850.0,1100.0,1300.0,1450.0]", "cuts=[36,48,60]"),
    ),
    "warfarin": Calibrated(twins.TWINS["warfarin"], (*WARFARIN, *DAILY)),
    WIDER: Calibrated(twins.TWINS["warfarin"], WARFARIN),
}  # fmt: skip


def calibrated(name: str, work: Path = WORK) -> tuple[Predictor, Predictor]:
    """The bundle without its calibration of differences, and with it: as the repository holds it, or as
    `neurotwin calibrate` issues it, made unless it is there."""
    one = BUNDLES[name]
    predictor = twins.predictor_of(one.kind, work if one.kind is TITRATED else twins.WORK)
    if predictor.paired is None:
        folder = work / "bundles" / name / f"{predictor.bundle.name}@0.2.0"
        if not folder.exists():
            command = [sys.executable, "-m", "neurotwin", "calibrate", str(predictor.bundle.path), "-o", str(folder)]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            subprocess.run([*command, *one.all_overrides], check=True, env=environment)
        predictor = Predictor.load(folder)
    alone = Predictor(predictor.bundle)
    alone.paired = None
    return alone, predictor
