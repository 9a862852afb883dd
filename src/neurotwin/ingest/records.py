"""What readers of every format yield: one record per row or resource of the source, still as text.

Quantities are named by their position in the table's `Channels`, so that nothing after the reader knows the format.
"""

from typing import NamedTuple


class RawValue(NamedTuple):
    """A measurement or static covariate: channel, text, text of its unit ("" where not given), column from 1."""

    channel: int
    text: str
    unit: str
    column: int


class RawDose(NamedTuple):
    """Something given. ``start`` and ``stop`` are texts of times, used where the channel reads them."""

    channel: int
    text: str
    unit: str
    start: str
    stop: str
    column: int


class RawRecord(NamedTuple):
    """All that one row says about one subject.

    ``out_of_scope`` counts measurements and doses that the mapping does not name, ``empty`` cells without content.
    """

    line: int
    subject: str
    time: str
    index_time: str
    values: list[RawValue]
    doses: list[RawDose]
    statics: list[RawValue]
    values_out_of_scope: int = 0
    doses_out_of_scope: int = 0
    empty: int = 0
