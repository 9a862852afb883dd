"""Requests and answers of the Open Inference Protocol V2: documents as BYTES tensors, forecasts as FP64 tensors.

Tensors stand in the JSON, or behind it in binary (the protocol's extension for binary tensor data: the JSON's length is
told in the header ``Inference-Header-Content-Length``, an element of BYTES follows its length in 4 bytes, FP64 is
little-endian). JSON has no NaN: a number that is not told is null there, and NaN in binary.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import DocumentError
from neurotwin.runtime import parse_document
from neurotwin.runtime.kinds import Fault, ListOf, Number, Record, Text, has
from neurotwin.service.faults import RequestError
from neurotwin.service.protocols.kinds import Anything, Object
from neurotwin.service.questions import MOST_PLANS

HEADER = "Inference-Header-Content-Length"
MOST_TENSORS, MOST_AXES = 16, 8
INPUTS = {"patient": ("BYTES", [1]), "plan": ("BYTES", [-1])}
"""Name -> datatype and shape."""


@dataclass(frozen=True)
class TensorIn:
    """A tensor that is sent; its elements in ``data``, flat or nested, or in binary behind the JSON."""

    name: str = has(Text())
    shape: tuple[float, ...] = has(ListOf(Number(), MOST_AXES))
    datatype: str = has(Text())
    parameters: Mapping[str, Any] = has(Object(), factory=dict)
    data: Any = has(Anything(), default=None)

    def __post_init__(self) -> None:
        if not all(size == int(size) and 0 <= size <= 2**31 for size in self.shape):
            raise Fault("a size of the shape is no whole number", "whole numbers")


@dataclass(frozen=True)
class TensorOut:
    """A tensor that is asked for. ``parameters.binary_data``: in binary."""

    name: str = has(Text())
    parameters: Mapping[str, Any] = has(Object(), factory=dict)

    def __post_init__(self) -> None:
        if "classification" in self.parameters:
            raise Fault("classification is not offered", "no parameter classification")


@dataclass(frozen=True)
class InferRequest:
    """Inputs ``patient`` (BYTES ``[1]``) and ``plan`` (BYTES ``[plans]``), each element a document in JSON."""

    inputs: tuple[TensorIn, ...] = has(ListOf(Record(TensorIn), MOST_TENSORS))
    id: str | None = has(Text(), default=None)
    outputs: tuple[TensorOut, ...] | None = has(ListOf(Record(TensorOut), MOST_TENSORS), default=None)
    parameters: Mapping[str, Any] = has(Object(), factory=dict)

    def wants(self, offered: Sequence[str]) -> dict[str, bool]:
        """Outputs by name, and whether in binary. Raises RequestError for one that is not ``offered``."""
        binary = self.parameters.get("binary_data_output") is True
        if not self.outputs:
            return dict.fromkeys(offered, binary)
        if not {one.name for one in self.outputs} <= set(offered):
            raise RequestError("no such output", where="outputs", expected=", ".join(offered))
        return {one.name: one.parameters.get("binary_data", binary) is True for one in self.outputs}


def read_request(body: bytes, header: str | None) -> tuple[InferRequest, dict[str, list[bytes]]]:
    """The request and the elements of its inputs.

    Args:
        header: ``Inference-Header-Content-Length``, where it was sent.

    Raises RequestError for what is not of the protocol, DocumentError for what is not strict JSON.
    """
    length = len(body)
    if header is not None:
        if not (header.isascii() and header.isdigit() and len(header) <= 9 and int(header) <= length):
            raise RequestError("the JSON's length is not one of this body", where=f"header: {HEADER}")
        length = int(header)
    try:
        request = parse_document(InferRequest, body[:length], "body")
    except DocumentError as error:
        raise RequestError(error.what, where=error.where, expected=error.expected) from None
    names = [one.name for one in request.inputs]
    if sorted(names) != sorted(INPUTS):
        raise RequestError("not the inputs of this model", where="inputs", expected="patient and plan, each once")
    elements, position = {}, length
    for number, tensor in enumerate(request.inputs):
        place = f"inputs.{number}"
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            found = _told(tensor, place)
        else:
            if type(size) is not int or tensor.data is not None or not 0 <= size <= len(body) - position:
                raise RequestError("not so much binary data", where=place, expected="binary_data_size bytes, no data")
            found = _cut(body[position : position + size], place)
            position += size
        _check(tensor, len(found), place)
        elements[tensor.name] = found
    if position != len(body):
        raise RequestError("bytes that are no tensor's", where="body", expected="as many as binary_data_size tells")
    return request, elements


def _told(tensor: TensorIn, place: str) -> list[bytes]:
    flat, open_lists = [], [tensor.data]
    if not isinstance(tensor.data, list):
        raise RequestError("no data", where=f"{place}.data", expected="a list, or parameters.binary_data_size")
    while open_lists:
        one = open_lists.pop()
        if isinstance(one, list):
            open_lists.extend(reversed(one))
        elif isinstance(one, str):
            flat.append(one.encode("utf-8", "replace"))
        else:
            raise RequestError("an element is no text", where=f"{place}.data", expected="documents as JSON text")
    return flat


def _cut(content: bytes, place: str) -> list[bytes]:
    elements, position = [], 0
    while position < len(content):
        size = int.from_bytes(content[position : position + 4], "little")
        end = position + 4 + size
        if end > len(content):
            raise RequestError("an element is longer than its tensor", where=place, expected="length (4 bytes), bytes")
        elements.append(content[position + 4 : end])
        position = end
    return elements


def _check(tensor: TensorIn, count: int, place: str) -> None:
    datatype, axes = INPUTS[tensor.name]
    if tensor.datatype != datatype:
        raise RequestError("another datatype", where=f"{place}.datatype", expected=datatype)
    fits = len(tensor.shape) == 1 and 1 <= tensor.shape[0] <= (MOST_PLANS if axes == [-1] else 1)
    if not fits or tensor.shape[0] != count:
        expected = "[1]" if axes == [1] else f"[1] to [{MOST_PLANS}]"
        raise RequestError("another shape", where=f"{place}.shape", expected=f"{expected}, and as many elements")


@dataclass(frozen=True)
class TensorMade:
    """An output: texts (BYTES) or numbers (FP64), NaN where nothing is told."""

    datatype: str
    shape: tuple[int, ...]
    texts: tuple[str, ...] = ()
    numbers: NDArray[np.float64] | None = None

    @classmethod
    def of_texts(cls, *texts: str) -> TensorMade:
        """BYTES ``[n]``."""
        return cls("BYTES", (len(texts),), texts)

    @classmethod
    def of_numbers(cls, numbers: NDArray[np.float64]) -> TensorMade:
        """FP64."""
        return cls("FP64", numbers.shape, numbers=numbers)

    def data(self) -> list[Any]:
        """Elements for JSON, row by row."""
        if self.numbers is None:
            return list(self.texts)
        return [None if math.isnan(number) else number for number in self.numbers.ravel().tolist()]

    def binary(self) -> bytes:
        """Elements in binary."""
        if self.numbers is not None:
            return self.numbers.astype("<f8").tobytes()
        encoded = [text.encode() for text in self.texts]
        return b"".join(len(one).to_bytes(4, "little") + one for one in encoded)


def write_answer(
    head: Mapping[str, Any], made: Mapping[str, TensorMade], wanted: Mapping[str, bool]
) -> tuple[bytes, int]:
    """The answer's bytes, and the length of its JSON; of outputs ``wanted``, in binary where the value is True."""
    outputs, parts = [], []
    for name, binary in wanted.items():
        tensor = made[name]
        entry: dict[str, Any] = {"name": name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        if binary:
            parts.append(tensor.binary())
            entry["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            entry["data"] = tensor.data()
        outputs.append(entry)
    text = json.dumps({**head, "outputs": outputs}, allow_nan=False, separators=(",", ":")).encode()
    return b"".join([text, *parts]), len(text)
