"""Who settled a charge that was held, and the way to those that still are."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0003"


def upgrade() -> None:
    """Add the name to entries and the index of holds."""
    op.add_column("entries", sa.Column("who", sa.Text, nullable=False, server_default=""))
    where = sa.text("kind = 'hold'")
    op.create_index(
        "entries_hold", "entries", ["attempt_id"], sqlite_where=where, postgresql_where=where
    )
