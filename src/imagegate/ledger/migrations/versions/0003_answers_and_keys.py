"""What attempts brought, and the two ways to find a call again: its key and what it asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the answers of attempts and the indexes of calls."""
    op.add_column("attempts", sa.Column("answer", sa.Text))
    op.create_index("calls_idempotency_key", "calls", ["idempotency_key"], unique=True)
    op.create_index("calls_fingerprint", "calls", ["fingerprint", "id"])
