"""The table of webhooks' messages, and each of its statements once; see `schema`."""

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import (
    Column,
    Double,
    Executable,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    bindparam,
    select,
    text,
    update,
)

from imagegate.ledger.schema import calls, metadata, typed
from imagegate.ledger.webhooks import AddWebhook, HastenWebhooks, WebhookCommand, WebhookRecord

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("call_id", Text, ForeignKey("calls.id"), nullable=False),
    Column("url", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("due_at", Double, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("error_text", Text, nullable=False),
)
_IS_WAITING = text("state = 'waiting'")
Index("webhooks_due", webhooks.c.due_at, sqlite_where=_IS_WAITING, postgresql_where=_IS_WAITING)
Index("webhooks_call", webhooks.c.call_id)

INSERT_WEBHOOK = typed(
    webhooks,
    "INSERT INTO webhooks (id, call_id, url, holder, state, tries, due_at, created_at, ended_at,"
    " error_text) VALUES (:id, :call_id, :url, :holder, :state, :tries, :due_at, :created_at,"
    " :ended_at, :error_text) ON CONFLICT (id) DO NOTHING",
)
CHANGE_WEBHOOK = (
    update(webhooks)
    .where(
        webhooks.c.id == bindparam("b_id"),
        webhooks.c.tries == bindparam("b_tries_before"),
        text("webhooks.state = 'waiting'"),
    )
    .values(
        state=bindparam("b_state"),
        tries=bindparam("b_tries"),
        due_at=bindparam("b_due_at"),
        ended_at=bindparam("b_ended_at"),
        error_text=bindparam("b_error_text"),
    )
)
HASTEN_WEBHOOKS = (
    update(webhooks)
    .where(text("webhooks.state = 'waiting'"), webhooks.c.due_at > bindparam("b_due_at"))
    .values(due_at=bindparam("b_due_at"))
)
SELECT_DUE = (
    select(webhooks)
    .join(calls)
    .where(
        text("webhooks.state = 'waiting'"),
        webhooks.c.due_at <= bindparam("b_now"),
        calls.c.state != "running",
    )
    .order_by(webhooks.c.due_at)
    .limit(bindparam("b_limit"))
)
SELECT_OF_CALL = select(webhooks).where(webhooks.c.call_id == bindparam("b_id"))


class _Changed(WebhookRecord, frozen=True, kw_only=True):
    """A message as it is from now on, and how often it was tried before."""

    tries_before: int


def write_of(command: WebhookCommand) -> tuple[Executable, Struct]:
    """Return what a command is in SQL."""
    if isinstance(command, HastenWebhooks):
        return HASTEN_WEBHOOKS, command
    if isinstance(command, AddWebhook):
        return INSERT_WEBHOOK, command.webhook
    return CHANGE_WEBHOOK, _Changed(**asdict(command.webhook), tries_before=command.tries)
