"""A hybrid with a posterior over its parameters leaves torch at parity, through the project's own exporter."""

import numpy as np
import onnxruntime
import pytest
import torch
from simulator_cases import configured

from neurotwin.errors import ParityError
from neurotwin.export.graphs import AssimilateGraph, ForecastGraph, SupportScore, write_onnx
from neurotwin.export.parity import TimelineSource, history_arrays, plan_arrays, prove_parity
from neurotwin.models import HybridOde
from neurotwin.scaling import Scaling
from neurotwin.simulators.geng_nsclc import GengNsclc
from neurotwin.simulators.mazzocco_glioma import MazzoccoGlioma
from neurotwin.simulators.simulate import simulate
from neurotwin.simulators.vancomycin import Vancomycin
from neurotwin.solvers import Rk4

CASES = {
    "geng_nsclc": (GengNsclc, ["growth_rate", "radio_alpha"], ["initial_volume"], "randomised_chemo_rt", 1.0),
    "vancomycin": (Vancomycin, ["clearance", "central_volume"], [], "vancomycin_randomised", 2.0),
    "mazzocco_glioma": (MazzoccoGlioma, ["growth_rate"], ["initial_quiescent"], "tmz_randomised", 0.2),
}


def check(name, posterior, folder, count, precision="float32"):
    kind, free, start, protocol, step = CASES[name]
    cohort = simulate(
        kind(), configured("population", "published"), configured("protocol", protocol), n_subjects=20, seed=5
    )
    torch.manual_seed(0)
    scaling = Scaling.fit(cohort)
    model = HybridOde(
        cohort.schema, scaling, Rk4(step), mechanism=kind(), free=free, start=start, posterior=posterior, residual=4,
        draws=4, hidden=8, memory=4,
    ).eval()  # fmt: skip
    with torch.no_grad():
        model.mechanism.residual[-1].weight.normal_(0, 0.1)
    size = model.state_size
    support = SupportScore(torch.zeros(size), torch.eye(size)[:, : model.n_learned])
    questions, blank = TimelineSource(cohort.schema, scaling, step), np.zeros((3, size), np.float32)
    jobs = [
        (AssimilateGraph(model, support, precision).eval(), history_arrays(questions.timeline(3, 4, past=True), blank),
         ["new_state", "support"]),
        (ForecastGraph(model, precision).eval(), plan_arrays(questions.timeline(3, 4, past=False), blank),
         ForecastGraph(model).output_names),
    ]  # fmt: skip
    pairs = []
    for number, (module, example, outputs) in enumerate(jobs):
        path = folder / f"{number}.onnx"
        write_onnx(module, {key: torch.as_tensor(value) for key, value in example.items()}, outputs, path, {})
        assert path.stat().st_size < 500_000
        pairs.append((module, onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])))
    return prove_parity(*pairs, TimelineSource(cohort.schema, scaling, step, 1), state_size=size, count=count)


@pytest.mark.full
def test_a_hybrid_exports_at_parity(tmp_path):
    worst = check("geng_nsclc", "encoder", tmp_path, 40)
    assert max(worst.values()) <= 1e-5 and max(worst.values()) > 0


@pytest.mark.full
@pytest.mark.parametrize("name", ["mazzocco_glioma", "vancomycin"])
def test_other_mechanisms_export_at_parity_in_double(name, tmp_path):
    assert max(check(name, "encoder", tmp_path, 200, "float64").values()) <= 1e-5


@pytest.mark.full
@pytest.mark.parametrize(("name", "precision"), [("geng_nsclc", "float32"), ("mazzocco_glioma", "float64")])
def test_a_recursive_belief_exports_at_parity(name, precision, tmp_path):
    assert max(check(name, "recursive", tmp_path, 200, precision).values()) <= 1e-5


@pytest.mark.full
def test_a_belief_that_random_histories_lead_astray_is_refused(tmp_path):
    """A filter of vancomycin's levels is not finite on histories that no patient has."""
    with pytest.raises(ParityError):
        check("vancomycin", "recursive", tmp_path, 200)
