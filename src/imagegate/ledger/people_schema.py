"""The tables of those who may ask (teams, keys, end users, budgets), and their statements."""

from sqlalchemy import (
    LABEL_STYLE_TABLENAME_PLUS_COL,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    delete,
    insert,
    null,
    select,
    text,
    update,
)

from imagegate.ledger.schema import metadata, typed

teams = Table(
    "teams",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("is_blocked", Boolean, nullable=False),
    Column("prompt_storage", Text, nullable=False),
    Column("permissions", Text, nullable=False),
    Column("created_at", Double, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("team_id", Text, ForeignKey("teams.id")),
    Column("role", Text, nullable=False),
    Column("permissions", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
)

secrets = Table(
    "secrets",
    metadata,
    Column("prefix", Text, primary_key=True),
    Column("key_id", Text, ForeignKey("keys.id"), nullable=False),
    Column("sha256", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
)

end_users = Table(
    "end_users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("is_blocked", Boolean, nullable=False),
    Column("note", Text, nullable=False),
    Column("created_at", Double, nullable=False),
)

budgets = Table(
    "budgets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("team_id", Text, ForeignKey("teams.id")),
    Column("limit_e10", BigInteger, nullable=False),
    Column("soft_e10", BigInteger),
    Column("period", Text, nullable=False),
    Column("period_start", Double, nullable=False),
    Column("resets_at", Double),
    Column("spent_e10", BigInteger, nullable=False),
    Column("reserved_e10", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("template_id", Text),
    UniqueConstraint("subject", "period", name="budgets_subject_period"),
)

Index("keys_team", keys.c.team_id, keys.c.id)
Index("secrets_key", secrets.c.key_id)
Index("budgets_team", budgets.c.team_id, budgets.c.id)
_IS_DERIVED = text("template_id IS NOT NULL")
Index(
    "budgets_template",
    budgets.c.template_id,
    sqlite_where=_IS_DERIVED,
    postgresql_where=_IS_DERIVED,
)

INSERT_TEAM = insert(teams).inline()
INSERT_KEY = insert(keys).inline()
INSERT_SECRET = insert(secrets).inline()
INSERT_BUDGET = insert(budgets).inline()

CHANGE_TEAM = (
    update(teams)
    .where(teams.c.id == bindparam("b_id"))
    .values(
        name=bindparam("b_name"),
        is_blocked=bindparam("b_is_blocked"),
        prompt_storage=bindparam("b_prompt_storage"),
        permissions=bindparam("b_permissions"),
    )
)
CHANGE_KEY = (
    update(keys)
    .where(keys.c.id == bindparam("b_id"))
    .values(
        name=bindparam("b_name"),
        role=bindparam("b_role"),
        permissions=bindparam("b_permissions"),
        tags=bindparam("b_tags"),
        expires_at=bindparam("b_expires_at"),
        revoked_at=bindparam("b_revoked_at"),
    )
)
END_SECRETS = (
    update(secrets)
    .where(
        secrets.c.key_id == bindparam("b_key_id"),
        secrets.c.expires_at.is_(None) | (secrets.c.expires_at > bindparam("b_others_end_at")),
    )
    .values(expires_at=bindparam("b_others_end_at"))
)
PUT_END_USER = typed(
    end_users,
    "INSERT INTO end_users (id, is_blocked, note, created_at)"
    " VALUES (:id, :is_blocked, :note, :created_at) ON CONFLICT (id)"
    " DO UPDATE SET is_blocked = excluded.is_blocked, note = excluded.note",
)
CHANGE_BUDGET = (
    update(budgets)
    .where(budgets.c.id == bindparam("b_id"))
    .values(
        name=bindparam("b_name"),
        limit_e10=bindparam("b_limit_e10"),
        soft_e10=bindparam("b_soft_e10"),
        template_id=null(),
    )
)
IS_LIKE_IT = budgets.c.template_id == bindparam("b_id")
CHANGE_LIKE_IT = (
    update(budgets)
    .where(IS_LIKE_IT)
    .values(limit_e10=bindparam("b_limit_e10"), soft_e10=bindparam("b_soft_e10"))
)
REMOVE_LIKE_IT = delete(budgets).where(IS_LIKE_IT)
REMOVE_BUDGET = delete(budgets).where(budgets.c.id == bindparam("b_id"))

SELECT_BY_PREFIX = (
    select(keys, teams, secrets)
    .select_from(secrets.join(keys).outerjoin(teams))
    .where(secrets.c.prefix == bindparam("b_prefix"))
    .set_label_style(LABEL_STYLE_TABLENAME_PLUS_COL)
)
SELECT_END_USER = select(end_users).where(end_users.c.id == bindparam("b_id"))
