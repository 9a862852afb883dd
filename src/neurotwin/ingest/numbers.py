"""Columns of text, and columns of numbers from them: the strict functions of `text`, for many cells at once.

What is plainly a number is matched and cast by Arrow; every other text goes, once for all its cells, through
`text.read_measurement`, which stays the only judge of what it means.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.extras import need
from neurotwin.ingest.accounting import CODES, Outcomes, Reason
from neurotwin.ingest.batches import Texts
from neurotwin.ingest.text import read_measurement

Mask = NDArray[np.bool_]
# Few enough digits that no double overflows or vanishes, and nothing that Arrow and Python could read differently.
_PLAIN = r"^-?[0-9]{1,15}(?:%s[0-9]{1,17})?(?:[eE][+-]?[0-9]{1,2})?$"


class Readings(NamedTuple):
    """``[cell]`` numbers with their censor flags; where ``reason`` is not 0 there is none, and it tells why."""

    value: NDArray[np.float64]
    censor: NDArray[np.int8]
    reason: Outcomes


@cache
def arrow() -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.compute."""
    return need("pyarrow", "simulate"), need("pyarrow.compute", "simulate")


def clean(column: Texts) -> Texts:
    """Cells without blanks around them, "" where missing."""
    pa, pc = arrow()
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if column.type != pa.string():
        column = column.cast(pa.string())
    if column.null_count:
        column = pc.fill_null(column, "")
    return pc.utf8_trim_whitespace(column)


def mask_of(boolean: Any) -> Mask:
    """An Arrow array of booleans as one of numpy."""
    return np.asarray(boolean.to_numpy(zero_copy_only=False), dtype=np.bool_)


def filled(column: Texts) -> Mask:
    """Which cells hold something."""
    return np.asarray(arrow()[1].binary_length(column).to_numpy(zero_copy_only=False) > 0)


def is_any(column: Texts, texts: Iterable[str]) -> Mask:
    """Which cells are one of the texts."""
    pa, pc = arrow()
    return mask_of(pc.is_in(column, value_set=pa.array(list(texts), pa.string())))


def distinct(column: Texts) -> tuple[list[str], NDArray[np.int32]]:
    """The distinct cells, and for each cell which it is."""
    encoded = column.dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy()


def read_measurements(text: Texts, decimal: str = ".") -> Readings:
    """What `text.read_measurement` makes of each cell."""
    pa, pc = arrow()
    readings = Readings(np.full(len(text), np.nan), np.zeros(len(text), np.int8), np.zeros(len(text), np.int8))
    plain = mask_of(pc.match_substring_regex(text, _PLAIN % ("," if decimal == "," else r"\.")))
    if plain.any():
        numbers = text if plain.all() else text.filter(pa.array(plain))
        numbers = pc.replace_substring(numbers, ",", ".") if decimal == "," else numbers
        readings.value[plain] = numbers.cast(pa.float64()).to_numpy() + 0.0  # -0 becomes 0
    if not plain.all():
        _read_rest(text, np.flatnonzero(~plain), readings, lambda one: read_measurement(one, decimal))
    return readings


def _read_rest(
    text: Texts, rest: NDArray[np.intp], into: Readings, read: Callable[[str], tuple[float, int] | Reason]
) -> None:
    texts, which = distinct(text.take(arrow()[0].array(rest)))
    found = [read(one) for one in texts]
    table = np.array([(np.nan, 0, CODES[one]) if isinstance(one, Reason) else (*one, 0) for one in found])[which]
    into.value[rest] = table[:, 0]
    into.censor[rest], into.reason[rest] = table[:, 1], table[:, 2]
