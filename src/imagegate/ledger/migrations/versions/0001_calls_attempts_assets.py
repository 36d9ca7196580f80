"""Calls, attempts and assets."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the first three tables."""
    _create_calls()
    _create_attempts()
    _create_assets()


def _create_calls() -> None:
    op.create_table(
        "calls",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("key_id", sa.Text),
        sa.Column("end_user", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("finished_at", sa.Double),
        sa.Column("delivered_at", sa.Double),
        sa.Column("adjustments", sa.Text, nullable=False),
        sa.Column("error_code", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
    )
    running = sa.text("state = 'running'")
    op.create_index("calls_open", "calls", ["id"], sqlite_where=running, postgresql_where=running)


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("call_id", sa.Text, sa.ForeignKey("calls.id"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("deployment_id", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("upstream_model", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("dispatched_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
        sa.Column("price", sa.Text, nullable=False),
        sa.Column("estimate_e10", sa.BigInteger),
        sa.Column("cost_e10", sa.BigInteger),
        sa.Column("usage", sa.Text),
        sa.Column("error_code", sa.Text, nullable=False),
        sa.Column("error_text", sa.Text, nullable=False),
        sa.Column("upstream_request_id", sa.Text, nullable=False),
        sa.Column("upstream_status", sa.Integer),
        sa.Column("owner", sa.Text, nullable=False),
        sa.UniqueConstraint("call_id", "number", name="attempts_call_number"),
    )
    under_way = sa.text("state IN ('dispatched', 'answered')")
    op.create_index(
        "attempts_open", "attempts", ["id"], sqlite_where=under_way, postgresql_where=under_way
    )


def _create_assets() -> None:
    op.create_table(
        "assets",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("call_id", sa.Text, sa.ForeignKey("calls.id"), nullable=False),
        sa.Column("attempt_id", sa.Text, sa.ForeignKey("attempts.id"), nullable=False),
        sa.Column("index", sa.Integer, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
        sa.Column("encoding", sa.Text, nullable=False),
        sa.Column("escaped", sa.Boolean, nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("width_px", sa.Integer, nullable=False),
        sa.Column("height_px", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.UniqueConstraint("call_id", "attempt_id", "index", name="assets_call_attempt_index"),
    )
    op.create_index("assets_file", "assets", ["file"])
    op.create_index("assets_expiry", "assets", ["expires_at"])
