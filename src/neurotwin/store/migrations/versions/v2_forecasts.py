"""Plans that were asked about, and the forecasts that were answered."""

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """From revision 1; rows stay as they are."""
    op.create_table(
        "plans",
        sa.Column("id", KEY, nullable=False),
        sa.Column("patient_id", KEY, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("content", sa.JSON, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_plans"),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name="fk_plans_patient_id", ondelete="CASCADE"),
        sa.UniqueConstraint("patient_id", "digest", name="uq_plans_patient_id_digest"),
        sqlite_autoincrement=True,
    )
    owners = {"patient_id": "patients.id", "model_id": "models.id", "plan_id": "plans.id"}
    op.create_table(
        "forecasts",
        sa.Column("id", KEY, nullable=False),
        *(sa.Column(name, KEY, nullable=False) for name in owners),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("risk", sa.Double),
        sa.Column("answer", sa.JSON, nullable=False),
        sa.Column("made", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_forecasts"),
        *(
            sa.ForeignKeyConstraint([name], [place], name=f"fk_forecasts_{name}", ondelete="CASCADE")
            for name, place in owners.items()
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_forecasts_patient_id_model_id", "forecasts", ["patient_id", "model_id"])
