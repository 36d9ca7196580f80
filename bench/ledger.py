"""What the ledger costs a call, and how long a page of a report takes: `python -m bench.ledger`.

The CPU time is that of this process, both commits of a call (admit, settle) on uvloop with 2 ms of
pretended upstream between them, less the same with a ledger in memory. `--pages` fills a ledger
with a million calls and reads pages of it.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import uvloop
from sqlalchemy import text

from imagegate.ledger.memory import MemoryLedger
from imagegate.ledger.people import AddBudget, BudgetRecord
from imagegate.ledger.records import (
    Admit,
    AttemptEnd,
    AttemptRecord,
    CallEnd,
    CallRecord,
    Limit,
    Settle,
)
from imagegate.ledger.reports import CallsQuestion, Reports, Scope, SpendQuestion
from imagegate.ledger.store import SqlLedger, open_ledger

CALLS = 3000
UPSTREAM_S = 0.002
ROUNDS = 3
ROWS = 1_000_000
PAGES = 30


def commands(name: str, *, is_known: bool) -> tuple[Admit, Settle]:
    now_s = time.time()
    who = {"key_id": "key_1", "team_id": "team_1", "end_user": "zoe", "tags": '["web"]'}
    call = CallRecord(
        id=f"call_{name}",
        operation="generate",
        model="img",
        created_at=now_s,
        owner="own_1",
        **who if is_known else {},
    )
    attempt = AttemptRecord(
        id=f"att_{name}",
        call_id=call.id,
        number=1,
        deployment_id="dep_1",
        provider="openai",
        upstream_model="gpt-image-2",
        dispatched_at=now_s,
        estimate_e10=1000,
        owner="own_1",
    )
    limits = (Limit("key:key_1", 10**9, 10**9, 10**6), Limit("team:team_1", 10**9, None, 10**6))
    end = AttemptEnd(id=attempt.id, state="settled", ended_at=now_s, cost_e10=900)
    ended = CallEnd(id=call.id, state="done", finished_at=now_s)
    return Admit(call, attempt, (), limits if is_known else ()), Settle(end, (), ended)


async def add_budgets(ledger: SqlLedger) -> None:
    for subject in ("key:key_1", "team:team_1", "model:img", "provider:openai"):
        budget = BudgetRecord(
            id=f"bud_{subject}",
            subject=subject,
            name=subject,
            limit_e10=10**15,
            period_start=0.0,
            created_at=0.0,
        )
        await ledger.commit(AddBudget(budget))


async def drive(ledger: SqlLedger | MemoryLedger, *, width: int, is_known: bool, tag: str) -> float:
    """Return ms of CPU a call."""
    count = CALLS if width > 1 else CALLS // 5
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            admit, settle = commands(f"{tag}{number}", is_known=is_known)
            await ledger.commit(admit)
            await asyncio.sleep(UPSTREAM_S)
            await ledger.commit(settle)

    before = time.process_time()
    await asyncio.gather(*(caller() for _ in range(width)))
    return (time.process_time() - before) * 1000 / count


async def measure(url: str | None, *, width: int, is_known: bool) -> float:
    """Return the median ms of CPU a call, of several rounds; no url: a ledger in memory."""
    ledger: SqlLedger | MemoryLedger = MemoryLedger() if url is None else open_ledger(url)
    try:
        if is_known and isinstance(ledger, SqlLedger):
            await add_budgets(ledger)
        rounds = [
            await drive(ledger, width=width, is_known=is_known, tag=f"{width}{is_known}{number}_")
            for number in range(ROUNDS)
        ]
    finally:
        await ledger.aclose()
    return statistics.median(rounds)


def report_costs(new_url: Callable[[str], str], kind: str) -> None:
    for width in (16, 1):
        off = uvloop.run(measure(None, width=width, is_known=False))
        plain = uvloop.run(measure(new_url(f"plain{width}"), width=width, is_known=False))
        known = uvloop.run(measure(new_url(f"known{width}"), width=width, is_known=True))
        print(
            f"{kind:9} {width:3} at once: off {off:.3f}, calls only +{plain - off:.3f}, keys, "
            f"4 budgets, limits and spend +{known - off:.3f} ms of CPU a call"
        )


FILL = (
    """INSERT INTO calls (id, operation, model, state, key_id, end_user, created_at, adjustments,
        error_code, owner, team_id, tags, prompt)
    {numbers} SELECT 'call_' || {pad}, 'generate', 'img',
        CASE WHEN i % 1000 = 7 THEN 'failed' ELSE 'done' END, 'key_' || (i % 100),
        'user_' || (i % 100000), 1.7e9 + i, '[]', '', 'own_1', 'team_' || (i % 10), '[]', ''
    FROM n""",
    """INSERT INTO attempts (id, call_id, number, deployment_id, provider, upstream_model, state,
        dispatched_at, price, cost_e10, error_code, error_text, upstream_request_id, owner)
    {numbers} SELECT 'att_' || {pad}, 'call_' || {pad}, 1, 'd', 'openai', 'm', 'settled',
        1.7e9 + i, '', 5, '', '', '', 'own_1'
    FROM n""",
    """INSERT INTO spend_days (dimension, value, day, team_id, charged_e10, held_e10, attempts,
        unknown)
    {numbers} SELECT 'end_user', 'user_' || (i % 100000), '2026-01-' || (10 + i / 100000),
        'team_' || (i % 10), 5, 0, 1, 0
    FROM n""",
)


def fill(ledger: SqlLedger) -> None:
    """Write a million calls of a hundred keys, ten teams and a hundred thousand end users."""
    steps = f"SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS - 1}"
    numbers = f"WITH RECURSIVE n(i) AS ({steps})"
    pad = "substr(CAST(1000000000 + i AS TEXT), 2)"
    with ledger._database.writer.begin() as connection:
        if ledger.is_shared:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        for statement in FILL:
            connection.execute(text(statement.format(numbers=numbers, pad=pad)))
        if ledger.is_shared:
            connection.execute(text("ANALYZE"))  # as Postgres does by itself
    if not ledger.is_shared:
        # As after some time of service: what was written stands in the file itself.
        with ledger._database.readers.connect() as connection:
            connection.execute(text("PRAGMA query_only=OFF"))
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
            connection.execute(text("PRAGMA query_only=ON"))


EVERYBODY, TEAM = Scope(), Scope(team_id="team_3")
DAY = {"first_day": "2026-01-19", "last_day": "2026-01-19"}
QUESTIONS = (
    ("calls", CallsQuestion(limit=100, before="call_0005"), EVERYBODY),
    ("calls, last page", CallsQuestion(limit=100, before="call_000000050"), EVERYBODY),
    ("calls of a team", CallsQuestion(limit=100, before="call_0005"), TEAM),
    ("calls of a key", CallsQuestion(limit=100), Scope(key_id="key_3")),
    ("calls of an end user", CallsQuestion(limit=100, end_user="user_77"), EVERYBODY),
    ("the same in a team", CallsQuestion(limit=100, end_user="user_73"), TEAM),
    ("calls that failed", CallsQuestion(limit=100, state="failed"), EVERYBODY),
    ("the same of a team", CallsQuestion(limit=100, state="failed"), TEAM),
    ("calls unknown: none", CallsQuestion(limit=100, state="unknown"), EVERYBODY),
    ("spend by end user", SpendQuestion(by="end_user", limit=100), EVERYBODY),
    ("the same, last page", SpendQuestion(by="end_user", limit=100, after="user_999"), EVERYBODY),
    ("the same of a team", SpendQuestion(by="end_user", limit=100), TEAM),
    ("the same of one day", SpendQuestion(by="end_user", limit=100, **DAY), EVERYBODY),
    (
        "the same since then: none",
        SpendQuestion(by="end_user", limit=100, first_day="2026-02-01"),
        EVERYBODY,
    ),
    ("spend by team", SpendQuestion(by="team", limit=100), EVERYBODY),
)


async def pages(ledger: SqlLedger, kind: str) -> None:
    reports = Reports(ledger)
    for name, question, scope in QUESTIONS:
        took = []
        ask: Callable[..., Awaitable[Sequence[object]]] = (
            reports.calls if isinstance(question, CallsQuestion) else reports.spend
        )
        for _ in range(PAGES):
            started = time.perf_counter()
            rows = await ask(question, scope)
            took.append((time.perf_counter() - started) * 1000)
        print(
            f"{kind:9} {name:28} {len(rows):3} rows, median {statistics.median(took):6.1f} ms,"
            f" slowest {max(took):.1f}"
        )


def report_pages(url: str, kind: str) -> None:
    async def run() -> None:
        ledger = open_ledger(url)
        try:
            await asyncio.to_thread(fill, ledger)
            await pages(ledger, kind)
        finally:
            await ledger.aclose()

    uvloop.run(run())


def main() -> None:
    from tests.ledger.databases import PostgresServer

    with tempfile.TemporaryDirectory() as folder:
        server = PostgresServer(Path(tempfile.mkdtemp(prefix="imagegate-bench-")))
        try:
            if "--pages" in sys.argv:
                report_pages(f"sqlite:///{folder}/pages.db", "SQLite")
                report_pages(server.new_url(), "Postgres")
            else:
                report_costs(lambda name: f"sqlite:///{folder}/{name}.db", "SQLite")
                report_costs(lambda _: server.new_url(), "Postgres")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
