"""The tables of money (entries, sums a day, rates, owners), and their statements.

`reserved_e10` of a budget is the sum of the estimates of the attempts that are `reserved` in it and
not held; the entries of a subject sum up to what it spent. Both hold after each transaction.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    bindparam,
    func,
    insert,
    null,
    select,
    text,
    update,
)

from imagegate.ledger.people import BudgetRecord
from imagegate.ledger.people_schema import budgets, end_users
from imagegate.ledger.schema import ATTEMPT_IS_OPEN, attempts, calls, metadata, typed

# SQLite keeps these in the order of their keys, without a second tree for them.
entries = Table(
    "entries",
    metadata,
    Column("attempt_id", Text, ForeignKey("attempts.id"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("debit", Text, nullable=False),
    Column("credit", Text, nullable=False),
    Column("amount_e10", BigInteger),
    Column("at", Double, nullable=False),
    sqlite_with_rowid=False,
)

spend_days = Table(
    "spend_days",
    metadata,
    Column("dimension", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("day", Text, primary_key=True),
    Column("team_id", Text, primary_key=True),
    Column("charged_e10", BigInteger, nullable=False),
    Column("held_e10", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("unknown", Integer, nullable=False),
    sqlite_with_rowid=False,
)

rates = Table(
    "rates",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("minute", BigInteger, nullable=False),
    Column("requests", Integer, nullable=False),
    Column("images", Integer, nullable=False),
    sqlite_with_rowid=False,
)

owners = Table(
    "owners",
    metadata,
    Column("id", Text, primary_key=True),
    Column("alive_until", Double, nullable=False),
)

Index(
    "spend_days_team",
    spend_days.c.dimension,
    spend_days.c.team_id,
    spend_days.c.value,
    spend_days.c.day,
)
Index(
    "spend_days_day",
    spend_days.c.dimension,
    spend_days.c.day,
    spend_days.c.value,
    spend_days.c.team_id,
)
_IS_HOLD = text("kind = 'hold'")
Index("entries_hold", entries.c.attempt_id, sqlite_where=_IS_HOLD, postgresql_where=_IS_HOLD)

INSERT_ENTRY = insert(entries).inline()
HOLD_RESERVED = (
    update(attempts)
    .where(attempts.c.id == bindparam("b_id"))
    .values(reserved=bindparam("b_reserved"), reserved_until=null())
)
ROLL_BUDGET = (
    update(budgets)
    .where(budgets.c.id == bindparam("b_id"))
    .values(
        spent_e10=bindparam("b_spent_e10"),
        period_start=bindparam("b_period_start"),
        resets_at=bindparam("b_resets_at"),
    )
)
MOVE_BUDGET = (
    update(budgets)
    .where(budgets.c.id == bindparam("b_id"))
    .values(
        spent_e10=budgets.c.spent_e10 + bindparam("b_spent_e10"),
        reserved_e10=budgets.c.reserved_e10 + bindparam("b_reserved_e10"),
    )
)


ADD_TO_DAY = typed(
    spend_days,
    "INSERT INTO spend_days"
    " (dimension, value, day, team_id, charged_e10, held_e10, attempts, unknown)"
    " VALUES (:dimension, :value, :day, :team_id, :charged_e10, :held_e10, :attempts, :unknown)"
    " ON CONFLICT (dimension, value, day, team_id) DO UPDATE SET"
    " charged_e10 = spend_days.charged_e10 + excluded.charged_e10,"
    " held_e10 = spend_days.held_e10 + excluded.held_e10,"
    " attempts = spend_days.attempts + excluded.attempts,"
    " unknown = spend_days.unknown + excluded.unknown",
)
PUT_RATE = typed(
    rates,
    "INSERT INTO rates (subject, minute, requests, images)"
    " VALUES (:subject, :minute, :requests, :images) ON CONFLICT (subject) DO UPDATE SET"
    " minute = excluded.minute, requests = excluded.requests, images = excluded.images",
)
KEEP_ALIVE = typed(
    owners,
    "INSERT INTO owners (id, alive_until) VALUES (:id, :alive_until)"
    " ON CONFLICT (id) DO UPDATE SET alive_until = excluded.alive_until",
)

_BUDGET = select(*(budgets.c[name] for name in BudgetRecord.__struct_fields__))
SELECT_BUDGETS_OF = _BUDGET.where(budgets.c.subject.in_(bindparam("b_subjects", expanding=True)))
SELECT_BUDGETS = _BUDGET.where(budgets.c.id.in_(bindparam("b_ids", expanding=True)))
SELECT_BLOCKED = select(end_users.c.id).where(
    end_users.c.is_blocked, end_users.c.id.in_(bindparam("b_ids", expanding=True))
)
SELECT_RATES = select(rates).where(rates.c.subject.in_(bindparam("b_subjects", expanding=True)))
# A literal, not a parameter: SQLite uses a partial index only for the very same words.
_RUNNING = text("calls.state = 'running'")
# What a process left behind when it died is not in flight, though nobody has ended it yet.
_GONE = select(owners.c.id).where(owners.c.alive_until <= bindparam("b_now"))
_IS_ALIVE = calls.c.owner.not_in(_GONE)
_IN_FLIGHT = (
    select(calls.c.team_id, calls.c.key_id, func.count())
    .where(_RUNNING, text("calls.key_id IS NOT NULL"), _IS_ALIVE)
    .group_by(calls.c.team_id, calls.c.key_id)
)
SELECT_IN_FLIGHT_OF_TEAMS = _IN_FLIGHT.where(
    calls.c.team_id.in_(bindparam("b_ids", expanding=True))
)
SELECT_IN_FLIGHT_WITHOUT_TEAM = _IN_FLIGHT.where(
    calls.c.team_id.is_(None), calls.c.key_id.in_(bindparam("b_ids", expanding=True))
)
SELECT_ORPHANED_ATTEMPTS = (
    select(attempts)
    .where(ATTEMPT_IS_OPEN, attempts.c.owner.in_(_GONE))
    .order_by(attempts.c.id)
    .limit(bindparam("b_limit"))
)
SELECT_ORPHANED_CALLS = (
    select(calls)
    .where(_RUNNING, calls.c.owner.in_(_GONE))
    .order_by(calls.c.id)
    .limit(bindparam("b_limit"))
)
_HOLD = entries.alias("hold")
SELECT_ENDED = (
    select(
        attempts.c.id,
        attempts.c.estimate_e10,
        attempts.c.reserved,
        attempts.c.reserved_until,
        _HOLD.c.at,
        _HOLD.c.amount_e10,
        attempts.c.provider,
        calls.c.model,
        calls.c.key_id,
        calls.c.team_id,
        calls.c.end_user,
        calls.c.tags,
    )
    .select_from(
        attempts.join(calls).outerjoin(
            _HOLD, (_HOLD.c.attempt_id == attempts.c.id) & text("hold.kind = 'hold'")
        )
    )
    .where(attempts.c.id.in_(bindparam("b_ids", expanding=True)))
)
SELECT_RESERVED = select(attempts.c.id, attempts.c.estimate_e10, attempts.c.reserved).where(
    attempts.c.reserved_until.is_not(None), attempts.c.id.in_(bindparam("b_ids", expanding=True))
)
SELECT_CALLS = select(
    calls.c.id, calls.c.key_id, calls.c.team_id, calls.c.end_user, calls.c.model
).where(calls.c.id.in_(bindparam("b_ids", expanding=True)))
SELECT_ORPHANS = (
    select(attempts.c.id)
    .where(
        ATTEMPT_IS_OPEN,
        attempts.c.reserved_until <= bindparam("b_now"),
        attempts.c.owner.not_in(
            select(owners.c.id).where(owners.c.alive_until > bindparam("b_now"))
        ),
    )
    .limit(bindparam("b_limit", type_=Integer))
)
