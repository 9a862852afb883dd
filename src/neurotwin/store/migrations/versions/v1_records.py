"""Patients, what was told about them, models, and the states that models made of it."""

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """From an empty database."""
    op.create_table(
        "patients",
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_patients"),
        sa.UniqueConstraint("name", name="uq_patients_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "documents",
        sa.Column("id", KEY, nullable=False),
        sa.Column("patient_id", KEY, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("time_unit", sa.Text, nullable=False),
        sa.Column("index_time", sa.Text),
        sa.Column("now", sa.Double),
        sa.Column("received", MOMENT, nullable=False),
        sa.Column("retracted", MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_documents"),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name="fk_documents_patient_id", ondelete="CASCADE"),
        sa.UniqueConstraint("patient_id", "version", name="uq_documents_patient_id_version"),
        sa.UniqueConstraint("patient_id", "request", name="uq_documents_patient_id_request"),
        sqlite_autoincrement=True,
    )
    _create_rows()
    op.create_table(
        "models",
        sa.Column("id", KEY, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("first_used", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("sha256", name="uq_models_sha256"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "states",
        sa.Column("patient_id", KEY, nullable=False),
        sa.Column("model_id", KEY, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("content", sa.JSON, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("patient_id", "model_id", name="pk_states"),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name="fk_states_patient_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_states_model_id", ondelete="CASCADE"),
    )


def _create_rows() -> None:
    """The rows of a document."""
    _create_part(
        "statics",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("unit", sa.Text),
        sa.Column("level", sa.Text),
    )
    _create_part(
        "observations",
        sa.Column("t", sa.Double, nullable=False),
        sa.Column("variable", sa.Text, nullable=False),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("unit", sa.Text),
        sa.Column("post_dose", sa.Boolean, nullable=False),
    )
    _create_part(
        "treatments",
        sa.Column("t", sa.Double, nullable=False),
        sa.Column("treatment", sa.Text, nullable=False),
        sa.Column("amount", sa.Double),
        sa.Column("rate", sa.Double),
        sa.Column("level", sa.Double),
        sa.Column("t_end", sa.Double),
        sa.Column("unit", sa.Text),
    )


def _create_part(name: str, *columns: "sa.Column[object]") -> None:
    document = f"fk_{name}_document_id"
    op.create_table(
        name,
        sa.Column("document_id", KEY, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        *columns,
        sa.PrimaryKeyConstraint("document_id", "position", name=f"pk_{name}"),
        sa.ForeignKeyConstraint(["document_id"], ["documents.id"], name=document, ondelete="CASCADE"),
    )
