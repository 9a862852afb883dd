"""The footer of a parquet file, decoded by hand and checked before pyarrow meets it.

pyarrow 26 ends the whole process (``terminate called after throwing ParquetException``) when its Python side asks a
damaged footer for a column chunk, since ``RowGroupMetaData.column`` lets a C++ exception through. So nobody here asks
it: what is wanted of a footer (rows, and how large columns are) is read here, from thrift's compact protocol, and must
agree with itself and with the size of the file.

Sources: parquet.thrift of https://github.com/apache/parquet-format (numbers of the fields), and thrift's
compact protocol, https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAGIC = b"PAR1"
MAX_FOOTER = 256 << 20
"""Bytes of a footer at most; one of 1000 columns and 1000 row groups has about a hundred million."""
_DEPTH = 16
"""Levels of structures and lists; parquet.thrift needs 8."""
Fields = dict[int, Any]


class DamagedFooter(ValueError):
    """Why a footer cannot be right; its words name no content."""


@dataclass(frozen=True)
class Footer:
    """What a footer tells.

    Attributes:
        rows: in the file.
        chunks: by dotted name of a column the bytes that its largest chunk (of a row group) unpacks to.
    """

    rows: int
    chunks: dict[str, int]

    def largest(self, column: str) -> int:
        """Bytes of the largest chunk of a column, or of what is inside of it."""
        return max((size for name, size in self.chunks.items() if name.partition(".")[0] == column), default=0)


def read_footer(path: Path) -> Footer:
    """The footer of a file.

    Raises:
        DamagedFooter: there is none, it is encrypted, or it contradicts itself or the file's size.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size < 12:
            raise DamagedFooter("too short")
        file.seek(0)
        begin = file.read(4)
        file.seek(size - 8)
        end = file.read(8)
        length = int.from_bytes(end[:4], "little")
        if begin != MAGIC or end[4:] != MAGIC or not 0 < length <= min(size - 12, MAX_FOOTER):
            raise DamagedFooter("no parquet, encrypted, or cut off")
        file.seek(size - 8 - length)
        content = file.read(length)
    try:
        return _checked(_Compact(content).structure(_DEPTH), size - 8 - length)
    except (IndexError, KeyError, TypeError, AttributeError, UnicodeDecodeError):
        raise DamagedFooter("not the structure of a footer") from None


def _checked(told: Fields, pages_end: int) -> Footer:
    """The footer from FileMetaData; ``pages_end`` is where the pages end and the footer begins."""
    rows, groups, names = told[3], told.get(4, []), _leaves(told[2])
    chunks: dict[str, int] = {}
    for group in groups:
        columns = [one[3] for one in group[1]]
        found = [".".join(part.decode("utf-8") for part in one[3]) for one in columns]
        if found != names or group[3] < 0:
            raise DamagedFooter("row groups that do not fit the schema")
        for name, chunk in zip(found, columns, strict=True):
            # A dictionary's offset of 0 means none in files of old writers.
            first, packed, unpacked = min(chunk[9], chunk.get(11) or chunk[9]), chunk[7], chunk[6]
            least = len(MAGIC) if chunk[5] else 0  # without values there is no page
            if min(chunk[5], unpacked, packed) < 0 or first < least or first + packed > pages_end:
                raise DamagedFooter("a column outside of the file")
            chunks[name] = max(chunks.get(name, 0), unpacked)
    if rows < 0 or sum(group[3] for group in groups) != rows:
        raise DamagedFooter("row groups that do not add up")
    return Footer(rows, chunks)


def _leaves(schema: list[Fields]) -> list[str]:
    """Dotted names of the columns that hold values, from the schema's elements, depth first."""
    names: list[str] = []
    open_groups = [(schema[0][5], "")]  # how many children are still to come, and the dotted name before theirs
    for element in schema[1:]:
        while open_groups[-1][0] == 0:
            open_groups.pop()
        left, prefix = open_groups[-1]
        open_groups[-1] = (left - 1, prefix)
        name, children = prefix + element[4].decode("utf-8"), element.get(5, 0)
        if children < 0 or len(open_groups) > _DEPTH:
            raise DamagedFooter("a schema that is no tree")
        if children:
            open_groups.append((children, f"{name}."))
        else:
            names.append(name)
    if any(left for left, _ in open_groups):
        raise DamagedFooter("a schema that is no tree")
    return names


class _Compact:
    """Reads thrift's compact protocol: structures as dictionaries by number of the field, text as bytes."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def structure(self, depth: int) -> Fields:
        """Raises IndexError where the content ends too early, DamagedFooter where it is nested too deep."""
        if not depth:
            raise DamagedFooter("structures nested too deep")
        fields: Fields = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._whole()
            kind = head & 15
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (1, 2, 3):
            return self._byte()
        if kind in (4, 5, 6):
            return self._whole()
        if kind in (7, 8):
            return self._bytes(8 if kind == 7 else self._natural())
        if kind in (9, 10):
            return self._list(depth)
        if kind == 12:
            return self.structure(depth - 1)
        raise DamagedFooter("a type that parquet does not use")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._natural()
        if count > len(self._content) - self._at:  # each element has at least one byte
            raise IndexError
        return [self._value(head & 15, depth - 1) for _ in range(count)]

    def _byte(self) -> int:
        self._at += 1
        return self._content[self._at - 1]

    def _bytes(self, count: int) -> bytes:
        if count > len(self._content) - self._at:
            raise IndexError
        self._at += count
        return self._content[self._at - count : self._at]

    def _natural(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise DamagedFooter("a number of more than 64 bits")

    def _whole(self) -> int:
        value = self._natural()
        return (value >> 1) ^ -(value & 1)
