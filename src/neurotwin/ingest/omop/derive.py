"""Columns that a mapping may name beside those of an OMOP table, and the rows that contradict themselves.

``code``     the concept's number, or ``source:VALUE`` where it is 0 (no matching concept)
``concept``  ``VOCABULARY:CODE`` by the source's CONCEPT table, such as ``LOINC:8480-6``; else as ``code``
``time``     the moment, or where that is empty the date
``end``      the same of the end of a period
``value``    the number behind its operator, such as ``<0.5``
``unit``     the unit's UCUM code by the mapping's ``units`` or the CONCEPT table, else what the source wrote
``birth``    the moment, or the first day that year, month and day allow
"""

from collections.abc import Callable, Sequence

import numpy as np

from neurotwin.errors import IngestError
from neurotwin.ingest.accounting import CODES, Outcomes, Reason
from neurotwin.ingest.batches import TextBatch, Texts, columns_of
from neurotwin.ingest.layouts import BatchColumns
from neurotwin.ingest.mapping import LongTable, Table
from neurotwin.ingest.mapping_columns import nearest
from neurotwin.ingest.numbers import Mask, arrow, distinct, filled, mask_of
from neurotwin.ingest.omop.cdm import DERIVED, OPERATORS, PERSON, SUBJECT, CdmTable, sources_of
from neurotwin.ingest.omop.lookup import Concepts, Persons

SOURCE = "source:"
_DATE = r"^\d{4}-\d{2}-\d{2}"


class Derivation:
    """What one table of a mapping needs of one table of a source, and how its columns come from that.

    Attributes:
        physical: the columns to be read, in lower case.
    """

    def __init__(
        self,
        table: Table,
        cdm: CdmTable,
        names: Sequence[str],
        shown: str,
        concepts: Concepts | None,
        persons: Persons | None,
    ) -> None:
        self._table, self._cdm, self._names, self._shown = table, cdm, names, shown
        self._concepts, self._persons = concepts, None if cdm.name == PERSON else persons
        self._wanted = {one: self._find(one) for one in columns_of(table)}
        self._check_operator()
        period = [one for one in (cdm.start[-1:] + cdm.end[-1:]) if cdm.end and one in names]
        self._period = period if len(period) == 2 else []
        needed = [one for sources in self._wanted.values() for one in sources]
        subject = [SUBJECT] if self._persons is not None else []
        self.physical = list(dict.fromkeys([*needed, *self._period, *subject]))
        self._makers: dict[str, Callable[[BatchColumns, tuple[str, ...]], Texts]] = {
            "code": self._code,
            "concept": self._concept,
            "time": self._moment,
            "end": self._moment,
            "value": self._value,
            "unit": self._unit,
            "birth": self._birth,
        }

    def main(self, column: str) -> str:
        """The physical column that a column of the mapping comes from first."""
        return self._wanted[column][0]

    def batch(self, raw: TextBatch) -> TextBatch:
        """The columns of the mapping, and the faults of the rows."""
        cells = BatchColumns(raw.columns, self._table.missing)
        columns = {
            name: self._makers[name.lower()](cells, sources) if name.lower() in DERIVED else self._plain(cells, name)
            for name, sources in self._wanted.items()
        }
        return TextBatch(raw.lines, columns, self._faults(cells, raw.faults))

    def _find(self, name: str) -> tuple[str, ...]:
        """The physical columns of a column of the mapping; without names (of a file that cannot be read) all of them.

        Raises IngestError when there is none.
        """
        known = name.lower()
        possible = sources_of(known, self._cdm) if known in DERIVED else (known,)
        found = tuple(one for one in possible if one in self._names or not self._names)
        if not found or (known == "value" and found[0] != self._cdm.value):
            raise IngestError(
                f"no column {name!r}{nearest(known, self._names)}",
                where=self._shown,
                expected=f"columns of {self._cdm.name.upper()} as in OMOP CDM 5.4",
                remedy="check the mapping, and the table's header and delimiter",
            )
        return found

    def _check_operator(self) -> None:
        operator = self._cdm.operator
        asked = {one.lower() for one in self._wanted}
        if operator in self._names and self._cdm.value in asked and not asked & {"value", operator}:
            raise IngestError(
                f"{self._cdm.value} without its operator, so that <5 would be read as 5",
                where=f"{self._shown}: column {operator}",
                expected="value: value, which puts the operator before the number",
            )

    def _plain(self, cells: BatchColumns, name: str) -> Texts:
        """A column of the source; concept 0 names neither a thing nor a unit, and a unit's number is no unit."""
        column = cells.raw(name.lower())
        if not name.lower().endswith("_concept_id"):
            return column
        table, column = self._table, _whole(column)
        chosen = [table.drop, table.post_dose]
        chosen += [one.when for one in table.treatments] + [one.when for one in table.statics]
        asked = any("0" in one.get(name, ()) for one in chosen)
        if isinstance(table, LongTable) and name == table.code and not asked:
            return _blank(column, "0")
        units = {table.unit if isinstance(table, LongTable) else None}
        units |= {one.unit_column for one in (*table.variables, *table.treatments, *table.statics)}
        units |= {one.duration.unit_column for one in table.treatments if one.duration is not None}
        return _each(column, self._unit_of_number) if name in units else column

    def _unit_of_number(self, number: str) -> str:
        if number in ("", "0"):
            return ""
        return number if number in self._table.units else f"concept:{number}"

    def _code(self, cells: BatchColumns, sources: tuple[str, ...]) -> Texts:
        number, source = self._about(cells, sources)
        return _first(number, source)

    def _concept(self, cells: BatchColumns, sources: tuple[str, ...]) -> Texts:
        number, source = self._about(cells, sources)
        codes = {} if self._concepts is None else self._concepts.codes
        return _first(_each(number, lambda one: codes.get(one, f"OMOP:{one}") if one else ""), source)

    def _about(self, cells: BatchColumns, sources: tuple[str, ...]) -> tuple[Texts, Texts]:
        """The concept's number, "" for none, and the marked source value."""
        pa, pc = arrow()
        number, source = (cells.cell(one) if one in sources else None for one in self._cdm.about)
        length = len(cells.cell(sources[0]))
        empty = pa.array([""] * length, pa.string())
        number = empty if number is None else _blank(_whole(number), "0")
        if source is None:
            return number, empty
        marked = pc.binary_join_element_wise(SOURCE, source, "")
        return number, pc.if_else(pa.array(filled(source)), marked, "")

    def _moment(self, cells: BatchColumns, sources: tuple[str, ...]) -> Texts:
        return _first(*(cells.cell(one) for one in sources))

    def _value(self, cells: BatchColumns, sources: tuple[str, ...]) -> Texts:
        pa, pc = arrow()
        number = cells.cell(sources[0])
        if len(sources) == 1:
            return number
        sign = _each(_whole(cells.cell(sources[1])), lambda one: OPERATORS.get(one, "?"))
        return pc.if_else(pa.array(filled(number)), pc.binary_join_element_wise(sign, number, ""), "")

    def _unit(self, cells: BatchColumns, sources: tuple[str, ...]) -> Texts:
        concept, written = self._cdm.unit
        if concept not in sources:
            return cells.cell(written)
        ucum = {} if self._concepts is None else self._concepts.units
        number = _blank(_whole(cells.cell(concept)), "0")
        known = _each(number, lambda one: one if one in self._table.units else ucum.get(one, ""))
        texts = [known, *([cells.cell(written)] if written in sources else []), _each(number, self._unit_of_number)]
        return _first(*texts)

    def _birth(self, cells: BatchColumns, sources: tuple[str, ...]) -> Texts:
        pa, _ = arrow()
        moment, year, month, day = (
            cells.cell(one).to_pylist() if one in sources else [""] * len(cells.cell(sources[0]))
            for one in self._cdm.birth
        )
        rows = zip(moment, year, month, day, strict=True)
        return pa.array([m or (_date(y, mo, d) if y else "") for m, y, mo, d in rows], pa.string())

    def _faults(self, cells: BatchColumns, faults: Outcomes) -> Outcomes:
        """Periods that end before they begin, and subjects of whom PERSON knows nothing."""
        found = faults.copy()
        if self._period:
            turned = _before(*(cells.cell(one) for one in reversed(self._period)))
            found[(found == 0) & turned] = CODES[Reason.STOP_NOT_AFTER_START]
        if self._persons is not None:
            subject = cells.raw(SUBJECT)
            strange = filled(subject) & ~self._persons.known(subject)
            found[(found == 0) & strange] = CODES[Reason.SUBJECT_UNKNOWN]
        return found


def _before(one: Texts, other: Texts) -> Mask:
    """Where one ISO date is before another; False where either is none."""
    pa, pc = arrow()
    dates = mask_of(pc.match_substring_regex(one, _DATE)) & mask_of(pc.match_substring_regex(other, _DATE))
    return dates & mask_of(pc.less(pc.utf8_slice_codeunits(one, 0, 10), pc.utf8_slice_codeunits(other, 0, 10)))


def _whole(column: Texts) -> Texts:
    """Numbers of concepts, which are whole, without the ``.0`` that some exports give them."""
    return arrow()[1].replace_substring_regex(column, r"^(\d+)\.0*$", r"\1")


def _blank(column: Texts, text: str) -> Texts:
    pc = arrow()[1]
    return pc.if_else(pc.equal(column, text), "", column)


def _first(*columns: Texts) -> Texts:
    """Row by row the first cell that is filled."""
    pa, pc = arrow()
    found = columns[-1]
    for column in reversed(columns[:-1]):
        found = pc.if_else(pa.array(filled(column)), column, found)
    return found


def _each(column: Texts, read: Callable[[str], str]) -> Texts:
    """What becomes of each cell, told once for each distinct one."""
    pa, _ = arrow()
    texts, which = distinct(column)
    return pa.array([read(one) for one in texts], pa.string()).take(pa.array(np.asarray(which)))


def _date(year: str, month: str, day: str) -> str:
    return f"{year.zfill(4)}-{month.zfill(2) if month else '01'}-{day.zfill(2) if day and month else '01'}"
