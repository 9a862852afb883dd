"""What an OMOP source says about persons and concepts, held small: hashes of ids, and the concepts that matter."""

from collections.abc import Iterable, Iterator
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import IngestError
from neurotwin.extras import need
from neurotwin.ingest.batches import Texts
from neurotwin.ingest.layouts import BatchColumns
from neurotwin.ingest.mapping import LongTable, SourceMapping, Table
from neurotwin.ingest.numbers import Mask, arrow, distinct, mask_of
from neurotwin.ingest.omop.cdm import CONCEPT, PERSON, SUBJECT
from neurotwin.ingest.omop.raw import DelimitedTable, RawSource, RawTable

UCUM = "UCUM"
_COLUMNS = ("concept_id", "vocabulary_id", "concept_code")


class Persons:
    """The ids in PERSON, 8 bytes for each."""

    def __init__(self, tables: Iterable[tuple[RawTable, Table]]) -> None:
        parts = [np.zeros(0, np.uint64)]
        for raw, table in tables:
            for batch in raw.read([SUBJECT], _silent):
                good = arrow()[0].array(batch.faults == 0)
                column = BatchColumns(batch.columns, table.missing).raw(SUBJECT).filter(good)
                parts.append(_hashes(distinct(column)[0]))
        self._ids = np.unique(np.concatenate(parts))

    def known(self, subject: Texts) -> Mask:
        """``[row]`` whether PERSON has the id."""
        ids, which = distinct(subject)
        return np.asarray(np.isin(_hashes(ids), self._ids)[which])


class Concepts:
    """The concepts that a mapping names as ``VOCABULARY:CODE``, and all units.

    Attributes:
        codes: number of a concept to ``VOCABULARY:CODE``.
        units: number of a concept to its UCUM code.
    """

    def __init__(self, tables: Iterable[RawTable], named: set[str]) -> None:
        pa, pc = arrow()
        self.codes: dict[str, str] = {}
        self.units: dict[str, str] = {}
        wanted = pa.array(sorted(named), pa.string())
        for columns in (one for raw in tables for one in _vocabulary(raw)):
            number, vocabulary, code = (columns.raw(one) for one in _COLUMNS)
            name = pc.binary_join_element_wise(vocabulary, code, ":")
            chosen = pa.array(mask_of(pc.is_in(name, value_set=wanted)))
            self.codes |= dict(zip(number.filter(chosen).to_pylist(), name.filter(chosen).to_pylist(), strict=True))
            chosen = pc.equal(vocabulary, UCUM)
            self.units |= dict(zip(number.filter(chosen).to_pylist(), code.filter(chosen).to_pylist(), strict=True))


def find_persons(source: RawSource, tables: list[tuple[Table, str, str]]) -> Persons | None:
    """The persons, if a table of the mapping (with its name and schema) is PERSON."""
    mapped = [(table, schema) for table, name, schema in tables if name == PERSON]
    if not mapped:
        return None
    found = [(raw, t) for t, schema in mapped for raw in source.find(PERSON, schema=schema, mapped=t)]
    if wrong := next((raw for raw, _ in found if raw.names and SUBJECT not in raw.names), None):
        raise IngestError(f"no column {SUBJECT!r}", where=wrong.shown, expected="the table PERSON of OMOP CDM 5.4")
    return Persons(found)


def find_concepts(source: RawSource, mapping: SourceMapping, schema: str) -> Concepts | None:
    """The concepts, if the mapping asks for any and the source has the table CONCEPT."""
    asked = {one.lower() for table in mapping.tables for one in table.columns}
    found = source.find(CONCEPT, schema=schema) if asked & {"concept", "unit"} else []
    if not found:
        return None
    named = {text for table in mapping.tables for text in _texts_of(table) if ":" in text}
    return Concepts(found, named)


def _texts_of(table: Table) -> Iterator[str]:
    """All texts of a mapping's table that choose rows."""
    if isinstance(table, LongTable):
        yield from (code for item in table.variables for code in item.codes)
    whens = [one.when for one in table.treatments] + [one.when for one in table.statics]
    for chosen in (table.drop, table.post_dose, *whens):
        yield from (text for texts in chosen.values() for text in texts)
    for static in table.statics:
        yield from static.levels


def _vocabulary(raw: RawTable) -> Iterator[BatchColumns]:
    """The columns of CONCEPT. A tab-delimited file, as vocabularies are given out, has quotes that mean nothing."""
    if missing := [one for one in _COLUMNS if raw.names and one not in raw.names]:
        raise IngestError(f"no column {missing[0]!r}", where=raw.shown, expected="the table CONCEPT of OMOP CDM 5.4")
    if not isinstance(raw, DelimitedTable):
        yield from (BatchColumns(batch.columns, ()) for batch in raw.read(_COLUMNS, _silent))
        return
    pa, csv = arrow()[0], need("pyarrow.csv", "simulate")
    physical = {one: raw.physical(one) for one in _COLUMNS}
    try:
        with csv.open_csv(
            raw.path,
            csv.ReadOptions(use_threads=False, block_size=4 << 20, encoding=raw.encoding),
            csv.ParseOptions(
                delimiter=raw.delimiter,
                quote_char=False if raw.delimiter == "\t" else '"',
                invalid_row_handler=lambda row: "skip",
            ),
            csv.ConvertOptions(
                column_types={one: pa.string() for one in physical.values()},
                include_columns=list(physical.values()),
                strings_can_be_null=False,
            ),
        ) as reader:
            for batch in reader:
                yield BatchColumns({one: batch.column(name) for one, name in physical.items()}, ())
    except (pa.ArrowException, OSError, ValueError):
        raise IngestError(
            "the vocabulary cannot be read", where=raw.shown, expected="text delimited as its header is"
        ) from None


def _hashes(ids: list[str]) -> NDArray[np.uint64]:
    return np.array([int.from_bytes(blake2b(one.encode(), digest_size=8).digest(), "big") for one in ids], np.uint64)


def _silent(size: int) -> None:
    """No progress is shown."""
