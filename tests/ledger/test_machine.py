"""A machine that reserves, settles, releases, holds, reconciles, crashes and repeats, in any order.

It keeps its own account of every attempt; after each step the ledger's budgets, reservations,
entries and sums of the day have to say the same.
"""

import asyncio
import itertools
import json
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from msgspec import Struct
from sqlalchemy import text

from imagegate.ledger.people import AddBudget
from imagegate.ledger.records import (
    Admit,
    BudgetDeniedError,
    ConflictError,
    HoldOrphans,
    KeepAlive,
    Redispatch,
    Settle,
)
from imagegate.ledger.review import Reconcile
from imagegate.ledger.store import open_ledger
from tests.ledger.databases import PostgresServer
from tests.ledger.rows import ENDED_AT, attempt, attempt_end, budget, call, call_end, fail

LIMIT_E10 = 100
KEY, PROVIDER = "key:key_1", "provider:openai"
amounts = st.integers(0, 60)


class Money(Struct):
    """What the machine knows of an attempt: how much is set aside, held, and charged."""

    name: str
    number: int
    estimate_e10: int
    reserved_e10: int = 0
    held_e10: int = 0
    charged_e10: int = 0
    has_ended: bool = False


class LedgerMachine(RuleBasedStateMachine):
    """The ledger at `url`, and beside it a dict."""

    url = ""
    attempts = Bundle("attempts")
    unknown = Bundle("unknown")
    unpriced = Bundle("unpriced")
    done = Bundle("done")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.names = itertools.count()
        self.owners = itertools.count()
        self.known: dict[str, Money] = {}
        self.open()
        for subject in (KEY, PROVIDER):
            self.commit(AddBudget(budget(subject, LIMIT_E10)))

    def open(self) -> None:
        self.owner = f"own_{next(self.owners)}"
        self.ledger = open_ledger(self.url)
        self.commit(KeepAlive(self.owner))

    def teardown(self) -> None:
        self.run(self.ledger.aclose())
        self.runner.close()

    def run(self, work):
        return self.runner.run(work)

    def commit(self, command) -> None:
        self.run(self.ledger.commit(command))

    def rows(self, query: str) -> list[tuple]:
        return self.run(
            self.ledger.read(lambda one: [tuple(row) for row in one.execute(text(query))])
        )

    @property
    def taken_e10(self) -> int:
        return sum(one.reserved_e10 + one.held_e10 + one.charged_e10 for one in self.known.values())

    @rule(target=attempts, estimate=amounts)
    def reserve(self, estimate: int):
        name = f"n{next(self.names)}"
        tried = attempt(name, estimate_e10=estimate, owner=self.owner)
        admission = Admit(call(name, key_id="key_1", owner=self.owner), tried)
        if self.taken_e10 + estimate > LIMIT_E10:
            with pytest.raises(BudgetDeniedError):
                self.commit(admission)
            return multiple()
        self.commit(admission)
        with pytest.raises((ConflictError, BudgetDeniedError)):
            self.commit(admission)
        self.known[tried.id] = Money(name, 1, estimate, reserved_e10=estimate)
        return tried.id

    @rule(target=attempts, tried=consumes(attempts), estimate=amounts)
    def move(self, tried: str, estimate: int):
        """Go elsewhere: what was set aside for the one is free for the other."""
        one = self.known[tried]
        other = attempt(one.name, one.number + 1, estimate_e10=estimate, owner=self.owner)
        ended = attempt_end(one.name, "unsent", one.number, cost_e10=0)
        # A hold is not given back before its attempt has ended.
        if self.taken_e10 - one.reserved_e10 + estimate > LIMIT_E10:
            with pytest.raises(BudgetDeniedError):
                self.commit(Redispatch(other, ended))
            return tried
        self.commit(Redispatch(other, ended))
        self.end(one, charged_e10=0)
        self.known[other.id] = Money(one.name, one.number + 1, estimate, reserved_e10=estimate)
        return other.id

    @rule(target=done, tried=consumes(attempts), share=st.integers(0, 100))
    def settle(self, tried: str, share: int):
        one = self.known[tried]
        cost = one.estimate_e10 * share // 100
        self.finish(one, "settled", cost_e10=cost)
        self.end(one, charged_e10=cost)
        return tried

    @rule(target=unpriced, tried=consumes(attempts))
    def settle_without_a_cost(self, tried: str):
        one = self.known[tried]
        self.finish(one, "settled")
        self.hold(one)
        return tried

    @rule(target=done, tried=consumes(attempts), state=st.sampled_from(["unsent", "refused"]))
    def release(self, tried: str, state):
        one = self.known[tried]
        self.finish(one, state, cost_e10=0)
        self.end(one, charged_e10=0)
        return tried

    @rule(target=unknown, tried=consumes(attempts))
    def lose_sight(self, tried: str):
        one = self.known[tried]
        self.finish(one, "unknown")
        self.hold(one)
        return tried

    @rule(target=done, tried=consumes(unknown), share=st.integers(0, 100))
    def settle_late(self, tried: str, share: int):
        one = self.known[tried]
        cost = one.estimate_e10 * share // 100
        self.finish(one, "settled", cost_e10=cost)
        self.end(one, charged_e10=cost)
        return tried

    @rule(
        target=done,
        tried=st.one_of(consumes(unknown), consumes(unpriced)),
        share=st.integers(0, 100),
    )
    def reconcile(self, tried: str, share: int):
        one = self.known[tried]
        command = Reconcile(tried, one.estimate_e10 * share // 100, ENDED_AT)
        self.commit(command)
        with pytest.raises(ConflictError):
            self.commit(command)
        self.end(one, charged_e10=command.cost_e10)
        return tried

    @rule(tried=done)
    def repeat(self, tried: str) -> None:
        one = self.known[tried]
        with pytest.raises(ConflictError):
            self.finish(one, "settled", cost_e10=1)

    @rule()
    def look_for_orphans(self) -> None:
        """Nobody has died, so nothing is held."""
        self.commit(HoldOrphans())

    @rule()
    def crash(self) -> None:
        """The process dies; the next one's reaper runs when the lease is over."""
        self.run(self.ledger.aclose())
        self.open()
        self.edit(f"UPDATE owners SET alive_until = 1 WHERE id <> '{self.owner}'")
        self.edit("UPDATE attempts SET reserved_until = 1 WHERE reserved_until IS NOT NULL")
        self.commit(HoldOrphans())
        self.commit(HoldOrphans())
        for one in self.known.values():
            if not one.has_ended and one.reserved_e10 is not None:
                self.hold(one)
        assert self.rows("SELECT sum(reserved_e10) FROM budgets") == [(0,)]

    def edit(self, statement: str) -> None:
        with self.ledger._database.writer.begin() as connection:
            connection.execute(text(statement))

    def finish(self, one: Money, state, **changes) -> None:
        changes["number"] = one.number
        if state == "settled":
            self.commit(Settle(attempt_end(one.name, state, **changes), (), call_end(one.name)))
        else:
            self.commit(fail(one.name, state, **changes))

    def end(self, one: Money, charged_e10: int) -> None:
        one.reserved_e10 = one.held_e10 = 0
        one.charged_e10 = charged_e10
        one.has_ended = True

    def hold(self, one: Money) -> None:
        one.held_e10, one.reserved_e10 = one.held_e10 + one.reserved_e10, 0

    @invariant()
    def budgets_agree(self) -> None:
        reserved = sum(one.reserved_e10 for one in self.known.values())
        spent = self.taken_e10 - reserved
        query = "SELECT spent_e10, reserved_e10 FROM budgets"
        assert self.rows(query) == [(spent, reserved)] * 2
        assert spent + reserved <= LIMIT_E10
        open_rows = "SELECT estimate_e10, reserved FROM attempts WHERE reserved_until IS NOT NULL"
        found = [amount * len(json.loads(budgets)) for amount, budgets in self.rows(open_rows)]
        assert sum(found) == 2 * reserved

    @invariant()
    def entries_agree(self) -> None:
        net = (
            "SELECT coalesce(sum(CASE kind WHEN 'unhold' THEN -amount_e10 ELSE amount_e10 END), 0)"
            " FROM entries"
        )
        spent = sum(one.held_e10 + one.charged_e10 for one in self.known.values())
        assert self.rows(net) == [(spent,)]
        days = (
            "SELECT coalesce(sum(charged_e10), 0), coalesce(sum(held_e10), 0)"
            " FROM spend_days WHERE dimension = 'key'"
        )
        charged = sum(one.charged_e10 for one in self.known.values())
        assert self.rows(days) == [(charged, spent - charged)]


def run_machine(url_of_next, *, examples: int, steps: int) -> None:
    class Machine(LedgerMachine):
        def __init__(self) -> None:
            self.url = url_of_next()
            super().__init__()

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_any_order_of_steps_keeps_a_file_exact() -> None:
    folder = Path(tempfile.mkdtemp(prefix="imagegate-machine-"))
    numbers = itertools.count()
    try:
        run_machine(lambda: f"sqlite:///{folder}/{next(numbers)}.db", examples=40, steps=30)
    finally:
        shutil.rmtree(folder)


def test_any_order_of_steps_keeps_a_postgres_exact(postgres_server: PostgresServer) -> None:
    run_machine(postgres_server.new_url, examples=6, steps=25)
