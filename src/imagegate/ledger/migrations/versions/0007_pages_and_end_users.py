"""Indexes of the reports' pages; budgets that each end user gets alike."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the indexes, of which the first does what `calls_open` did as well, and the column."""
    not_done = sa.text("state <> 'done'")
    op.create_index(
        "calls_not_done",
        "calls",
        ["state", "id"],
        sqlite_where=not_done,
        postgresql_where=not_done,
    )
    op.drop_index("calls_open", "calls")
    op.add_column("budgets", sa.Column("template_id", sa.Text))
    derived = sa.text("template_id IS NOT NULL")
    op.create_index(
        "budgets_template",
        "budgets",
        ["template_id"],
        sqlite_where=derived,
        postgresql_where=derived,
    )
    op.create_index("spend_days_day", "spend_days", ["dimension", "day", "value", "team_id"])
