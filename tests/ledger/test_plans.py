"""On Postgres a call reads as much as the one before it, however many rows there are by now."""

import pytest
from sqlalchemy import create_engine, make_url

from imagegate.ledger.people import AddBudget, BudgetRecord
from imagegate.ledger.records import Admit, Delivered, Limit
from tests.ledger.databases import in_loop
from tests.ledger.rows import attempt, call, settle

CALLS = 300
ROWS_A_CALL_MAX = 60
TABLES = ("calls", "attempts", "entries", "budgets")
READ = (
    "SELECT sum(seq_tup_read) + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes"
    " WHERE relname = ANY(%(tables)s)) FROM pg_stat_user_tables WHERE relname = ANY(%(tables)s)"
)
LIMITS = (Limit("key:key_1", 10**6, None, 10**6),)


def ask(url: str, sql: str) -> int | None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            found = connection.exec_driver_sql(sql, {"tables": list(TABLES)})
            return int(found.scalar_one()) if found.returns_rows else None
    finally:
        engine.dispose()


async def live(ledger, name: str) -> None:
    await ledger.commit(Admit(call(name, key_id="key_1"), attempt(name), (), LIMITS))
    await ledger.commit(settle(name, cost_e10=1_000))
    await ledger.commit(Delivered(f"call_{name}", 0.0))


@pytest.mark.parametrize("before", ["SELECT 1", "VACUUM ANALYZE"])
def test_plans_of_empty_tables_do_not_read_full_ones(postgres_server, before):
    url = postgres_server.new_url()
    ask(url, before)

    async def test(ledger) -> None:
        room = {"limit_e10": 10**15, "period_start": 0.0, "created_at": 0.0}
        for subject in ("key:key_1", "model:gpt-image-2"):
            budget = BudgetRecord(id=f"bud_{subject}", subject=subject, name=subject, **room)
            await ledger.commit(AddBudget(budget))
        for number in range(CALLS):
            await live(ledger, f"a{number}")

    in_loop(url, test)
    assert (ask(url, READ) or 0) < CALLS * ROWS_A_CALL_MAX
