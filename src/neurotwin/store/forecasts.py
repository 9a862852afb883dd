"""Plans that were asked about, what was answered, and the overview of all patients that follows."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select

from neurotwin.errors import ConfigError, DocumentError
from neurotwin.runtime import PlanDocument, Predictor
from neurotwin.store import records, states
from neurotwin.store.tables import forecasts, models, patients, plans

STATUSES = ("ok", "degraded", "abstain")


@dataclass(frozen=True)
class SavedForecast:
    """An answer as it was given, and on what it stood.

    Attributes:
        version: the patient's version at that time; ``current`` tells whether it is still that one.
        risk: probability of what the caller asked to be warned of, if it told one; ``event`` is what that is.
    """

    id: int
    model: str
    sha256: str
    plan: Mapping[str, Any]
    answer: Mapping[str, Any]
    status: str
    risk: float | None
    event: Mapping[str, Any] | None
    version: int
    current: bool
    made: datetime


@dataclass(frozen=True)
class PatientSummary:
    """A patient in the overview, with the last forecast that was kept, if any.

    Attributes:
        forecast: its id.
        event: which the risk is of.
        current: no document came after.
    """

    id: str
    version: int
    created: datetime
    updated: datetime
    forecast: int | None
    model: str | None
    status: str | None
    risk: float | None
    event: Mapping[str, Any] | None
    made: datetime | None
    current: bool | None


@dataclass(frozen=True)
class Filter:
    """Which patients, and in which order.

    Attributes:
        prefix: their ids begin with it.
        model: name of a bundle: only forecasts of it are looked at, whatever their version.
        status: of the last forecast, one of ``ok``, ``degraded``, ``abstain``.
        min_risk: the last forecast's risk is told, and at least this.
        since: their record changed at this moment or later.
        order: ``id``, ``risk`` (highest first, unknown ones last) or ``updated`` (latest first).
        limit, offset: at most so many, after so many others.
    """

    prefix: str = ""
    model: str | None = None
    status: str | None = None
    min_risk: float | None = None
    since: datetime | None = None
    order: str = "id"
    limit: int = 100
    offset: int = 0

    def __post_init__(self) -> None:
        if self.order not in ("id", "risk", "updated"):
            raise ConfigError("no such order", where="patients: order", expected="id, risk or updated")
        if self.status not in (None, *STATUSES):
            raise ConfigError("no such status", where="patients: status", expected=", ".join(STATUSES))
        if self.limit < 1 or self.offset < 0:
            raise ConfigError("not a page", where="patients: limit", expected="limit >= 1, offset >= 0")


def write(
    connection: Connection,
    patient: Row[Any],
    predictor: Predictor,
    plan: PlanDocument,
    answer: Mapping[str, Any],
    version: int,
    risk: float | None,
    event: Mapping[str, Any] | None,
) -> int:
    """Keep an answer; the same plan of a patient is kept once. Returns the forecast's id."""
    made = insert(forecasts).values(
        patient_id=patient.id,
        model_id=states.model_id(connection, predictor),
        plan_id=_plan_id(connection, patient.id, plan),
        version=version,
        status=answer["status"],
        risk=risk,
        event=None if event is None else dict(event),
        answer=dict(answer),
        made=records.now(),
    )
    return int(connection.execute(made.returning(forecasts.c.id)).scalar_one())


def check(answer: Mapping[str, Any], risk: float | None, event: Mapping[str, Any] | None) -> None:
    """Raises DocumentError when this is not one answer for one plan, the risk no probability, or an event without."""
    if answer.get("status") not in STATUSES:
        raise DocumentError("not an answer", where="forecast: answer", expected="what Twin.forecast gave for one plan")
    try:
        records.digest_of([answer, event])
    except (TypeError, ValueError):
        raise DocumentError("not plain JSON", where="forecast: answer", expected="what Twin.forecast gave") from None
    if risk is not None and not (math.isfinite(risk) and 0 <= risk <= 1):
        raise DocumentError("not a probability", where="forecast: risk", expected="a number from 0 to 1")
    if event is not None and risk is None:
        raise DocumentError("an event without its risk", where="forecast: event", expected="a risk, or no event")


def read(connection: Connection, patient: Row[Any], limit: int) -> list[SavedForecast]:
    """The last answers for a patient, latest first."""
    asked = (
        select(forecasts, models.c.name, models.c.version.label("release"), models.c.sha256, plans.c.content)
        .join(models, models.c.id == forecasts.c.model_id)
        .join(plans, plans.c.id == forecasts.c.plan_id)
        .where(forecasts.c.patient_id == patient.id)
        .order_by(forecasts.c.id.desc())
        .limit(limit)
    )
    return [
        SavedForecast(
            id=row.id,
            model=f"{row.name}@{row.release}",
            sha256=row.sha256,
            plan=row.content,
            answer=row.answer,
            status=row.status,
            risk=row.risk,
            event=row.event,
            version=row.version,
            current=row.version == patient.version,
            made=row.made,
        )
        for row in connection.execute(asked)
    ]


def overview(connection: Connection, chosen: Filter) -> list[PatientSummary]:
    """Patients with their last forecasts, filtered and sorted."""
    last = select(forecasts.c.patient_id, func.max(forecasts.c.id).label("id")).group_by(forecasts.c.patient_id)
    if chosen.model is not None:
        last = last.join(models).where(models.c.name == chosen.model)
    newest = last.subquery()
    asked = (
        select(patients, models.c.name.label("bundle"), models.c.version.label("release"))
        .add_columns(forecasts.c.id.label("forecast"), forecasts.c.status, forecasts.c.risk, forecasts.c.event)
        .add_columns(forecasts.c.made, forecasts.c.version.label("stands_on"))
        .outerjoin(newest, newest.c.patient_id == patients.c.id)
        .outerjoin(forecasts, forecasts.c.id == newest.c.id)
        .outerjoin(models, models.c.id == forecasts.c.model_id)
    )
    return [
        PatientSummary(
            id=row.name,
            version=row.version,
            created=row.created,
            updated=row.updated,
            forecast=row.forecast,
            model=None if row.bundle is None else f"{row.bundle}@{row.release}",
            status=row.status,
            risk=row.risk,
            event=row.event,
            made=row.made,
            current=None if row.stands_on is None else row.stands_on == row.version,
        )
        for row in connection.execute(_chosen(asked, chosen))
    ]


def answers(connection: Connection, ids: Collection[int]) -> dict[int, dict[str, Any]]:
    """The answers of forecasts, by their ids."""
    asked = select(forecasts.c.id, forecasts.c.answer).where(forecasts.c.id.in_(ids))
    return {row.id: row.answer for row in connection.execute(asked)}


def _chosen(asked: Select[Any], chosen: Filter) -> Select[Any]:
    if chosen.prefix:
        asked = asked.where(func.substr(patients.c.name, 1, len(chosen.prefix)) == chosen.prefix)
    if chosen.status is not None:
        asked = asked.where(forecasts.c.status == chosen.status)
    if chosen.min_risk is not None:
        asked = asked.where(forecasts.c.risk >= chosen.min_risk)
    if chosen.since is not None:
        asked = asked.where(patients.c.updated >= chosen.since)
    first = {
        "id": (),
        "risk": (forecasts.c.risk.is_(None), forecasts.c.risk.desc()),
        "updated": (patients.c.updated.desc(),),
    }[chosen.order]
    return asked.order_by(*first, patients.c.name).limit(chosen.limit).offset(chosen.offset)


def _plan_id(connection: Connection, patient: int, plan: PlanDocument) -> int:
    content = asdict(plan)
    digest = records.digest_of(content)
    same = (plans.c.patient_id == patient, plans.c.digest == digest)
    found = connection.execute(select(plans.c.id).where(*same)).scalar_one_or_none()
    if found is not None:
        return int(found)
    made = insert(plans).values(
        patient_id=patient, digest=digest, name=plan.name, content=content, created=records.now()
    )
    return int(connection.execute(made.returning(plans.c.id)).scalar_one())
