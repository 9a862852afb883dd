"""Which event a kept risk is of."""

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From revision 2; of the risks that stand there already the event is not known."""
    op.add_column("forecasts", sa.Column("event", sa.JSON(none_as_null=True)))
