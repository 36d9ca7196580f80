"""What the database itself refuses, whatever the code above it does."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tests.ledger.databases import in_loop
from tests.ledger.rows import admit, settle

TWICE = {
    "a key names one call": (
        "UPDATE calls SET idempotency_key = 'k'",
    ),
    "an attempt has its number": (
        "UPDATE attempts SET number = 1, call_id = 'call_a'",
    ),
    "an image has its place": (
        "UPDATE assets SET call_id = 'call_a', attempt_id = 'att_a_1', \"index\" = 0",
    ),
    "an attempt is charged once": (
        ("INSERT INTO entries (attempt_id, kind, debit, credit, amount_e10, at)"
        " SELECT attempt_id, kind, debit, credit, amount_e10, at FROM entries"),
    ),
    "a subject has one budget a period": (
        ("INSERT INTO budgets (id, subject, name, limit_e10, period, period_start, spent_e10,"
        " reserved_e10, created_at) VALUES ('b1', 'key:k', 'n', 1, 'day', 0, 0, 0, 0)"),
        ("INSERT INTO budgets (id, subject, name, limit_e10, period, period_start, spent_e10,"
        " reserved_e10, created_at) VALUES ('b2', 'key:k', 'n', 1, 'day', 0, 0, 0, 0)"),
    ),
    "a team has its name": (
        ("INSERT INTO teams (id, name, is_blocked, prompt_storage, permissions, created_at)"
        " VALUES ('t1', 'Red', false, 'none', '{}', 0)"),
        ("INSERT INTO teams (id, name, is_blocked, prompt_storage, permissions, created_at)"
        " VALUES ('t2', 'Red', false, 'none', '{}', 0)"),
    ),
    "an attempt belongs to a call": ("UPDATE attempts SET call_id = 'nothing'",),
}  # fmt: skip


@pytest.mark.parametrize("statements", TWICE.values(), ids=TWICE.keys())
def test_what_is_there_once_is_refused_twice(ledger_url, statements):
    async def test(ledger) -> None:
        for name in ("a", "b"):
            await ledger.commit(admit(name))
            await ledger.commit(settle(name, cost_e10=5))
        with ledger._database.writer.connect() as connection:
            for statement in statements[:-1]:
                connection.execute(text(statement))
            with pytest.raises(IntegrityError):
                connection.execute(text(statements[-1]))
            connection.rollback()

    in_loop(ledger_url, test)
