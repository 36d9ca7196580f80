"""What is set aside for an attempt is in its row; smaller indexes of calls."""

import json
from collections import defaultdict

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Fill new columns from the table that is no more, and change the indexes."""
    op.add_column("attempts", sa.Column("reserved", sa.Text))
    op.add_column("attempts", sa.Column("reserved_until", sa.Double))
    _move_reservations()
    op.drop_table("reservations")
    for name in ("calls_running_key_id", "calls_running_team_id", "calls_idempotency_key"):
        op.drop_index(name, "calls")
    _index("calls_idempotency_key", ["idempotency_key"], "idempotency_key IS NOT NULL", unique=True)
    columns = ["team_id", "key_id", "owner"]
    _index("calls_running", columns, "state = 'running' AND key_id IS NOT NULL")


def _index(name: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    only = sa.text(where)
    op.create_index(name, "calls", columns, unique=unique, sqlite_where=only, postgresql_where=only)


def _move_reservations() -> None:
    names = ("attempt_id", "budget_id", "is_held", "period_start", "expires_at")
    reservations = sa.table("reservations", *(sa.column(name) for name in names))
    attempts = sa.table("attempts", *map(sa.column, ("id", "reserved", "reserved_until")))
    connection = op.get_bind()
    starts: dict[str, dict[str, float]] = defaultdict(dict)
    until: dict[str, float | None] = {}
    for row in connection.execute(sa.select(reservations)).mappings():
        starts[row["attempt_id"]][row["budget_id"]] = row["period_start"]
        until[row["attempt_id"]] = None if row["is_held"] else row["expires_at"]
    for name, reserved in starts.items():
        change = sa.update(attempts).where(attempts.c.id == name)
        connection.execute(change.values(reserved=json.dumps(reserved), reserved_until=until[name]))
