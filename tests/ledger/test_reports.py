"""Pages of reports over more rows than a page has: the same sums, and no whole table read."""

import itertools
from collections import defaultdict
from typing import Any

import pytest
from sqlalchemy import Select, text
from sqlalchemy.dialects import sqlite

from imagegate.ledger import reports
from imagegate.ledger.reports import FEW_ROWS, CallsQuestion, Reports, Scope, SpendQuestion
from imagegate.ledger.store import SqlLedger, open_ledger
from tests.ledger.databases import in_loop
from tests.ledger.rows import admit, fail, settle

DAYS = [f"2026-11-{day:02}" for day in range(1, 13)]
ROWS = [
    {"value": f"user_{user:04}", "day": day, "team": f"team_{user % 7}", "cost": user + 1}
    for user, day in itertools.product(range(FEW_ROWS // len(DAYS) + 50), DAYS)
]
TEAM = Scope(team_id="team_3")
QUESTIONS = [
    (SpendQuestion(by="end_user"), Scope()),
    (SpendQuestion(by="end_user"), TEAM),
    (SpendQuestion(by="end_user", first_day=DAYS[4], last_day=DAYS[5]), Scope()),
    (SpendQuestion(by="end_user", first_day=DAYS[4], last_day=DAYS[5]), TEAM),
    (SpendQuestion(by="end_user", first_day="2026-12-01"), Scope()),
    (SpendQuestion(by="end_user", after="user_0100", limit=3), TEAM),
    (SpendQuestion(by="end_user", after="user_0100", limit=3, last_day=DAYS[0]), Scope()),
]


def expected(question: SpendQuestion, scope: Scope) -> list[tuple[str, int]]:
    sums: dict[str, int] = defaultdict(int)
    for row in ROWS:
        is_asked = question.first_day <= row["day"] <= question.last_day
        if is_asked and scope.team_id in (None, row["team"]) and row["value"] > question.after:
            sums[row["value"]] += row["cost"]
    return sorted(sums.items())[: question.limit]


async def plan_of(ledger: SqlLedger, statement: Select[Any]) -> str:
    words = {"dialect": sqlite.dialect(), "compile_kwargs": {"literal_binds": True}}
    query = f"EXPLAIN QUERY PLAN {statement.compile(**words)}"
    return await ledger.read(lambda one: str(one.exec_driver_sql(query).all()))


def test_many_days_and_few_give_the_same_sums(ledger_url):
    async def test(ledger) -> None:
        with ledger._database.writer.begin() as connection:
            statement = (
                "INSERT INTO spend_days (dimension, value, day, team_id, charged_e10, held_e10,"
                " attempts, unknown) VALUES ('end_user', :value, :day, :team, :cost, 0, 1, 0)"
            )
            connection.execute(text(statement), ROWS)
        await ledger.aclose()
        reopened = open_ledger(ledger_url)
        for question, scope in QUESTIONS:
            found = await Reports(reopened).spend(question, scope)
            assert [(row.value, row.charged_e10) for row in found] == expected(question, scope)
        if not reopened.is_shared:
            query = reports._spend(QUESTIONS[0][0], TEAM, is_sparse=False)
            assert "spend_days_team (dimension=? AND team_id=?" in await plan_of(reopened, query)
        await reopened.aclose()

    in_loop(ledger_url, test)


STATES = {"a": "done", "b": "failed", "c": "unknown", "d": "running", "e": "done"}


def test_calls_are_found_by_state_and_by_end_user(ledger_url):
    async def test(ledger) -> None:
        for name, state in STATES.items():
            await ledger.commit(admit(name, end_user="zoe" if name in "ab" else ""))
            if state == "done":
                await ledger.commit(settle(name))
            elif state != "running":
                await ledger.commit(fail(name, "refused" if state == "failed" else "unknown"))
        asked = Reports(ledger)
        for state in ("done", "failed", "unknown", "running"):
            found = await asked.calls(CallsQuestion(state=state), Scope())
            names = [row.call.id[-1] for row in found]
            assert names == sorted((n for n, s in STATES.items() if s == state), reverse=True)
            newest = await ledger.newest_calls(states=[state])
            assert [call.id[-1] for call in newest] == names
        found = await asked.calls(CallsQuestion(end_user="zoe"), Scope())
        assert [row.call.id[-1] for row in found] == ["b", "a"]

    in_loop(ledger_url, test)


DAY = SpendQuestion(by="end_user", first_day=DAYS[0], last_day=DAYS[0])


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (reports._calls(CallsQuestion(before="call_1"), Scope()), "sqlite_autoindex_calls_1 (id<?"),
        (reports._calls(CallsQuestion(), TEAM), "calls_team_id (team_id=?"),
        (reports._calls(CallsQuestion(), Scope(key_id="key_1")), "calls_key_id (key_id=?"),
        (reports._calls(CallsQuestion(end_user="zoe"), Scope()), "calls_end_user (end_user=?"),
        (reports._calls(CallsQuestion(end_user="zoe"), TEAM), "calls_end_user (end_user=?"),
        (reports._calls(CallsQuestion(state="failed"), Scope()), "calls_not_done (state=?"),
        (reports._calls(CallsQuestion(state="failed"), TEAM), "calls_not_done (state=?"),
        (reports._spend(DAY, Scope(), is_sparse=False), "PRIMARY KEY (dimension=?"),
        (reports._spend(DAY, Scope(), is_sparse=True), "spend_days_day (dimension=? AND day>?"),
    ],
)
def test_a_page_is_found_by_an_index(tmp_path, statement, index):
    async def test(ledger) -> None:
        plan = await plan_of(ledger, statement)
        assert index in plan
        assert "B-TREE FOR ORDER BY" not in plan

    in_loop(f"sqlite:///{tmp_path}/ledger.db", test)
