"""What guardrails said of calls, and what admins did; idempotency keys become hashes."""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the tables of verdicts and of the audit log, and the index of held images."""
    _hash_keys()
    op.create_table(
        "verdicts",
        sa.Column("call_id", sa.Text, sa.ForeignKey("calls.id"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("guardrail", sa.Text, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("call_id", "number", name="verdicts_call_number"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("key_id", sa.Text),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sa.Column("request_id", sa.Text, nullable=False),
    )
    is_held = sa.text("substr(file, 1, 5) = 'held/'")
    op.create_index("assets_held", "assets", ["id"], sqlite_where=is_held, postgresql_where=is_held)


def _hash_keys() -> None:
    calls = sa.table("calls", sa.column("id"), sa.column("idempotency_key"))
    connection = op.get_bind()
    known = sa.select(calls.c.id, calls.c.idempotency_key)
    for name, key in connection.execute(known.where(calls.c.idempotency_key.is_not(None))).all():
        digest = hashlib.sha256(key.encode()).hexdigest()
        change = sa.update(calls).where(calls.c.id == name).values(idempotency_key=digest)
        connection.execute(change)
