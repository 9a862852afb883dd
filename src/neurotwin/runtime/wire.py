"""A look into an ONNX file without the onnx package: which operators, how many nodes, any data outside the file.

Reads the Protocol Buffers wire format (tag, then varint, 8 bytes, a length with content, or 4 bytes) and follows only
the messages that can hold a node or a tensor. Field numbers are those of onnx.proto.
"""

from collections.abc import Iterator

DEEPEST = 20
# Message -> field number -> message that the field holds.
CHILDREN = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}


class Survey:
    """What a file holds. Operators of a foreign domain stand as ``domain::name``."""

    def __init__(self) -> None:
        self.operators: set[str] = set()
        self.functions: set[str] = set()
        self.nodes = 0
        self.external = False


def survey(content: bytes) -> Survey:
    """Raises ValueError or IndexError when the content is not of the wire format."""
    found = Survey()
    _walk(memoryview(content), "model", found, 0)
    found.operators -= found.functions
    return found


def _walk(content: memoryview, message: str, found: Survey, depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError("nested too deep")
    children = CHILDREN[message]
    name = domain = ""
    for number, part, value in _fields(content):
        if number in children and part is not None:
            _walk(part, children[number], found, depth + 1)
        elif message == "tensor" and number in (13, 14):  # external_data, data_location
            found.external = found.external or part is not None or value > 0
        elif part is not None and (message, number) in (("node", 4), ("function", 1)):
            name = str(part, "utf-8")
        elif part is not None and (message, number) in (("node", 7), ("function", 10)):
            domain = str(part, "utf-8")
    label = name if domain in ("", "ai.onnx") else f"{domain}::{name}"
    if message == "node":
        found.nodes += 1
        found.operators.add(label)
    elif message == "function" and "::" in label:  # one under a standard name would hide what stands there
        found.functions.add(label)


def _fields(content: memoryview) -> Iterator[tuple[int, memoryview | None, int]]:
    """Number, content where it has a length, and value where it is a varint, of each field."""
    position, end = 0, len(content)
    while position < end:
        tag, position = _varint(content, position)
        kind = tag & 7
        part, value = None, 0
        if kind == 0:
            value, position = _varint(content, position)
        elif kind == 2:
            length, position = _varint(content, position)
            part = content[position : position + length]
            position += length
        elif kind in (1, 5):
            position += 8 if kind == 1 else 4
        else:
            raise ValueError("a wire type that ONNX does not use")
        if position > end:
            raise ValueError("cut short")
        yield tag >> 3, part, value


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number that is too long")
