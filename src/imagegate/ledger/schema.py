"""The tables, and each statement once, built at import.

A change here is a migration in `migrations/versions/` and a new `REVISION`; a test compares
both. Parameters are named as the field of a record that fills them; those of updates carry a
prefix: SQLAlchemy takes an extra parameter named like a column for a value to set.
"""

from collections.abc import Collection

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Delete,
    Double,
    ForeignKey,
    Index,
    Insert,
    Integer,
    MetaData,
    Table,
    Text,
    TextClause,
    UniqueConstraint,
    Update,
    asc,
    bindparam,
    delete,
    desc,
    func,
    insert,
    null,
    select,
    text,
    update,
)

REVISION = "0008"
VERSION_TABLE = "imagegate_version"

metadata = MetaData()

calls = Table(
    "calls",
    metadata,
    Column("id", Text, primary_key=True),
    Column("operation", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("fingerprint", Text),
    Column("idempotency_key", Text),
    Column("key_id", Text),
    Column("end_user", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("delivered_at", Double),
    Column("adjustments", Text, nullable=False),
    Column("error_code", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("team_id", Text),
    Column("tags", Text, nullable=False, server_default="[]"),
    Column("prompt", Text, nullable=False, server_default=""),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("call_id", Text, ForeignKey("calls.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("deployment_id", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("upstream_model", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("dispatched_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("price", Text, nullable=False),
    Column("estimate_e10", BigInteger),
    Column("cost_e10", BigInteger),
    Column("usage", Text),
    Column("error_code", Text, nullable=False),
    Column("error_text", Text, nullable=False),
    Column("upstream_request_id", Text, nullable=False),
    Column("upstream_status", Integer),
    Column("owner", Text, nullable=False),
    Column("answer", Text),
    Column("reserved", Text),
    Column("reserved_until", Double),
    UniqueConstraint("call_id", "number", name="attempts_call_number"),
)

assets = Table(
    "assets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("call_id", Text, ForeignKey("calls.id"), nullable=False),
    Column("attempt_id", Text, ForeignKey("attempts.id"), nullable=False),
    Column("index", Integer, nullable=False),
    Column("file", Text, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("encoding", Text, nullable=False),
    Column("escaped", Boolean, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("width_px", Integer, nullable=False),
    Column("height_px", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("object", Text, nullable=False, server_default=""),
    Column("sha256", Text, nullable=False, server_default=""),
    UniqueConstraint("call_id", "attempt_id", "index", name="assets_call_attempt_index"),
)


def typed(table: Table, sql: str) -> TextClause:
    """Return a statement whose parameters are columns: the same words on both databases, where
    SQLAlchemy has a class for each."""
    return text(sql).bindparams(*(bindparam(column.name, type_=column.type) for column in table.c))


def _insert(table: Table, *, without: Collection[str]) -> Insert:
    names = [column.name for column in table.c if column.name not in without]
    return insert(table).values({name: bindparam(name) for name in names}).inline()


# Literals, not parameters: SQLite uses a partial index only for the very same words.
_CALL_IS_OPEN = text("calls.state = 'running' AND calls.state <> 'done'")
ATTEMPT_IS_OPEN = text("attempts.state IN ('dispatched', 'answered')")
_CALL_MAY_END = text("calls.state IN ('running', 'unknown')")
# Not IN: SQLite makes a table of three words, for each row anew.
_ATTEMPT_MAY_END = text(
    "(attempts.state = 'dispatched' OR attempts.state = 'answered' OR attempts.state = 'unknown')"
)

_RUNNING_FOR_A_KEY = text("state = 'running' AND key_id IS NOT NULL")
_IS_UNKNOWN = text("attempts.cost_e10 IS NULL AND attempts.state IN ('unknown', 'settled')")
_UNDER_WAY = text("state IN ('dispatched', 'answered')")
_NOT_DONE = text("state <> 'done'")
Index(
    "calls_not_done", calls.c.state, calls.c.id, sqlite_where=_NOT_DONE, postgresql_where=_NOT_DONE
)
Index(
    "calls_running",
    calls.c.team_id,
    calls.c.key_id,
    calls.c.owner,
    sqlite_where=_RUNNING_FOR_A_KEY,
    postgresql_where=_RUNNING_FOR_A_KEY,
)
# Of all calls: among indexes of some, SQLite would take a team's for what is one end user's.
for _column in (calls.c.key_id, calls.c.team_id):
    Index(f"calls_{_column.name}", _column, calls.c.id)
_IS_KNOWN = text("end_user <> ''")
Index(
    "calls_end_user",
    calls.c.end_user,
    calls.c.id,
    sqlite_where=_IS_KNOWN,
    postgresql_where=_IS_KNOWN,
)
Index("attempts_open", attempts.c.id, sqlite_where=_UNDER_WAY, postgresql_where=_UNDER_WAY)
# A key names one call, whoever of several processes admits it.
_HAS_KEY = text("idempotency_key IS NOT NULL")
Index(
    "calls_idempotency_key",
    calls.c.idempotency_key,
    unique=True,
    sqlite_where=_HAS_KEY,
    postgresql_where=_HAS_KEY,
)
Index("calls_fingerprint", calls.c.fingerprint, calls.c.id)
Index("assets_file", assets.c.file)
Index("assets_expiry", assets.c.expires_at)
_IN_FOLDER = text("object = ''")
Index("assets_in_folder", assets.c.id, sqlite_where=_IN_FOLDER, postgresql_where=_IN_FOLDER)

# What only an end says is left out: SQLite's driver is slow to bind a None.
INSERT_CALL = _insert(calls, without=("finished_at", "delivered_at"))
INSERT_ATTEMPT = _insert(
    attempts, without=("ended_at", "cost_e10", "usage", "upstream_status", "answer")
)
INSERT_ASSET = insert(assets).inline()

END_ATTEMPT = (
    update(attempts)
    .where(attempts.c.id == bindparam("b_id"), _ATTEMPT_MAY_END)
    .values(
        state=bindparam("b_state"),
        ended_at=bindparam("b_ended_at"),
        cost_e10=bindparam("b_cost_e10"),
        usage=bindparam("b_usage"),
        error_code=bindparam("b_error_code"),
        error_text=bindparam("b_error_text"),
        upstream_request_id=bindparam("b_upstream_request_id"),
        upstream_status=bindparam("b_upstream_status"),
        answer=bindparam("b_answer"),
        reserved=null(),
        reserved_until=null(),
    )
)
END_CALL = (
    update(calls)
    .where(calls.c.id == bindparam("b_id"), _CALL_MAY_END)
    .values(
        state=bindparam("b_state"),
        finished_at=bindparam("b_finished_at"),
        adjustments=bindparam("b_adjustments"),
        error_code=bindparam("b_error_code"),
    )
)
MARK_DELIVERED = (
    update(calls).where(calls.c.id == bindparam("b_call_id")).values(delivered_at=bindparam("b_at"))
)
FREE_KEY = (
    update(calls)
    .where(calls.c.id == bindparam("b_call_id"), text("calls.state = 'failed'"))
    .values(idempotency_key=null())
)
RECONCILE = (
    update(attempts)
    .where(attempts.c.id == bindparam("b_attempt_id"), _IS_UNKNOWN)
    .values(cost_e10=bindparam("b_cost_e10"), reserved=null())
)
FORGET_FILE = delete(assets).where(assets.c.file == bindparam("b_file"))

STORE_ASSET = (
    update(assets)
    .where(assets.c.id == bindparam("b_asset_id"), assets.c.file == bindparam("b_file"))
    .values(object=bindparam("b_object"), sha256=bindparam("b_sha256"))
)

BEGINNINGS: tuple[Insert, ...] = (INSERT_CALL, INSERT_ATTEMPT)
ENDINGS: tuple[Insert | Update | Delete, ...] = (
    END_ATTEMPT,
    END_CALL,
    INSERT_ASSET,
    MARK_DELIVERED,
    FREE_KEY,
    FORGET_FILE,
    RECONCILE,
    STORE_ASSET,
)
"""In the order of a call's life: a group runs each of them once, whatever came first in it."""

EXACT_WRITES = frozenset((END_ATTEMPT, END_CALL, MARK_DELIVERED, RECONCILE, STORE_ASSET))
"""Those that must meet exactly one row for each set of parameters."""

SELECT_CALL = select(calls).where(calls.c.id == bindparam("b_id"))
SELECT_CALL_BY_KEY = select(calls).where(calls.c.idempotency_key == bindparam("b_key"))
SELECT_LIKE_CALLS = (
    select(calls)
    .where(
        calls.c.fingerprint == bindparam("b_fingerprint"),
        calls.c.created_at >= bindparam("b_since"),
        calls.c.state != "failed",
    )
    .order_by(desc(calls.c.id))
    .limit(1)
)
SELECT_UNDELIVERED_CALLS = (
    select(calls)
    .where(
        calls.c.id > bindparam("b_after"),
        calls.c.created_at >= bindparam("b_since"),
        calls.c.fingerprint.is_not(None),
        calls.c.delivered_at.is_(None),
        calls.c.state != "failed",
    )
    .order_by(calls.c.id)
    .limit(bindparam("b_limit"))
)
SELECT_NEWEST_CALLS = (
    select(calls)
    .where(
        calls.c.id < bindparam("b_before"), calls.c.state.in_(bindparam("b_states", expanding=True))
    )
    .order_by(desc(calls.c.id))
    .limit(bindparam("b_limit"))
)
IS_KNOWN_USER = text("calls.end_user <> ''")
"""The same for the index of end users."""

IS_NOT_DONE = text("calls.state <> 'done'")
"""Beside a state that is not `done`: by it a database finds the index of the others."""

SELECT_NEWEST_NOT_DONE = SELECT_NEWEST_CALLS.where(IS_NOT_DONE)
SELECT_ATTEMPTS = (
    select(attempts).where(attempts.c.call_id == bindparam("b_id")).order_by(attempts.c.number)
)
SELECT_STATES = select(attempts.c.id, attempts.c.state).where(
    attempts.c.id.in_(bindparam("b_ids", expanding=True))
)
SELECT_ASSET = select(assets).where(assets.c.id == bindparam("b_id"))
SELECT_ASSETS = (
    select(assets)
    .where(assets.c.call_id == bindparam("b_id"))
    .order_by(assets.c.attempt_id, assets.c.index)
)
SELECT_OPEN_CALLS = (
    select(calls)
    .where(_CALL_IS_OPEN, calls.c.owner != bindparam("b_owner"), calls.c.id > bindparam("b_after"))
    .order_by(calls.c.id)
    .limit(bindparam("b_limit"))
)
SELECT_OPEN_ATTEMPTS = (
    select(attempts)
    .where(
        ATTEMPT_IS_OPEN,
        attempts.c.owner != bindparam("b_owner"),
        attempts.c.id > bindparam("b_after"),
    )
    .order_by(attempts.c.id)
    .limit(bindparam("b_limit"))
)
SELECT_EXPIRED_ASSETS = (
    select(assets)
    .where(assets.c.expires_at <= bindparam("b_now"))
    .order_by(assets.c.expires_at, assets.c.id)
    .limit(bindparam("b_limit"))
)
# Ids sort by the time they were drawn.
SELECT_OLDEST_ASSETS = (
    select(assets)
    .where(_IN_FOLDER, assets.c.id > bindparam("b_after"))
    .order_by(asc(assets.c.id))
    .limit(bindparam("b_limit"))
)
SELECT_ASSET_BYTES = select(func.coalesce(func.sum(assets.c.length), 0)).where(_IN_FOLDER)
SELECT_IN_FOLDER_OF_FILE = (
    select(assets).where(_IN_FOLDER, assets.c.file == bindparam("b_file")).limit(1)
)
