"""A bundle that was calibrated on few virtual patients."""

from pathlib import Path

import pytest

LUNG = next((Path(__file__).parents[2] / "checkpoints").glob("lung_tumour@*"))
FEW = (
    "simulator=geng_nsclc", "protocol@plans=randomised_chemo_rt", "plans.regimens.0.amounts=[2.5,5.0]",
    "plans.regimens.1.amounts=[1.0,2.0]", "plans.regimens.0.start=[0.0,7.0]", "plans.regimens.1.start=[0.0,7.0]",
    "n_subjects=150", "min_patients=10", "horizons=[10,20]", "cuts=[25]",
)  # fmt: skip


@pytest.fixture(scope="session")
def lung_bundle():
    """As the repository holds it."""
    return LUNG


@pytest.fixture(scope="session")
def calibrated_bundle(tmp_path_factory):
    """Issued again by the verb."""
    from neurotwin.verbs.calibrate import calibrate_bundle

    target = tmp_path_factory.mktemp("calibrated") / "lung_tumour@9.0.0"
    calibrate_bundle(LUNG, target, FEW, None, 1)
    return target
