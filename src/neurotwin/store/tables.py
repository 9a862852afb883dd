"""The tables of the store. What a patient's record says is the truth; states are made from it and may be dropped.

A document is what one call of `observe` told, in the units that it was told in, with the version of the patient that it
made. Internal ids are never given out again, so that a patient who was erased is not taken for a later one.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
Key = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by themselves in a column of this very type only."""


class Moment(TypeDecorator[datetime]):
    """A moment in universal time, with its zone also where the database keeps none."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """From the database; PostgreSQL tells the zone of the session."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def own(name: str) -> Column[int]:
    """A key into another table; rows go with the row that they belong to."""
    return Column(f"{name}_id", Key, ForeignKey(f"{name}s.id", ondelete="CASCADE"), nullable=False)


def part() -> tuple[Column[int], Column[int]]:
    """Key of a row of a document."""
    place = Column("position", Integer, primary_key=True, autoincrement=False)
    document = ForeignKey("documents.id", ondelete="CASCADE")
    return Column("document_id", Key, document, primary_key=True, autoincrement=False), place


metadata = MetaData(naming_convention=NAMES)

patients = Table(
    "patients",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", Text, nullable=False, unique=True),  # the pseudonym
    Column("version", Integer, nullable=False),  # moves with each change of the record: the optimistic lock
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    sqlite_autoincrement=True,
)

documents = Table(
    "documents",
    metadata,
    Column("id", Key, primary_key=True),
    own("patient"),
    Column("version", Integer, nullable=False),
    Column("request", Text, nullable=False),  # the caller's key: the same request is stored once
    Column("digest", Text, nullable=False),
    Column("time_unit", Text, nullable=False),
    Column("index_time", Text),
    Column("now", Double),
    Column("received", Moment, nullable=False),
    Column("retracted", Moment),
    UniqueConstraint("patient_id", "version"),
    UniqueConstraint("patient_id", "request"),
    sqlite_autoincrement=True,
)

statics = Table(
    "statics",
    metadata,
    *part(),
    Column("name", Text, nullable=False),
    Column("value", Double),
    Column("unit", Text),
    Column("level", Text),
)

observations = Table(
    "observations",
    metadata,
    *part(),
    Column("t", Double, nullable=False),
    Column("variable", Text, nullable=False),
    Column("value", Double, nullable=False),
    Column("unit", Text),
    Column("post_dose", Boolean, nullable=False),
)

treatments = Table(
    "treatments",
    metadata,
    *part(),
    Column("t", Double, nullable=False),
    Column("treatment", Text, nullable=False),
    Column("amount", Double),
    Column("rate", Double),
    Column("level", Double),
    Column("t_end", Double),
    Column("unit", Text),
)

models = Table(
    "models",
    metadata,
    Column("id", Key, primary_key=True),
    Column("sha256", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("first_used", Moment, nullable=False),
    sqlite_autoincrement=True,
)

states = Table(
    "states",
    metadata,
    Column("patient_id", Key, ForeignKey("patients.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("model_id", Key, ForeignKey("models.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),  # of the patient, up to which documents were taken in
    Column("content", JSON, nullable=False),  # Twin.to_dict
    Column("updated", Moment, nullable=False),
)

plans = Table(
    "plans",
    metadata,
    Column("id", Key, primary_key=True),
    own("patient"),
    Column("digest", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("content", JSON, nullable=False),
    Column("created", Moment, nullable=False),
    UniqueConstraint("patient_id", "digest"),
    sqlite_autoincrement=True,
)

forecasts = Table(
    "forecasts",
    metadata,
    Column("id", Key, primary_key=True),
    own("patient"),
    own("model"),
    own("plan"),
    Column("version", Integer, nullable=False),  # of the patient, on which the forecast stands
    Column("status", Text, nullable=False),
    Column("risk", Double),
    Column("event", JSON(none_as_null=True)),  # which the risk is of
    Column("answer", JSON, nullable=False),
    Column("made", Moment, nullable=False),
    Index(None, "patient_id", "model_id"),
    sqlite_autoincrement=True,
)
