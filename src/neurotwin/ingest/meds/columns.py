"""The columns of a MEDS file as text, and those that a mapping may name besides.

Numbers are written by the shortest text that gives the same number *of their own width* back: the 32-bit 53.98, which
as a double is 53.97999954..., is written ``53.98``, as it was before someone stored it. Times are written as
``2012-10-17 08:30:00.000000`` (format ``%Y-%m-%d %H:%M:%S.%f``), then ``Z`` where they have a zone (``...%f%z``).

A mapping may name each column of the files and, derived from them:

``value``
    ``numeric_value``; where there is none, or where ``text_value`` has a comparator (``<0.5``), ``text_value``.
``code.2``, ``code.1-2``
    the second part of a code split at ``//``; the first two parts. Empty where the code has fewer parts.
``split``
    that of the row's subject, from the data set's file of splits (`meds.splits`).
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from neurotwin.errors import IngestError
from neurotwin.ingest.batches import Texts
from neurotwin.ingest.mapping_columns import nearest
from neurotwin.ingest.meds.splits import SPLIT, SubjectSplits
from neurotwin.ingest.numbers import arrow

SUBJECT, TIME, CODE, NUMBER, TEXT, VALUE = "subject_id", "time", "code", "numeric_value", "text_value", "value"
REQUIRED = (SUBJECT, TIME, CODE)
LONGEST = 1000
"""Characters (bytes) of a text at most; no id, code, unit or number is longer."""
UNREADABLE = "\0"
"""Stands for a text that is too long or no text at all: neither an id, a code, a time nor a number."""
_PART = re.compile(r"code\.([1-9]\d?)(?:-([1-9]\d?))?")
_COMPARATOR = "^\\s*[<>\u2264\u2265]"


class MedsColumns:
    """Which columns of one file give the columns of a mapping.

    Attributes:
        read: the file's columns to read; ``code`` is always among them.
        texts: those of them that hold text.
    """

    def __init__(self, schema: Any, names: Iterable[str], shown: str, splits: SubjectSplits | None = None) -> None:
        """``schema`` is the file's Arrow schema; raises IngestError where it is not of MEDS or lacks a column."""
        self._names, self._splits = tuple(names), splits
        self._known = list(schema.names)
        if len(set(self._known)) < len(self._known):
            raise IngestError("two columns have one name", where=shown, expected="distinct names of columns")
        for name in (*REQUIRED, *self._names):
            self._check_name(name, shown)
        if splits is None and any(self._is_split(name) for name in self._names):
            raise IngestError("no splits", where=shown, expected="metadata/subject_splits.parquet beside the data")
        read = dict.fromkeys([CODE, *(one for name in self._names for one in _sources(name, self._known))])
        self.read = [name for name in read if name in self._known]
        for name in self._known:
            if name in self.read or name in REQUIRED:
                _check_type(name, schema.field(name).type, shown)
        self.texts = [name for name in self.read if _is_text(schema.field(name).type)]

    @property
    def ignored(self) -> int:
        """How many columns nobody asked for."""
        return len(self._known) - len(self.read)

    def position(self, name: str) -> int:
        """Position from 1 of the column from which a column comes."""
        return next((self._known.index(one) + 1 for one in _sources(name, self._known) if one in self._known), 0)

    def columns(self, batch: Any) -> dict[str, Texts]:
        """The mapping's columns of a record batch."""
        own = {name: as_text(batch.column(name)) for name in self.read if name in self._wanted}
        return {name: self._column(name, own, batch) for name in self._names}

    @property
    def _wanted(self) -> set[str]:
        plain = [name for name in self._names if not _PART.fullmatch(name) and not self._is_split(name)]
        return {one for name in plain for one in _sources(name, self._known)}

    def _is_split(self, name: str) -> bool:
        return name == SPLIT and name not in self._known

    def _column(self, name: str, own: dict[str, Texts], batch: Any) -> Texts:
        pa, _ = arrow()
        if name in own:
            return own[name]
        if part := _PART.fullmatch(name):
            first, last = int(part[1]), int(part[2] or part[1])
            return map_distinct(batch.column(CODE), lambda code: "//".join(code.split("//")[first - 1 : last]))
        if self._splits is not None and self._is_split(name):
            return self._splits.of(batch.column(SUBJECT))
        nothing = pa.nulls(batch.num_rows, pa.string())
        if name == VALUE:
            return _value(own.get(NUMBER, nothing), own.get(TEXT, nothing))
        return nothing  # a column that MEDS lets a file leave out

    def _check_name(self, name: str, shown: str) -> None:
        if name in self._known or name in (NUMBER, TEXT, VALUE, SPLIT) or _PART.fullmatch(name):
            return
        derived = [NUMBER, TEXT, VALUE, "code.1", *self._known]
        raise IngestError(
            f"no column {name!r}{nearest(name, [one for one in derived if one != name])}",
            where=shown,
            expected="the columns of MEDS, those of the mapping among them",
        )


def _sources(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """The columns of MEDS from which a column comes."""
    if name == VALUE and VALUE not in known:
        return NUMBER, TEXT
    if name == SPLIT and name not in known:
        return (SUBJECT,)
    return (CODE,) if _PART.fullmatch(name) and name not in known else (name,)


def _check_type(name: str, found: Any, shown: str) -> None:
    """The type of a column is that of MEDS, or one that holds the same without loss."""
    types = arrow()[0].types
    number = types.is_integer(found) or types.is_floating(found) or types.is_decimal(found)
    time = types.is_timestamp(found) or types.is_date(found)
    good, expected = {
        SUBJECT: (types.is_integer(found) or _is_text(found), "int64"),
        TIME: (time or types.is_null(found), "timestamp[us]"),
        CODE: (_is_text(found), "string"),
        NUMBER: (number or types.is_null(found), "float32"),
        TEXT: (_is_text(found) or types.is_null(found), "large_string"),
    }.get(
        name, (number or time or _is_text(found) or types.is_boolean(found) or types.is_null(found), "text or a number")
    )
    if not good:
        raise IngestError(f"the column {name!r} is of the type {found}", where=shown, expected=expected)


def _is_text(found: Any) -> bool:
    types = arrow()[0].types
    inner = found.value_type if types.is_dictionary(found) else found
    return bool(types.is_string(inner) or types.is_large_string(inner))


def as_text(column: Any) -> Texts:
    """A column of any plain type as text, null where missing."""
    pa, _ = arrow()
    kind = column.type
    if _is_text(kind):
        return map_distinct(column, None)
    if pa.types.is_timestamp(kind):  # microseconds, as in MEDS; of finer times the rest is cut off
        column = column.cast(pa.timestamp("us", tz="UTC" if kind.tz else None), safe=False)
    if pa.types.is_float16(kind):
        column = column.cast(pa.float32())
    return column.cast(pa.string())


def map_distinct(column: Any, change: Callable[[str], str] | None) -> Texts:
    """A column of text, each distinct text checked and changed once."""
    pa, pc = arrow()
    encoded = encoded_text(column)
    texts = distinct_texts(encoded.dictionary)
    changed = texts if change is None else [change(one) for one in texts]
    return pc.take(pa.array(changed, pa.string()), encoded.indices)


def encoded_text(column: Any) -> Any:
    """A column of text with each distinct text once. Raises ArrowInvalid where a damaged file names one it lacks."""
    pa, pc = arrow()
    if not pa.types.is_dictionary(column.type):
        return column.dictionary_encode()
    ends = pc.min_max(column.indices)
    if ends["min"].is_valid and (ends["min"].as_py() < 0 or ends["max"].as_py() >= len(column.dictionary)):
        raise pa.ArrowInvalid("index out of bounds")
    return column


def distinct_texts(dictionary: Any) -> list[str]:
    """The texts of a dictionary; `UNREADABLE` for one that is too long or not UTF-8. A missing one is ""."""
    pa, pc = arrow()
    binary = dictionary.cast(pa.large_binary())
    short = pc.if_else(pc.greater(pc.binary_length(binary), LONGEST), UNREADABLE.encode(), binary)
    return [_decoded(one) for one in short.to_pylist()]


def _decoded(content: bytes | None) -> str:
    try:
        return (content or b"").decode()
    except UnicodeDecodeError:
        return UNREADABLE


def _value(number: Texts, text: Texts) -> Texts:
    _, pc = arrow()
    compared = pc.fill_null(pc.match_substring_regex(text, _COMPARATOR), False)
    return pc.if_else(pc.or_(pc.is_null(number), compared), text, number)
