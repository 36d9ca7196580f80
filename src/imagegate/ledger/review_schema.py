"""The tables of verdicts and of what admins did, and the statements of a review."""

from sqlalchemy import (
    Column,
    ColumnClause,
    Double,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    bindparam,
    delete,
    false,
    func,
    insert,
    literal_column,
    select,
    text,
    update,
)

from imagegate.ledger.schema import assets, attempts, metadata

verdicts = Table(
    "verdicts",
    metadata,
    Column("call_id", Text, ForeignKey("calls.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("guardrail", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("category", Text, nullable=False),
    PrimaryKeyConstraint("call_id", "number", name="verdicts_call_number"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", Double, nullable=False),
    Column("key_id", Text),
    Column("role", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("request_id", Text, nullable=False),
)

INSERT_VERDICT = insert(verdicts).inline()
INSERT_AUDIT = insert(audit).inline()

# Literals, not parameters: a row fills all parameters of a statement that is run for many, and
# SQLite uses a partial index only for the very same words.
_EMPTY: ColumnClause[str] = literal_column("''")
_IS_HELD = text("substr(assets.file, 1, 5) = 'held/'")
_HELD = text("substr(file, 1, 5) = 'held/'")
Index("assets_held", assets.c.id, sqlite_where=_HELD, postgresql_where=_HELD)
RELEASE_ASSET = (
    update(assets)
    .where(assets.c.id == bindparam("b_asset_id"), _IS_HELD)
    .values(
        file=bindparam("b_file"),
        offset=literal_column("0"),
        length=bindparam("b_length"),
        encoding=literal_column("'raw'"),
        escaped=false(),
        object=_EMPTY,
        sha256=_EMPTY,
        expires_at=bindparam("b_expires_at"),
    )
)
RELEASE_ATTEMPT = (
    update(attempts)
    .where(attempts.c.id == bindparam("b_attempt_id"), text("attempts.state = 'settled'"))
    .values(error_code=_EMPTY, error_text=_EMPTY, answer=bindparam("b_answer"))
)
DROP_HELD = delete(assets).where(assets.c.id == bindparam("b_asset_id"), _IS_HELD)

SELECT_VERDICTS = (
    select(verdicts).where(verdicts.c.call_id == bindparam("b_id")).order_by(verdicts.c.number)
)
SELECT_HELD = (
    select(assets)
    .where(_IS_HELD, assets.c.id < bindparam("b_before"))
    .order_by(assets.c.id.desc())
    .limit(bindparam("b_limit"))
)
COUNT_HELD = select(func.count()).select_from(assets).where(_IS_HELD)
SELECT_HELD_ONE = select(assets).where(_IS_HELD, assets.c.id == bindparam("b_id"))
