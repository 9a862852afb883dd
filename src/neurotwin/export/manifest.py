"""manifest.json: what a bundle is, and with what it was made."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import onnx
import torch

from neurotwin import __version__
from neurotwin.bundle import SCHEMA_VERSION
from neurotwin.export.card import NOT_FOR
from neurotwin.export.graphs import OPSET, operators
from neurotwin.schema import Schema
from neurotwin.solvers.folded import Variant


def build_manifest(
    name: str,
    version: str,
    *,
    schema: Schema,
    data_sha256: str,
    protos: Sequence[onnx.ModelProto],
    variant: Variant,
    synthetic: bool,
    parity: Mapping[str, float],
) -> dict[str, Any]:
    """The content of manifest.json, without the entries of files."""
    origin = "simulated" if synthetic else "real"
    names = ", ".join(variable.name for variable in schema.variables)
    return {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "version": version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "neurotwin": __version__,
            "torch": torch.__version__,
            "onnx": onnx.__version__,
            "numpy": np.__version__,
        },
        "variant": variant,
        "opset": OPSET,
        "ir_version": max(proto.ir_version for proto in protos),
        "min_onnxruntime": "1.20",
        "operators": sorted({operator for proto in protos for operator in operators(proto)}),
        "license": "Apache-2.0",
        "synthetic": synthetic,
        "contact": "the maintainers of the repository that released this bundle",
        "intended_use": f"Research on forecasts of {names} under treatment plans, "
        f"from {origin} subjects of the schema {schema.name}.",
        "not_for": NOT_FOR,
        "parity": dict(parity),
        "data_sha256": data_sha256,
    }
