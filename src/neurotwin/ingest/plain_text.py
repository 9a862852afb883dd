"""Blocks of delimited text that can be split at once, because nothing in them can be read in two ways."""

import numpy as np
from numpy.typing import NDArray

from neurotwin.extras import need
from neurotwin.ingest.batches import Texts
from neurotwin.ingest.numbers import arrow

LONGEST = 100_000
"""Longer lines are left to the ``csv`` module, which has a limit for a field."""
_NEWLINE, _RETURN, _QUOTE = 10, 13, 34


def split_plain(text: str, delimiter: str, width: int, names: dict[str, int]) -> dict[str, Texts] | None:
    """The named columns of a block of whole lines, by their positions; None where it is not plain.

    Plain is a block without empty lines in which each line ends with a line feed (after a carriage return or not) and
    has ``width`` fields, and in which quotes enclose whole fields and nothing else.
    """
    pa, _ = arrow()
    arrow_csv = need("pyarrow.csv", "simulate")
    block = text.encode()
    data = np.frombuffer(block, dtype=np.uint8)
    ends = np.flatnonzero(data == _NEWLINE)
    lines = len(ends) + (not block.endswith(b"\n"))
    if width < 2 or not lines or block.startswith(b"\xef\xbb\xbf") or not _is_plain(block, data, ends, delimiter):
        return None
    quoted = '"' in text
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(block),
            arrow_csv.ReadOptions(
                use_threads=False, block_size=len(block) + 1, column_names=[str(at) for at in range(width)]
            ),
            arrow_csv.ParseOptions(delimiter=delimiter, quote_char='"' if quoted else False, double_quote=False),
            arrow_csv.ConvertOptions(
                column_types={str(at): pa.string() for at in names.values()},
                include_columns=list(dict.fromkeys(str(at) for at in names.values())),
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None  # a line with another number of fields
    if table.num_rows != lines:
        return None
    return {name: table[str(at)].combine_chunks() for name, at in names.items()}


def _is_plain(block: bytes, data: NDArray[np.uint8], ends: NDArray[np.intp], delimiter: str) -> bool:
    if np.diff(ends, prepend=-1, append=len(data)).max() > LONGEST:
        return False
    if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
        return False
    quotes = np.flatnonzero(data == _QUOTE)
    if not len(quotes):
        return True
    opening, closing = quotes[::2], quotes[1::2]
    if len(opening) != len(closing):
        return False
    around = np.concatenate([[_NEWLINE], data, [_NEWLINE]])  # so that before is [at] and behind is [at + 2]
    before, behind = around[opening], around[closing + 2]
    starts = (before == ord(delimiter)) | (before == _NEWLINE)
    stops = (behind == ord(delimiter)) | (behind == _NEWLINE) | (behind == _RETURN)
    same_line = np.searchsorted(ends, opening) == np.searchsorted(ends, closing)
    return bool(starts.all() and stops.all() and same_line.all())
