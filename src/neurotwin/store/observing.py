"""Keeping what a document tells, beside others who do the same for the same patient."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row

from neurotwin.errors import StoreConflictError
from neurotwin.runtime import PatientDocument, Predictor, Twin
from neurotwin.runtime.reading import Notes
from neurotwin.store import records, states
from neurotwin.store.database import Database

POLITE = 3
"""Times that a request works without holding the patient. Then it holds them, since a slow writer may lose for ever."""


@dataclass(frozen=True)
class Loaded:
    """A twin, and the patient's version that it stands at. The twin is the caller's own."""

    twin: Twin
    version: int


@dataclass(frozen=True)
class Observed(Loaded):
    """A twin after a document was kept.

    Attributes:
        request: key of the request.
        repeated: the same request had been kept before; nothing was changed.
        notes: what happened to the inputs; nothing for a repeated request.
    """

    request: str
    repeated: bool
    notes: Notes


class Request:
    """One document on its way into the store; a new try begins on what stands then."""

    def __init__(self, patient: str, told: PatientDocument, predictor: Predictor, key: str) -> None:
        self._patient, self._told, self._predictor, self._key = patient, told, predictor, key
        self._digest, self._tries, self._seen = records.digest_of(asdict(told)), 0, False

    def attempt(self, database: Database) -> Observed:
        """Read, observe, write. Raises Lost when another was faster, StoreConflictError as `Store.observe` tells."""
        self._tries += 1
        if self._tries > POLITE:
            with database.writing() as connection:
                row, before, saved = self._look(connection, lock=True)
                return self._put(connection, row, before, *self._observe(database, before, saved))
        with database.reading() as connection:
            row, before, saved = self._look(connection)
        twin, notes = self._observe(database, before, saved)
        if before is not None and row is not None:
            return Observed(twin, row.version, self._key, True, notes)
        with database.writing() as connection:
            return self._put(connection, row, None, twin, notes)

    def _look(
        self, connection: Connection, *, lock: bool = False
    ) -> tuple[Row[Any] | None, Row[Any] | None, states.Saved | None]:
        """The patient, what the same key brought before, and the twin as it was kept; None where there is none."""
        row = records.find_patient(connection, self._patient, lock=lock)
        if row is None and self._seen:
            raise StoreConflictError("the patient was erased meanwhile", where="store")
        self._seen = row is not None
        if row is None:
            return None, None, None
        before = records.find_request(connection, row.id, self._key)
        if before is not None and before.retracted is not None:
            raise StoreConflictError("the request was retracted", where="request", remedy="choose another key")
        if before is not None and before.digest != self._digest:
            raise StoreConflictError(
                "the key has brought another document", where="request", expected="one key per document"
            )
        return row, before, states.read(connection, row, self._predictor)

    def _observe(self, database: Database, before: Row[Any] | None, saved: states.Saved | None) -> tuple[Twin, Notes]:
        twin = Twin(self._predictor) if saved is None else build_twin(database, saved, self._predictor)
        return twin, Notes() if before is not None else twin.observe(self._told)

    def _put(
        self, connection: Connection, row: Row[Any] | None, before: Row[Any] | None, twin: Twin, notes: Notes
    ) -> Observed:
        if before is not None and row is not None:
            return Observed(twin, row.version, self._key, True, notes)
        patient, version = records.advance(connection, self._patient, row)
        kept = records.kept(self._told, self._predictor)
        records.write(connection, patient, version, self._key, self._digest, kept)
        states.write(connection, patient, version, twin)
        return Observed(twin, version, self._key, False, notes)


def build_twin(database: Database, saved: states.Saved, predictor: Predictor) -> Twin:
    """The twin that was kept, with the documents after it; a state that cannot be read any more is made again."""
    twin = states.build(saved, predictor)
    if twin is not None:
        return twin
    with database.reading() as connection:
        row = records.need_patient(connection, saved.patient)
        entries = records.read(connection, row.id)
    until = [entry for entry in entries if entry.version <= saved.version]
    return states.build(replace(saved, content=None, taken=0, entries=until), predictor) or Twin(predictor)
