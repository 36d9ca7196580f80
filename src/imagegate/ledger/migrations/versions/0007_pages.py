"""Indexes of the reports' pages: calls that are not done by their state, the sums of a day."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0003"


def upgrade() -> None:
    """Add the two indexes; the first one does what `calls_open` did as well."""
    not_done = sa.text("state <> 'done'")
    op.create_index(
        "calls_not_done",
        "calls",
        ["state", "id"],
        sqlite_where=not_done,
        postgresql_where=not_done,
    )
    op.drop_index("calls_open", "calls")
    op.create_index("spend_days_day", "spend_days", ["dimension", "day", "value", "team_id"])
