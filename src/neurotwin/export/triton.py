"""A bundle's graphs as a model repository of Triton Inference Server. Needs neither torch nor protobuf.

The graphs alone: they take and give arrays, and know nothing of units, plausible ranges, calibration or abstention. The
runtime around them does, so a repository is for callers who bring their own.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort

from neurotwin.bundle import ASSIMILATE, FORECAST, Bundle
from neurotwin.errors import BundleError, ConfigError

PARTS = {"assimilate": ASSIMILATE, "forecast": FORECAST}
DATATYPES = {
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
    "tensor(int64)": "TYPE_INT64",
    "tensor(int32)": "TYPE_INT32",
    "tensor(bool)": "TYPE_BOOL",
}
README = """# {name} {version} for Triton Inference Server

Two models, from the bundle {name}@{version} (manifest sha256 {sha256}):

* `{name}_assimilate`: state, covariates and rows of events in, new state and support score out;
* `{name}_forecast`: state and rows of a plan in, quantiles and joint draws out.

What the tensors mean, and in which units, stands in `signature.json`, a copy of the bundle's.

**These graphs do not abstain.** They answer to any numbers: a wrong unit, an implausible value, a patient unlike those
of training, a horizon that was never asked in training. Reading documents, checking units and ranges, the support
threshold, calibration of intervals and the plausibility of answers are done by neurotwin's runtime (`neurotwin
predict`, `neurotwin serve`), which is what an application should ask. Research software, not a medical device.

`max_batch_size` is 0: the batch is the first axis of each tensor. Records have unequally many rows, which Triton's
dynamic batcher does not put together; a caller may pad them (a row of zeros changes nothing) and send a batch.

    tritonserver --model-repository .
"""


def write_repository(bundle: Bundle, folder: Path) -> list[Path]:
    """Write ``<name>_assimilate`` and ``<name>_forecast`` with their configurations, and a README.

    Args:
        folder: the repository; made where it is missing. Models of other names in it stay.

    Returns:
        The folders of the two models.

    Raises:
        ConfigError: a model of that name is there already.
        BundleError: a graph has a tensor of a type that Triton does not name.
    """
    names = {part: f"{bundle.name}_{part}" for part in PARTS}
    texts = (f"README-{bundle.name}.md", f"signature-{bundle.name}.json")
    for name in (*names.values(), *texts):
        if (folder / name).exists():
            raise ConfigError(f"{name} is there already", where=str(folder), expected="a repository without it")
    configurations = {part: configuration(names[part], bundle.graphs[file]) for part, file in PARTS.items()}
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{bundle.name}.", dir=folder))
    try:
        for part, file in PARTS.items():
            version = draft / names[part] / "1"
            version.mkdir(parents=True)
            (version / "model.onnx").write_bytes(bundle.graphs[file])
            (draft / names[part] / "config.pbtxt").write_text(configurations[part], encoding="utf-8")
        told = {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}
        text = README.format(**told).replace("`signature.json`", f"`{texts[1]}`")
        (draft / texts[0]).write_text(text, encoding="utf-8")
        (draft / texts[1]).write_text(json.dumps(bundle.signature, indent=1) + "\n", encoding="utf-8")
        for name in (*names.values(), *texts):
            (draft / name).rename(folder / name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return [folder / name for name in names.values()]


def configuration(name: str, graph: bytes) -> str:
    """Triton's ``config.pbtxt`` of an ONNX graph: names, types and sizes as the graph has them, -1 for a named axis.

    Raises BundleError for a tensor of a type that is not in `DATATYPES`.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    lines = [f'name: "{name}"', 'platform: "onnxruntime_onnx"', "max_batch_size: 0"]
    for group, tensors in (("input", session.get_inputs()), ("output", session.get_outputs())):
        entries = ",\n".join(_tensor(tensor) for tensor in tensors)
        lines.append(f"{group} [\n{entries}\n]")
    return "\n".join(lines) + "\n"


def _tensor(tensor: Any) -> str:
    datatype: Mapping[str, str] = DATATYPES
    if tensor.type not in datatype:
        raise BundleError(f"a tensor of {tensor.type}", where=tensor.name, expected=", ".join(datatype))
    sizes = ", ".join(str(size if isinstance(size, int) and size > 0 else -1) for size in tensor.shape)
    return f'  {{\n    name: "{tensor.name}"\n    data_type: {datatype[tensor.type]}\n    dims: [ {sizes} ]\n  }}'
