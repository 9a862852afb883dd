"""Export: from a training run to a bundle that a clinic can call, or an error and nothing."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
import yaml

from neurotwin.bundle import (
    ASSIMILATE,
    CALIBRATION,
    FORECAST,
    GOLDEN,
    MANIFEST,
    SIGNATURE,
    manifest_files,
    sealed,
)
from neurotwin.calibration import Calibration
from neurotwin.cohort import Cohort
from neurotwin.disk import disk_errors, whole_folder
from neurotwin.episodes import make_episodes
from neurotwin.errors import ConfigError, ParityError, SolverError
from neurotwin.evaluation.calibration import fit_calibration, with_measured_coverage
from neurotwin.evaluation.cuts import random_cuts
from neurotwin.export.agreeing import written_where_it_agrees
from neurotwin.export.card import model_card
from neurotwin.export.golden import golden_cases
from neurotwin.export.graphs import (
    PRECISIONS,
    AssimilateGraph,
    ForecastGraph,
    Precision,
    write_onnx,
)
from neurotwin.export.license import license_text
from neurotwin.export.manifest import build_manifest
from neurotwin.export.parity import TimelineSource, history_arrays, plan_arrays, prove_parity
from neurotwin.export.reference import write_reference
from neurotwin.export.signature import build_signature
from neurotwin.export.support import fit_support
from neurotwin.models import Surrogate
from neurotwin.scaling import Scaling
from neurotwin.solvers.folded import EXACT, VARIANTS, Variant, exported_for
from neurotwin.training import SurrogatePredictor

LARGEST_GRAPH = 500_000  # bytes; twice as many where the weights are in double precision


@dataclass(frozen=True)
class Exported:
    """What an export wrote: the folder, the worst difference of each output, and the graphs' sizes in bytes."""

    folder: Path
    parity: Mapping[str, float]
    sizes: Mapping[str, int]


@dataclass(frozen=True)
class Source:
    """A trained run, as objects: the model, its cohort and how it was asked."""

    model: Surrogate
    scaling: Scaling
    cohort: Cohort
    data: Mapping[str, Any]
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]


def export_bundle(
    source: Source,
    target: Path,
    *,
    timelines: int = 1000,
    history: Precision = "float32",
    plan: Precision = "float32",
    variant: Variant = "latency",
) -> Exported:
    """Write ``NAME@VERSION`` from a trained run.

    Args:
        timelines: how many random and edge timelines the parity proof compares.
        history: precision in which the history is worked through, ``float32`` or ``float64``: double costs time, and is
            for filters whose measurements are far more exact than what the population leaves open.
        plan: the same of a plan; for models whose course is a sum of large terms far from what training saw.
        variant: what the forecast should be fast at: ``latency``, of one patient, or ``throughput``, of many at once.
            They differ for models whose vector field is an `neurotwin.solvers.MlpField`; one that misses parity,
            because folding rounds otherwise, is exported ``exact``, which is logged and told in the manifest.

    Raises:
        ConfigError: the folder's name is not NAME@VERSION, or it exists, or cannot be written; or an unknown
            precision or variant.
        SolverError: the model's solver cannot be exported.
        ParityError: a graph does not answer as the model does; nothing is left behind.
    """
    name, version = _name_of(target)
    for told, precision in (("history", history), ("plan", plan)):
        if precision not in PRECISIONS:
            raise ConfigError(f"{told} is {precision!r}", where="export", expected=" or ".join(PRECISIONS))
    if variant not in (*VARIANTS, EXACT):
        raise ConfigError(f"variant is {variant!r}", where="export", expected=" or ".join((*VARIANTS, EXACT)))
    if not source.model.solver.exportable:
        raise SolverError(
            f"{type(source.model.solver).__name__} cannot be exported",
            remedy="train with a fixed-step solver, e.g. rk4",
        )
    if not all(bool(torch.isfinite(weight).all()) for weight in source.model.state_dict().values()):
        raise ParityError("the model holds weights that are not finite", where="export", remedy="train again")
    with disk_errors(target, ConfigError), whole_folder(target) as draft:
        exported = written_where_it_agrees(
            source.model,
            draft,
            variant,
            lambda chosen: _write(source, draft, name, version, timelines, history, plan, chosen),
        )
    return Exported(target, exported.parity, exported.sizes)


def _name_of(target: Path) -> tuple[str, str]:
    found = re.fullmatch(r"([a-z][a-z0-9_]*)@(\d+\.\d+\.\d+)", target.name)
    if not found:
        raise ConfigError(
            f"bundle folder {target.name!r}", where=str(target), expected="NAME@VERSION, e.g. lung_tumour@0.1.0"
        )
    if target.exists():
        raise ConfigError("the bundle exists already", where=str(target), remedy="raise the version, or remove it")
    return found.group(1), found.group(2)


def _write(
    source: Source,
    draft: Path,
    name: str,
    version: str,
    timelines: int,
    history: Precision,
    plan: Precision,
    variant: Variant,
) -> Exported:
    model, how = source.model.eval(), source.config["evaluation"]
    train, validation, test = (
        source.cohort.part(part, source.data["rotation"]) for part in ("train", "validation", "test")
    )
    support, threshold = fit_support(model, train, validation, min_visits=how["min_visits"], seed=source.config["seed"])
    calibration = _calibrate(model, validation, test, how, source.config["seed"])
    questions = TimelineSource(source.cohort.schema, source.scaling, model.solver.max_step)
    modules = AssimilateGraph(model, support, history), ForecastGraph(model, plan)
    with exported_for(variant):
        graphs = _graphs(model, modules, questions, draft, {"neurotwin.name": name, "neurotwin.version": version})
    sessions = {file: _session(draft / file) for file in graphs}
    pairs = [(module, sessions[file]) for file, (module, _) in graphs.items()]
    parity = prove_parity(pairs[0], pairs[1], questions, state_size=model.state_size, count=timelines)
    synthetic = "simulator" in source.cohort.provenance
    signature = build_signature(
        model,
        source.cohort.schema,
        source.scaling,
        outputs=[item.name for item in sessions[FORECAST].get_outputs()],
        support_threshold=threshold,
        counterfactual="simulated-only" if synthetic else "observational",
        min_visits=how["min_visits"],
    )
    if distilled := source.metrics.get("distilled"):
        signature["distilled"] = distilled
    golden = golden_cases(
        sessions[ASSIMILATE],
        sessions[FORECAST],
        TimelineSource(source.cohort.schema, source.scaling, model.solver.max_step, 1),
        model.state_size,
    )
    for file, content in ((SIGNATURE, signature), (CALIBRATION, calibration.to_dict()), (GOLDEN, golden)):
        _write_json(draft / file, content)
    write_reference(draft, model, calibration, train, test, how["min_visits"])
    _write_training(source, draft / "training")
    (draft / "LICENSE").write_bytes(license_text())
    manifest = build_manifest(
        name,
        version,
        schema=source.cohort.schema,
        data_sha256=source.data["sha256"],
        protos=[proto for _, proto in graphs.values()],
        variant=variant,
        synthetic=synthetic,
        parity=parity,
    )
    (draft / "MODEL_CARD.md").write_text(
        model_card(
            manifest, signature, dict(source.data), calibration.to_dict(), parity, source.metrics.get("measures", {})
        )
    )
    (draft / MANIFEST).write_text(sealed({**manifest, "files": manifest_files(draft)}), encoding="utf-8")
    return Exported(draft, parity, {file: (draft / file).stat().st_size for file in graphs})


def _graphs(
    model: Surrogate,
    modules: tuple[AssimilateGraph, ForecastGraph],
    questions: TimelineSource,
    draft: Path,
    metadata: dict[str, str],
) -> dict[str, Any]:
    """File -> (module, ONNX model) of both graphs."""
    state = np.zeros((3, model.state_size), np.float32)
    assimilate, forecast = modules
    jobs = {
        ASSIMILATE: (
            assimilate,
            history_arrays(questions.timeline(3, 4, past=True), state),
            ["new_state", "support"],
        ),
        FORECAST: (forecast, plan_arrays(questions.timeline(3, 4, past=False), state), forecast.output_names),
    }
    written = {}
    for file, (module, example, outputs) in jobs.items():
        tensors = {key: torch.as_tensor(value) for key, value in example.items()}
        proto = write_onnx(module, tensors, outputs, draft / file, metadata)
        double = any(weight.data_type == onnx.TensorProto.DOUBLE for weight in proto.graph.initializer)
        largest = LARGEST_GRAPH * (2 if double else 1)
        if (size := (draft / file).stat().st_size) > largest:
            raise ConfigError(
                f"{file} has {size} bytes",
                where="export",
                expected=f"at most {largest}",
                remedy="make the model smaller",
            )
        written[file] = (module, proto)
    return written


def _calibrate(model: Surrogate, validation: Cohort, test: Cohort, how: Mapping[str, Any], seed: int) -> Calibration:
    """Factors from the validation patients; coverage as measured on the test patients."""
    predict = SurrogatePredictor(model)
    limit = how.get("max_horizon") or np.inf
    horizons = [*(edge for edge in how["horizons"] if edge < limit), float(limit)]
    fitted: Calibration | None = None
    for part in (validation, test):
        cuts = random_cuts(part, min_visits=how["min_visits"], max_horizon=limit, seed=seed)
        episodes, targets, _ = make_episodes(part, cuts, min_visits=how["min_visits"], max_horizon=limit)
        forecast = predict(episodes)
        if fitted is None:
            # A bin of its own only for many patients: factors of few jump from bin to bin.
            fitted = fit_calibration(
                forecast,
                targets,
                episodes,
                horizons=horizons,
                min_patients=100,
                description=f"{len(episodes)} validation patients",
            )
        else:
            fitted = with_measured_coverage(fitted, forecast, targets, episodes)
    if fitted is None:
        raise ConfigError("nothing to calibrate on", where="export")
    return fitted


def _write_training(source: Source, folder: Path) -> None:
    folder.mkdir()
    # Paths of the machine that trained say nothing to anybody else.
    config = {key: value for key, value in source.config.items() if key not in ("paths", "logger", "callbacks")}
    config["data"] = {**config["data"], "cohort": Path(config["data"]["cohort"]).name}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    _write_json(folder / "metrics.json", dict(source.metrics))
    _write_json(folder / "data_card.json", {**source.data, "cohort": Path(source.data["cohort"]).name})


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
