"""Patients and the documents told about them, as rows and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, insert, select, update

from neurotwin.errors import UnknownPatientError
from neurotwin.runtime import PatientDocument, Predictor
from neurotwin.runtime.documents import ObservationRecord, Quantity, TreatmentRecord
from neurotwin.store.database import Lost
from neurotwin.store.tables import documents, observations, patients, statics, treatments


@dataclass(frozen=True)
class Entry:
    """One document of a patient's history.

    Attributes:
        version: the patient's version that it made.
        request: key of the request that brought it.
        received: when, in universal time.
        retracted: when it was taken back, if it was.
        document: what it told, in its own units.
    """

    version: int
    request: str
    received: datetime
    retracted: datetime | None
    document: PatientDocument


def now() -> datetime:
    """This moment, in universal time."""
    return datetime.now(UTC)


def digest_of(content: Any) -> str:
    """sha256 of plain data, whatever the order of its fields."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def kept(document: PatientDocument, predictor: Predictor) -> PatientDocument:
    """The document without free text: a covariate's words are kept only where the model knows them.

    Words for a covariate that the model does not have may be a name: they are left out. Unknown words for one that it
    has are replaced by none, which a model refuses as it refused them.
    """
    known = {channel.name: channel.levels for channel in predictor.signature.statics}
    static = {
        name: told if isinstance(told, Quantity) or told in known[name] else ""
        for name, told in document.static.items()
        if isinstance(told, Quantity) or name in known
    }
    return replace(document, static=static)


def find_patient(connection: Connection, name: str, *, lock: bool = False) -> Row[Any] | None:
    """Row of a patient, None where there is none; with ``lock`` nobody else changes it before the transaction ends."""
    asked = select(patients).where(patients.c.name == name)
    return connection.execute(asked.with_for_update() if lock else asked).one_or_none()


def need_patient(connection: Connection, name: str) -> Row[Any]:
    """Row of a patient; raises UnknownPatientError."""
    row = find_patient(connection, name)
    if row is None:
        raise UnknownPatientError(
            "no such patient", where="store", expected="the id of a patient who was observed", remedy="observe first"
        )
    return row


def advance(connection: Connection, name: str, seen: Row[Any] | None) -> tuple[int, int]:
    """Id of the patient and the version that this transaction makes; raises Lost when another was faster."""
    moment = now()
    if seen is None:
        made = insert(patients).values(name=name, version=1, created=moment, updated=moment).returning(patients.c.id)
        return connection.execute(made).scalar_one(), 1
    version = seen.version + 1
    same = (patients.c.id == seen.id, patients.c.version == seen.version)
    if connection.execute(update(patients).where(*same).values(version=version, updated=moment)).rowcount != 1:
        raise Lost
    return seen.id, version


def find_request(connection: Connection, patient: int, request: str) -> Row[Any] | None:
    """Row of the document that a request brought."""
    where = (documents.c.patient_id == patient, documents.c.request == request)
    return connection.execute(select(documents).where(*where)).one_or_none()


def write(connection: Connection, patient: int, version: int, request: str, digest: str, told: PatientDocument) -> None:
    """A document and its rows."""
    made = insert(documents).values(
        patient_id=patient,
        version=version,
        request=request,
        digest=digest,
        time_unit=told.time_unit,
        index_time=told.index_time,
        now=told.now,
        received=now(),
    )
    document = connection.execute(made.returning(documents.c.id)).scalar_one()
    _write_rows(connection, statics, document, [_static(name, value) for name, value in told.static.items()])
    _write_rows(connection, observations, document, map(asdict, told.observations))
    _write_rows(connection, treatments, document, map(asdict, told.treatments))


def read(connection: Connection, patient: int, *, after: int = 0, retracted: bool = False) -> list[Entry]:
    """Documents of a patient that made a version later than ``after``, in the order in which they came."""
    asked = select(documents).where(documents.c.patient_id == patient, documents.c.version > after)
    if not retracted:
        asked = asked.where(documents.c.retracted.is_(None))
    heads = connection.execute(asked.order_by(documents.c.version)).all()
    if not heads:
        return []
    own = asked.with_only_columns(documents.c.id)
    fixed, seen, given = (_read_rows(connection, table, own) for table in (statics, observations, treatments))
    return [
        Entry(
            head.version,
            head.request,
            head.received,
            head.retracted,
            PatientDocument(
                id="",  # the caller knows whom it asked for
                time_unit=head.time_unit,
                index_time=head.index_time,
                now=head.now,
                static={row["name"]: _told(row) for row in fixed.get(head.id, ())},
                observations=tuple(ObservationRecord(**row) for row in seen.get(head.id, ())),
                treatments=tuple(TreatmentRecord(**row) for row in given.get(head.id, ())),
            ),
        )
        for head in heads
    ]


def _static(name: str, told: Quantity | str) -> dict[str, Any]:
    if isinstance(told, Quantity):
        return {"name": name, "value": told.value, "unit": told.unit, "level": None}
    return {"name": name, "value": None, "unit": None, "level": told}


def _told(row: Mapping[str, Any]) -> Quantity | str:
    return Quantity(row["value"], row["unit"]) if row["level"] is None else row["level"]


def _write_rows(connection: Connection, table: Table, document: int, rows: Iterable[dict[str, Any]]) -> None:
    numbered = [{"document_id": document, "position": place, **row} for place, row in enumerate(rows)]
    if numbered:
        connection.execute(insert(table), numbered)


def _read_rows(connection: Connection, table: Table, own: Select[Any]) -> dict[int, list[dict[str, Any]]]:
    """Rows of each document, in their order."""
    found: dict[int, list[dict[str, Any]]] = {}
    asked = select(table).where(table.c.document_id.in_(own)).order_by(table.c.document_id, table.c.position)
    for row in connection.execute(asked).mappings():
        content = dict(row)
        del content["position"]
        found.setdefault(content.pop("document_id"), []).append(content)
    return found
