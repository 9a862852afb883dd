"""Many rows of a NONMEM-style table at once: observations column by column, all other rows one by one.

What an observation says depends on its own row alone, so that its cells are made by Arrow. Doses, and whatever is out
of the ordinary, go through `nonmem.events`, which stays the judge of what a row means. Rows among which anything could
be read in two ways (comments, quotes, rows of another length, resets) are left to it altogether.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from neurotwin.ingest.batches import TextBatch, Texts
from neurotwin.ingest.nonmem.columns import SOURCES, TIMES, WHOLE, CellsByName, NonmemColumns
from neurotwin.ingest.nonmem.events import DATES, OBSERVATION, Interpreter, NotANumber, number, whole, whole_id, with_e
from neurotwin.ingest.nonmem.lines import NonmemHeader, starts_like_comment
from neurotwin.ingest.numbers import Mask, arrow, clean, distinct, filled, is_any, mask_of
from neurotwin.ingest.plain_text import split_plain

_STEERING = ("EVID", "AMT", "MDV", "DV", "RATE", "ADDL", "II", "SS", "TIME", *DATES)
_UNIT = "\x1f"
"""Stands for the blanks between fields; no field has it."""


class PlainRows:
    """Turns rows into batches, for one file."""

    def __init__(self, columns: NonmemColumns, header: NonmemHeader, reader: Interpreter, decimal: str) -> None:
        self._columns, self._header, self._reader, self._decimal = columns, header, reader, decimal
        needed = {*_STEERING, *(name.upper() for name in columns.names), columns.subject_name, reader.observed}
        self._place = {name: at for name, at in columns.place.items() if name in needed}
        self._fit = header.names[0].upper() != "C" and not reader.limited

    def batch(self, lines: Sequence[tuple[int, str]]) -> TextBatch | None:
        """The batch of some rows; None where they are not plain, and then nothing has been done."""
        cells = self._split(lines) if self._fit and not self._reader.any_reset else None
        if cells is None:
            return None
        kinds = _numbers(cells.get("EVID"), self._decimal, len(lines))
        times = cells.get("TIME")
        if np.isin(kinds, (3.0, 4.0)).any() or (
            times is not None and self._has(times, ":") and not self._columns.dated
        ):
            return None
        amount, missing = (_numbers(cells.get(name), self._decimal, len(lines)) for name in ("AMT", "MDV"))
        nothing = np.isnan(amount) | (amount == 0.0)
        plain = np.where(np.isnan(kinds), nothing, kinds == 0.0) & (np.isnan(missing) | (missing == 0.0))
        plain &= ~np.isinf(amount) & ~np.isinf(kinds)
        columns = {name: self._observed(name, cells, len(lines)) for name in self._columns.names}
        if "after_dose" in columns:
            rows, order = np.arange(len(lines)), plain.tolist()  # doses and what follows them, in the order of rows
        else:
            rows = np.flatnonzero(~plain)
            order = [False] * len(rows)
        faults = self._others(rows, order, cells, columns)
        return TextBatch(np.array([line for line, _ in lines]), columns, faults)

    def _split(self, lines: Sequence[tuple[int, str]]) -> dict[str, Texts] | None:
        """The fields by their column's name, "" where missing."""
        texts, mark = [text for _, text in lines], self._header.delimiter
        if not mark:
            texts, mark = [_UNIT.join(text.split()) for text in texts], _UNIT
        text = "\n".join(texts) + "\n"
        if '"' in text or (mark == _UNIT and any(_UNIT in line for _, line in lines)):
            return None
        names = {**self._place, "": 0}
        found = split_plain(text, mark, len(self._header.names), names)
        if found is None or len(found[""]) != len(lines):
            return None
        first, pa = clean(found.pop("")), arrow()[0]
        if any(map(starts_like_comment, first.unique().to_pylist())) or is_any(first, [self._header.names[0]]).any():
            return None
        cleaned = {name: clean(column) for name, column in found.items()}
        missing = self._columns.missing
        return {
            name: arrow()[1].if_else(pa.array(is_any(column, missing)), "", column) for name, column in cleaned.items()
        }

    def _observed(self, name: str, cells: dict[str, Texts], count: int) -> Texts:
        """A column of the mapping as if all rows were observations; see `NonmemColumns.cells`."""
        pa, pc = arrow()
        if name == self._columns.subject_name_given:
            return _each(cells[self._columns.subject_name], whole_id)
        if name in TIMES:
            time, date = self._e(cells["TIME"]), self._columns.date
            if date is None:
                return time
            moment = clean(pc.binary_join_element_wise(cells[date], time, " "))
            return pc.if_else(pa.array(filled(time)), moment, "")
        if name == "code":
            observed = self._reader.observed
            return pa.repeat(OBSERVATION, count) if observed is None else _each(cells[observed], whole)
        if name == "value":
            return self._e(cells["DV"]) if "DV" in cells else pa.repeat("", count)
        if name in SOURCES:
            return pa.repeat("", count)
        upper = name.upper()
        return _each(cells[upper], whole) if upper in WHOLE else self._e(cells[upper])

    def _others(
        self, rows: NDArray[np.int64], plain: list[bool], cells: dict[str, Texts], columns: dict[str, Texts]
    ) -> NDArray[np.int8]:
        """Put the cells of rows that are no plain observations into their places, and tell of the ``plain`` ones only
        whether they follow a dose; returns the faults of all rows."""
        pa, pc = arrow()
        count = len(next(iter(columns.values())))
        faults, mask, after = np.zeros(count, np.int8), np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        fields = [column.take(pa.array(rows)).to_pylist() for column in cells.values()]
        read: list[list[str]] = []
        empty = [""] * len(columns)
        for at, observed, texts in zip(rows.tolist(), plain, zip(*fields, strict=True), strict=True):
            row = CellsByName(zip(cells, texts, strict=True))
            subject = self._columns.subject(row)
            if observed:
                after[at] = self._reader.is_after_dose(subject, row.__getitem__)
                continue
            event = self._reader.read(subject, row.__getitem__)
            faults[at], mask[at] = event.fault, True
            read.append(empty if event.fault else self._columns.cells(row, event))
        if after.any():
            columns["after_dose"] = pc.if_else(pa.array(after), "1", columns["after_dose"])
        if read:
            for (name, column), texts in zip(columns.items(), zip(*read, strict=True), strict=True):
                columns[name] = pc.replace_with_mask(column, pa.array(mask), pa.array(texts, pa.string()))
        return faults

    @staticmethod
    def _has(column: Texts, text: str) -> bool:
        return bool(mask_of(arrow()[1].match_substring(column, text)).any())

    @staticmethod
    def _e(column: Texts) -> Texts:
        odd: Mask = mask_of(arrow()[1].match_substring_regex(column, "[dD]"))
        return _each(column, with_e) if odd.any() else column


def _each(column: Texts, change: Callable[[str], str]) -> Texts:
    """What becomes of each cell, told once for each distinct one."""
    pa, pc = arrow()
    texts, which = distinct(column)
    changed = [change(one) for one in texts]
    return column if changed == texts else pc.take(pa.array(changed, pa.string()), pa.array(which))


def _numbers(column: Texts | None, decimal: str, count: int) -> NDArray[np.float64]:
    """``[row]`` numbers, NaN where empty, infinite where there is none."""
    if column is None:
        return np.full(count, np.nan)
    texts, which = distinct(column)
    return np.array([_number(one, decimal) for one in texts], dtype=np.float64)[which]


def _number(text: str, decimal: str) -> float:
    try:
        found = number(text, decimal)
    except NotANumber:
        return float("inf")
    return float("nan") if found is None else float(found)
