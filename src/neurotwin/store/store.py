"""The twin store: what was told about patients, the states of their twins, and what was answered."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import Row, delete, select, update

from neurotwin.errors import DocumentError, StoreConflictError, UnknownPatientError
from neurotwin.runtime import PatientDocument, PlanDocument, Predictor, Twin, parse_document
from neurotwin.runtime.twin import Patient, Plan
from neurotwin.store import forecasts as answers
from neurotwin.store import records, schema, states
from neurotwin.store.database import PATIENCE, Database
from neurotwin.store.forecasts import Filter, PatientSummary, SavedForecast
from neurotwin.store.observing import Loaded, Observed, Request, build_twin
from neurotwin.store.tables import documents, patients, plans

PSEUDONYM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
REQUEST = re.compile(r"[!-~]{1,128}")


class Store:
    """Twins in a database; `Store.open` gives one. Safe to share between threads and processes.

    All methods raise StoreError when the database fails, and StoreBusyError when others hold it for too long.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, url: str | Path, *, migrate: bool = False, patience: float = PATIENCE) -> Store:
        """A store at the path of a SQLite file, or at a ``postgresql://`` URL; an empty database becomes one.

        Args:
            migrate: upgrade an older schema. Make a backup before.
            patience: seconds that a call waits for others.

        Raises StoreError when it cannot be reached or written, or has a schema that is newer, or older and ``migrate``
        is not given.
        """
        database = Database(url, patience=patience)
        try:
            database.retry(lambda: schema.prepare(database, migrate=migrate))
        except BaseException:
            database.close()
            raise
        return cls(database)

    def observe(self, patient: str, document: Patient, predictor: Predictor, *, request: str | None = None) -> Observed:
        """Keep what a document tells of a patient, and bring the twin up to it.

        What is told at the same time by others is lost by neither: the later one is put on top of the earlier. Faults
        of the inputs are kept too, since they silence a twin until they are retracted.

        Args:
            patient: pseudonym, that of the document.
            request: key chosen by the caller; the same document under the same key is kept once.

        Raises:
            DocumentError: the document cannot be read, or its id is another one or no pseudonym.
            StoreConflictError: the key brought another document, was retracted, or the patient was erased meanwhile.
        """
        told = parse_document(PatientDocument, document, "patient")
        _check_id(patient)
        if told.id != patient:
            raise DocumentError("the document of another patient", where="patient: id", expected="the id asked for")
        key = f"own:{uuid.uuid4()}" if request is None else request
        if not REQUEST.fullmatch(key):
            raise DocumentError("not a key", where="request", expected="1 to 128 printable ASCII characters, no space")
        asked = Request(patient, told, predictor, key)
        return self._database.retry(lambda: asked.attempt(self._database))

    def load(self, patient: str, predictor: Predictor) -> Loaded:
        """A patient's twin as it stands. A bundle without a state of this patient replays the documents, and keeps it.

        Raises UnknownPatientError.
        """
        with self._database.reading() as connection:
            row = records.need_patient(connection, patient)
            saved = states.read(connection, row, predictor)
        twin = build_twin(self._database, saved, predictor)
        if saved.taken < row.version:
            self._keep(row, twin)
        return Loaded(twin, row.version)

    def version(self, patient: str) -> int:
        """The patient's present version: it moves with each change of the record. Raises UnknownPatientError."""
        with self._database.reading() as connection:
            version: int = records.need_patient(connection, patient).version
            return version

    def twin(self, patient: str, predictor: Predictor) -> Twin:
        """The twin of `load`. Raises UnknownPatientError."""
        return self.load(patient, predictor).twin

    def history(self, patient: str, *, retracted: bool = False) -> list[records.Entry]:
        """What was told about a patient, document by document; with ``retracted`` also what was taken back.

        Raises UnknownPatientError.
        """
        with self._database.reading() as connection:
            row = records.need_patient(connection, patient)
            entries = records.read(connection, row.id, retracted=retracted)
        return [replace(entry, document=replace(entry.document, id=patient)) for entry in entries]

    def retract(self, patient: str, request: str) -> int:
        """Take back what a request brought, entered in error: twins are built again without it.

        Returns the patient's new version. Raises UnknownPatientError when there is no such patient or request, and
        StoreConflictError when it was taken back before.
        """

        def attempt() -> int:
            with self._database.writing() as connection:
                row = records.need_patient(connection, patient)
                found = records.find_request(connection, row.id, request)
                if found is None:
                    raise UnknownPatientError("no such request", where="store", expected="the key of an observe")
                if found.retracted is not None:
                    raise StoreConflictError("the request was retracted before", where="store")
                number, version = records.advance(connection, patient, row)
                place = documents.c.id == found.id
                connection.execute(update(documents).where(place).values(retracted=records.now()))
                states.drop(connection, number)
                return version

        return self._database.retry(attempt)

    def forget(self, patient: str) -> bool:
        """Erase a patient with all that was told, made and answered; False when there was none.

        SQLite overwrites what it deletes; StoreBusyError means that its log could not be emptied yet: call again.
        """

        def attempt() -> bool:
            with self._database.writing() as connection:
                return connection.execute(delete(patients).where(patients.c.name == patient)).rowcount > 0

        gone = self._database.retry(attempt)
        self._database.clean()
        return gone

    def save_forecast(
        self,
        patient: str,
        predictor: Predictor,
        plan: Plan,
        answer: Mapping[str, Any],
        *,
        version: int | None = None,
        risk: float | None = None,
        event: Mapping[str, Any] | None = None,
    ) -> int:
        """Keep an answer for a plan; returns its id.

        Args:
            answer: what `Twin.forecast` gave, or one of the plans of `Twin.compare`.
            version: the patient's version that it stands on (of `Loaded`); by default the present one.
            risk: probability from 0 to 1 that the overview sorts by.
            event: which it is of, as plain JSON.

        Raises DocumentError and UnknownPatientError.
        """
        parsed = parse_document(PlanDocument, plan, "plan")
        answers.check(answer, risk, event)

        def attempt() -> int:
            with self._database.writing() as connection:
                row = records.need_patient(connection, patient)
                stands = row.version if version is None else version
                return answers.write(connection, row, predictor, parsed, answer, stands, risk, event)

        return self._database.retry(attempt)

    def forecasts(self, patient: str, *, limit: int = 20) -> list[SavedForecast]:
        """The last answers for a patient, latest first. Raises UnknownPatientError."""
        with self._database.reading() as connection:
            return answers.read(connection, records.need_patient(connection, patient), limit)

    def plans(self, patient: str) -> list[dict[str, Any]]:
        """Plans that were asked about for a patient, in the order in which they came. Raises UnknownPatientError."""
        with self._database.reading() as connection:
            row = records.need_patient(connection, patient)
            asked = select(plans.c.content).where(plans.c.patient_id == row.id).order_by(plans.c.id)
            return list(connection.execute(asked).scalars())

    def patients(self, chosen: Filter | None = None) -> list[PatientSummary]:
        """Patients with their last forecasts."""
        with self._database.reading() as connection:
            return answers.overview(connection, chosen or Filter())

    def answers(self, forecasts: Collection[int]) -> dict[int, dict[str, Any]]:
        """What was answered, by the ids of forecasts; those that are gone are left out."""
        with self._database.reading() as connection:
            return answers.answers(connection, forecasts)

    def models(self) -> list[states.ModelVersion]:
        """Bundles that were used, in the order in which they came."""
        with self._database.reading() as connection:
            return states.list_models(connection)

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _keep(self, row: Row[Any], twin: Twin) -> None:
        """Keep a state that was built for a question, unless the patient moved on meanwhile."""

        def attempt() -> None:
            with self._database.writing() as connection:
                place = (patients.c.id == row.id, patients.c.version == row.version)
                if connection.execute(select(patients.c.id).where(*place).with_for_update()).one_or_none() is not None:
                    states.write(connection, row.id, row.version, twin)

        self._database.retry(attempt)


def _check_id(patient: str) -> None:
    if not PSEUDONYM.fullmatch(patient):
        raise DocumentError(
            "not a pseudonym",
            where="patient: id",
            expected="1 to 64 letters, digits, dots, colons, dashes and underscores",
            remedy="hand in a code, never a name",
        )
