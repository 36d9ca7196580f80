"""Rows of messages: due when their call has ended, and in the hands of one process at a time."""

import pytest
from msgspec.structs import replace

from imagegate.ledger.records import ConflictError
from imagegate.ledger.store import SqlLedger
from imagegate.ledger.webhook_schema import SELECT_DUE, SELECT_OF_CALL
from imagegate.ledger.webhooks import AddWebhook, ChangeWebhook, HastenWebhooks, WebhookRecord
from tests.ledger.databases import in_loop
from tests.ledger.rows import CREATED_AT, admit, settle


def webhook(name: str) -> WebhookRecord:
    return WebhookRecord(
        id=f"msg_{name}",
        call_id=f"call_{name}",
        url="https://hooks.example/",
        holder="key_1",
        due_at=CREATED_AT,
        created_at=CREATED_AT,
    )


async def due(ledger: SqlLedger, now_s: float) -> list[str]:
    found = await ledger.select(WebhookRecord, SELECT_DUE, b_now=now_s, b_limit=9)
    return [one.id for one in found]


def test_a_message_is_due_when_its_call_has_ended(ledger_url: str) -> None:
    async def test(ledger: SqlLedger) -> None:
        for name in ("a", "b"):
            await ledger.commit(admit(name))
            await ledger.commit(AddWebhook(webhook(name)))
        await ledger.commit(settle("a"))
        assert await due(ledger, CREATED_AT - 1) == []
        assert await due(ledger, CREATED_AT) == ["msg_a"]

    in_loop(ledger_url, test)


def test_one_of_two_takes_a_message(ledger_url: str) -> None:
    async def test(ledger: SqlLedger) -> None:
        await ledger.commit(admit("a"))
        first = webhook("a")
        await ledger.commit(AddWebhook(first))
        taken = replace(first, tries=1, due_at=CREATED_AT + 30)
        await ledger.commit(ChangeWebhook(taken, 0))
        with pytest.raises(ConflictError):
            await ledger.commit(ChangeWebhook(taken, 0))
        await ledger.commit(ChangeWebhook(replace(taken, state="delivered"), 1))
        with pytest.raises(ConflictError):
            await ledger.commit(ChangeWebhook(replace(taken, tries=2), 1))

    in_loop(ledger_url, test)


def test_a_message_that_is_there_stays_as_it_is(ledger_url: str) -> None:
    async def test(ledger: SqlLedger) -> None:
        await ledger.commit(admit("a"))
        first = webhook("a")
        await ledger.commit(AddWebhook(first))
        taken = replace(first, tries=1, due_at=CREATED_AT + 30)
        await ledger.commit(ChangeWebhook(taken, 0))
        await ledger.commit(AddWebhook(first))
        assert await ledger.select(WebhookRecord, SELECT_OF_CALL, b_id="call_a") == (taken,)

    in_loop(ledger_url, test)


def test_to_hasten_makes_no_message_later(ledger_url: str) -> None:
    async def test(ledger: SqlLedger) -> None:
        await ledger.commit(admit("a"))
        for name, due_at in (("soon", 2.0), ("late", 9.0)):
            message = replace(webhook("a"), id=f"msg_{name}", due_at=due_at)
            await ledger.commit(AddWebhook(message))
        await ledger.commit(HastenWebhooks(5.0))
        found = await ledger.select(WebhookRecord, SELECT_OF_CALL, b_id="call_a")
        assert {one.id: one.due_at for one in found} == {"msg_soon": 2.0, "msg_late": 5.0}

    in_loop(ledger_url, test)
