"""The two graphs of a bundle: modules with named tensors in and out, and how they are written as ONNX."""

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import onnx
import torch
from torch import Tensor, nn

from neurotwin.bundle import OPERATORS
from neurotwin.errors import BundleError
from neurotwin.export.pruning import prune
from neurotwin.export.weights import settle_weights
from neurotwin.models import Surrogate
from neurotwin.solvers import Rows

OPSET = 20
Precision = Literal["float32", "float64"]
PRECISIONS: Mapping[str, torch.dtype] = {"float32": torch.float32, "float64": torch.float64}
OUTPUT = "output."
HISTORY_INPUTS = ("state", "fresh", "start", "static", "static_mask", "dt", "control", "jump", "value", "mask")
PLAN_INPUTS = ("state", "dt", "control", "jump", "query_at", "peek")
AXES: Mapping[str, tuple[str, ...]] = {
    "state": ("batch", "state"),
    "fresh": ("batch",),
    "start": ("batch",),
    "static": ("batch", "static"),
    "static_mask": ("batch", "static"),
    "dt": ("batch", "row"),
    "control": ("batch", "row", "control"),
    "jump": ("batch", "row", "control"),
    "value": ("batch", "row", "obs"),
    "mask": ("batch", "row", "obs"),
    "query_at": ("batch", "row"),
    "peek": ("batch", "row"),
    "new_state": ("batch", "state"),
    "support": ("batch",),
    "mean": ("batch", "row", "obs"),
    "quantiles": ("batch", "row", "obs", "quantile"),
    "draws": ("batch", "row", "obs", "draw"),
    "step_error": ("batch", "row", "obs"),
    "incidence": ("batch", "row", "outcome"),
}


class SupportScore(nn.Module):
    """How far a state lies from those of the training subjects: squared Mahalanobis distance over its size.

    Mahalanobis (1936); as an out-of-distribution score over features: Lee et al., NeurIPS 2018.
    """

    centre: Tensor
    whitening: Tensor

    def __init__(self, centre: Tensor, whitening: Tensor) -> None:
        super().__init__()
        self.register_buffer("centre", centre)
        self.register_buffer("whitening", whitening)

    def forward(self, state: Tensor) -> Tensor:
        """``[batch]`` score of packed states ``[batch, state]``; about 1 for a typical one."""
        return torch.as_tensor(((state - self.centre) @ self.whitening).square().mean(-1))


class AssimilateGraph(nn.Module):
    """Previous state (or none) and events -> state and its support score.

    Args:
        precision: in which the history is worked through; tensors in and out are in single precision anyway.
    """

    def __init__(self, model: Surrogate, support: SupportScore, precision: Precision = "float32") -> None:
        super().__init__()
        self.model, self.support = model, support
        self.dtype = PRECISIONS[precision]
        if self.dtype != torch.float32:
            self.model = copy.deepcopy(model).to(self.dtype)

    def forward(
        self,
        state: Tensor,
        fresh: Tensor,
        start: Tensor,
        static: Tensor,
        static_mask: Tensor,
        dt: Tensor,
        control: Tensor,
        jump: Tensor,
        value: Tensor,
        mask: Tensor,
    ) -> tuple[Tensor, ...]:
        nothing = torch.zeros_like(dt)
        rows = Rows(dt, control, jump, value, mask, torch.zeros_like(mask), nothing, nothing)
        if self.dtype != torch.float32:
            rows = Rows(*(column.to(self.dtype) for column in rows))
            state, fresh, start, static, static_mask = (
                item.to(self.dtype) for item in (state, fresh, start, static, static_mask)
            )
        after = self.model.assimilate(state, fresh, start, static, static_mask, rows).to(torch.float32)
        return after, self.support(after)


class ForecastGraph(nn.Module):
    """State and plan -> mean, quantiles, joint draws and, for methods that estimate it, the step error; for models with
    hazards the cumulative incidence of each outcome since the plan's start.

    Quantiles and step error are those of latent values; mean and draws are expected records (`neurotwin.heads`).
    """

    def __init__(self, model: Surrogate, precision: Precision = "float32") -> None:
        super().__init__()
        self.model, self.dtype = model, PRECISIONS[precision]
        if self.dtype != torch.float32:
            self.model = copy.deepcopy(model).to(self.dtype)

    def forward(
        self, state: Tensor, dt: Tensor, control: Tensor, jump: Tensor, query_at: Tensor, peek: Tensor
    ) -> tuple[Tensor, ...]:
        if self.dtype != torch.float32:
            given = (item.to(self.dtype) for item in (state, dt, control, jump, query_at, peek))
            return tuple(item.to(torch.float32) for item in self._answer(*given))
        return self._answer(state, dt, control, jump, query_at, peek)

    def _answer(
        self, state: Tensor, dt: Tensor, control: Tensor, jump: Tensor, query_at: Tensor, peek: Tensor
    ) -> tuple[Tensor, ...]:
        empty = dt.new_zeros(*dt.shape, self.model.n_obs)
        prediction = self.model.forecast(state, Rows(dt, control, jump, empty, empty, empty, query_at, peek))
        scaler = self.model.scaler
        answer = [prediction.natural_mean(scaler), prediction.quantiles(scaler), prediction.draws(scaler)]
        if prediction.error is not None:
            # The derivative of the modelling scale brings the error to the variable's unit.
            answer.append(prediction.error * scaler.slope(prediction.mean))
        if prediction.risk is not None:
            answer.append(prediction.risk.mean_incidence)
        return tuple(answer)

    @property
    def output_names(self) -> list[str]:
        """Names of what `forward` returns."""
        told = {"step_error": self.model.has_error, "incidence": self.model.tells_risk}
        return ["mean", "quantiles", "draws", *(name for name, there in told.items() if there)]


def write_onnx(
    module: nn.Module, example: Mapping[str, Tensor], outputs: list[str], path: Path, metadata: Mapping[str, str]
) -> onnx.ModelProto:
    """Export one graph with dynamic, named batch and row axes to a single file.

    Raises:
        BundleError: the graph holds an operator that bundles do not allow.
    """
    dims = {name: torch.export.Dim(name) for name in ("batch", "row")}
    shapes = {name: {axis: dims[label] for axis, label in enumerate(AXES[name]) if label in dims} for name in example}
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter's own notices: deprecations inside torch, and dimensions that it names itself.
        warnings.simplefilter("ignore")
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            program = torch.onnx.export(
                module.eval(),
                tuple(example.values()),
                dynamo=True,
                dynamic_shapes=tuple(shapes.values()),
                opset_version=OPSET,
                input_names=list(example),
                output_names=[f"{OUTPUT}{name}" for name in outputs],
                verbose=False,
                external_data=False,
            )
        finally:
            logging.disable(level)
    if program is None:
        raise BundleError("the exporter returned no graph", where=path.name)
    model = program.model_proto
    _strip(model)
    settle_weights(model)
    prune(model)
    _rename(model, list(example))
    for name, value in metadata.items():
        model.metadata_props.add(key=name, value=value)
    foreign = sorted(set(operators(model)) - OPERATORS)
    if foreign:
        raise BundleError(f"operators {', '.join(foreign)}", where=path.name, expected="operators of the allow-list")
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return model


def operators(model: onnx.ModelProto) -> Iterator[str]:
    """Names of all operators, those inside Scan bodies and functions included; foreign domains as ``domain::name``."""
    pending: list[Any] = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    known = {(function.domain, function.name) for function in model.functions}
    while pending:
        node = pending.pop()
        if (node.domain, node.op_type) not in known:
            yield node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}::{node.op_type}"
        for attribute in node.attribute:
            pending += attribute.g.node


def _strip(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes about its own source: paths of the machine, and most of the file's size."""
    model.doc_string = ""
    del model.metadata_props[:]
    graphs: list[Any] = [model.graph, *model.functions]
    while graphs:
        graph = graphs.pop()
        graph.doc_string = ""
        del graph.metadata_props[:]
        del graph.value_info[:]
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
            for attribute in node.attribute:
                attribute.doc_string = ""
                if attribute.HasField("g"):
                    graphs.append(attribute.g)


def _rename(model: onnx.ModelProto, inputs: list[str]) -> None:
    """Give outputs their names and everything inside short ones.

    The exporter names values after torch's operators, so an output called ``mean`` can meet a value of that name.
    """
    names: dict[str, str] = {"": "", **{name: name for name in inputs}}

    def name_of(old: str) -> str:
        new = old.removeprefix(OUTPUT) if old.startswith(OUTPUT) else f"v{len(names)}"
        return names.setdefault(old, new)

    pending = [model.graph]
    while pending:
        graph = pending.pop()
        for value in (*graph.input, *graph.output, *graph.initializer):
            value.name = name_of(value.name)
        for number, node in enumerate(graph.node):
            node.name = f"n{number}"
            node.input[:] = [name_of(item) for item in node.input]
            node.output[:] = [name_of(item) for item in node.output]
            pending += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
