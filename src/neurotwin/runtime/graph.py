"""One ONNX graph of a bundle, by named arrays. What it holds is checked before onnxruntime sees it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from neurotwin.bundle import OPERATORS
from neurotwin.errors import BundleError, DeadlineError
from neurotwin.runtime.deadline import watched
from neurotwin.runtime.wire import survey

MOST_NODES = 20_000


class Graph:
    """An inference session with inputs and outputs by name; safe to share between threads.

    Raises:
        BundleError: foreign operators, external data, other tensors than ``axes`` tells, or a graph that onnxruntime
            does not take.
    """

    def __init__(
        self,
        content: bytes,
        name: str,
        *,
        inputs: Mapping[str, tuple[int | None, ...]],
        outputs: Mapping[str, tuple[int | None, ...]],
        threads: int = 1,
    ) -> None:
        self.name = name
        _check_content(content, name)
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4
        try:
            self.session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own that share no base but Exception
            raise BundleError(
                f"the graph cannot be loaded ({type(error).__name__})",
                where=name,
                remedy="fetch the bundle again, or install a newer onnxruntime",
            ) from None
        self.session.disable_fallback()
        self.inputs = [item.name for item in self.session.get_inputs()]
        self.outputs = [item.name for item in self.session.get_outputs()]
        # The exporter drops inputs that the graph does not use; outputs are all there.
        _check_tensors(self.session.get_inputs(), inputs, f"{name}: inputs")
        _check_tensors(self.session.get_outputs(), outputs, f"{name}: outputs")
        if missing := sorted(set(outputs) - set(self.outputs)):
            raise BundleError(f"no output {', '.join(missing)}", where=name)

    def run(self, given: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
        """Outputs by name; arrays are cast to single precision.

        Raises BundleError when the graph cannot be run, and DeadlineError when a time limit was up first.
        """
        arrays = {name: np.ascontiguousarray(given[name], dtype=np.float32) for name in self.inputs}
        try:
            with watched() as options:
                return dict(zip(self.outputs, self.session.run(None, arrays, options), strict=True))
        except DeadlineError:
            raise
        except Exception as error:  # as above
            raise BundleError(f"the graph cannot be run ({type(error).__name__})", where=self.name) from None


def _check_content(content: bytes, name: str) -> None:
    try:
        found = survey(content)
    except (ValueError, IndexError, RecursionError):
        raise BundleError("not a readable ONNX file", where=name, remedy="fetch the bundle again") from None
    if foreign := sorted(found.operators - OPERATORS):
        raise BundleError(
            f"{len(foreign)} operators that bundles may not hold", where=name, expected="operators of the allow-list"
        )
    if found.external:
        raise BundleError("tensors outside the file", where=name, expected="a single file")
    if found.nodes > MOST_NODES:
        raise BundleError(f"{found.nodes} nodes", where=name, expected=f"at most {MOST_NODES}")


def _check_tensors(found: list[Any], expected: Mapping[str, tuple[int | None, ...]], where: str) -> None:
    for item in found:
        sizes = expected.get(item.name)
        shape = [size if isinstance(size, int) else None for size in item.shape]
        fits = (
            sizes is not None
            and len(sizes) == len(shape)
            and all(None in pair or pair[0] == pair[1] for pair in zip(sizes, shape, strict=True))
        )
        if not fits or item.type != "tensor(float)":
            raise BundleError(
                "a tensor that the signature does not tell of",
                where=where,
                expected=", ".join(expected),
                remedy="export again",
            )
