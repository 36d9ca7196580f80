"""Teams, keys, end users, budgets; reservations, entries, sums a day, rates, owners."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add who asked to the calls, then create the tables of people and of money."""
    _extend_calls()
    _create_people()
    _create_budgets()
    _create_money()
    _create_counters()


def _extend_calls() -> None:
    op.add_column("calls", sa.Column("team_id", sa.Text))
    op.add_column("calls", sa.Column("tags", sa.Text, nullable=False, server_default="[]"))
    op.add_column("calls", sa.Column("prompt", sa.Text, nullable=False, server_default=""))
    running = sa.text("state = 'running'")
    for column in ("key_id", "team_id"):
        op.create_index(
            f"calls_running_{column}",
            "calls",
            [column],
            sqlite_where=running,
            postgresql_where=running,
        )
        op.create_index(f"calls_{column}", "calls", [column, "id"])
    is_known = sa.text("end_user <> ''")
    op.create_index(
        "calls_end_user",
        "calls",
        ["end_user", "id"],
        sqlite_where=is_known,
        postgresql_where=is_known,
    )


def _create_people() -> None:
    op.create_table(
        "teams",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("is_blocked", sa.Boolean, nullable=False),
        sa.Column("prompt_storage", sa.Text, nullable=False),
        sa.Column("permissions", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("team_id", sa.Text, sa.ForeignKey("teams.id")),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("permissions", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("revoked_at", sa.Double),
    )
    op.create_table(
        "secrets",
        sa.Column("prefix", sa.Text, primary_key=True),
        sa.Column("key_id", sa.Text, sa.ForeignKey("keys.id"), nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
    )
    op.create_table(
        "end_users",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("is_blocked", sa.Boolean, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
    )
    op.create_index("keys_team", "keys", ["team_id", "id"])
    op.create_index("secrets_key", "secrets", ["key_id"])


def _create_budgets() -> None:
    op.create_table(
        "budgets",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("team_id", sa.Text, sa.ForeignKey("teams.id")),
        sa.Column("limit_e10", sa.BigInteger, nullable=False),
        sa.Column("soft_e10", sa.BigInteger),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("period_start", sa.Double, nullable=False),
        sa.Column("resets_at", sa.Double),
        sa.Column("spent_e10", sa.BigInteger, nullable=False),
        sa.Column("reserved_e10", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.UniqueConstraint("subject", "period", name="budgets_subject_period"),
    )
    op.create_index("budgets_team", "budgets", ["team_id", "id"])


def _create_money() -> None:
    op.create_table(
        "reservations",
        sa.Column("attempt_id", sa.Text, sa.ForeignKey("attempts.id"), primary_key=True),
        sa.Column("budget_id", sa.Text, sa.ForeignKey("budgets.id"), primary_key=True),
        sa.Column("amount_e10", sa.BigInteger, nullable=False),
        sa.Column("is_held", sa.Boolean, nullable=False),
        sa.Column("period_start", sa.Double, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )
    is_open = sa.text("NOT is_held")
    op.create_index(
        "reservations_expiry",
        "reservations",
        ["expires_at"],
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.create_index("reservations_budget", "reservations", ["budget_id"])
    op.create_table(
        "entries",
        sa.Column("attempt_id", sa.Text, sa.ForeignKey("attempts.id"), primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("debit", sa.Text, nullable=False),
        sa.Column("credit", sa.Text, nullable=False),
        sa.Column("amount_e10", sa.BigInteger),
        sa.Column("at", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )


def _create_counters() -> None:
    op.create_table(
        "spend_days",
        sa.Column("dimension", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, primary_key=True),
        sa.Column("day", sa.Text, primary_key=True),
        sa.Column("team_id", sa.Text, primary_key=True),
        sa.Column("charged_e10", sa.BigInteger, nullable=False),
        sa.Column("held_e10", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("unknown", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("spend_days_team", "spend_days", ["dimension", "team_id", "value", "day"])
    op.create_table(
        "rates",
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("minute", sa.BigInteger, nullable=False),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("images", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "owners",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("alive_until", sa.Double, nullable=False),
    )
