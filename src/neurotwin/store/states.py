"""States of patients under models. Each is made from the documents and may be made again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from neurotwin.errors import DocumentError
from neurotwin.runtime import Predictor, Twin
from neurotwin.store import records
from neurotwin.store.tables import models, states


@dataclass(frozen=True)
class ModelVersion:
    """A bundle that made a state or a forecast; ``n_states`` counts the patients who have a state under it."""

    name: str
    version: str
    sha256: str
    first_used: datetime
    n_states: int


@dataclass(frozen=True)
class Saved:
    """What is needed to build a twin, read at one moment.

    Attributes:
        patient: id of the patient.
        content: the state that was saved under this very bundle, if any.
        taken: version up to which it took documents in.
        entries: documents after that; all of them where there is no state.
        version: the patient's version.
    """

    patient: str
    content: Mapping[str, Any] | None
    taken: int
    entries: list[records.Entry]
    version: int


def read(connection: Connection, patient: Row[Any], predictor: Predictor) -> Saved:
    """A patient under a bundle, as it stands. A state belongs to the bundle's sha256: none other is taken."""
    asked = (
        select(states).join(models).where(states.c.patient_id == patient.id, models.c.sha256 == predictor.bundle.sha256)
    )
    state = connection.execute(asked).one_or_none()
    taken = 0 if state is None else state.version
    entries = records.read(connection, patient.id, after=taken)
    return Saved(patient.name, None if state is None else state.content, taken, entries, patient.version)


def build(saved: Saved, predictor: Predictor) -> Twin | None:
    """The twin at the patient's version. None where its state was written in a format that is not read any more."""
    twin = Twin(predictor)
    if saved.content is not None:
        try:
            twin = Twin.from_dict(predictor, dict(saved.content))
        except DocumentError:
            return None
    for entry in saved.entries:
        twin.observe(replace(entry.document, id=saved.patient))
    return twin


def write(connection: Connection, patient: int, version: int, twin: Twin) -> None:
    """Keep a twin's state; the transaction holds the patient's row."""
    model, moment = model_id(connection, twin.predictor), records.now()
    place = (states.c.patient_id == patient, states.c.model_id == model)
    content = {"version": version, "content": twin.to_dict(), "updated": moment}
    if not connection.execute(update(states).where(*place).values(**content)).rowcount:
        connection.execute(insert(states).values(patient_id=patient, model_id=model, **content))


def drop(connection: Connection, patient: int) -> None:
    """States of a patient under all models: the next question replays the documents."""
    connection.execute(delete(states).where(states.c.patient_id == patient))


def model_id(connection: Connection, predictor: Predictor) -> int:
    """Id of a bundle, written down when it is seen for the first time."""
    bundle = predictor.bundle
    found = connection.execute(select(models.c.id).where(models.c.sha256 == bundle.sha256)).scalar_one_or_none()
    if found is not None:
        return int(found)
    made = insert(models).values(
        sha256=bundle.sha256, name=bundle.name, version=bundle.version, first_used=records.now()
    )
    return int(connection.execute(made.returning(models.c.id)).scalar_one())


def list_models(connection: Connection) -> list[ModelVersion]:
    """All bundles that were used, in the order in which they came."""
    columns = (models.c.name, models.c.version, models.c.sha256, models.c.first_used)
    counted = func.count(states.c.patient_id).label("n_states")
    asked = select(*columns, counted).outerjoin(states).group_by(models.c.id, *columns).order_by(models.c.id)
    return [ModelVersion(**row) for row in connection.execute(asked).mappings()]
