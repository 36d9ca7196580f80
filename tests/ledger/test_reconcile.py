"""An operator says what a held charge was: once, in whole entries."""

import pytest

from imagegate.ledger.people import AddBudget
from imagegate.ledger.records import ConflictError
from imagegate.ledger.reports import Reports
from imagegate.ledger.review import Reconcile
from tests.ledger.databases import in_loop
from tests.ledger.rows import ENDED_AT, attempt, budget, fail, settle
from tests.ledger.test_money import KEY, PRICE_E10, asked, budgets, rows

HOLD = ("hold", "team:team_1", "held:openai", PRICE_E10)
UNHOLD = ("unhold", "held:openai", "team:team_1", PRICE_E10)


def reconcile(name: str, cost_e10: int) -> Reconcile:
    return Reconcile(attempt(name).id, cost_e10, ENDED_AT + 1)


@pytest.mark.parametrize("cost_e10", [0, 9, 3 * PRICE_E10])
@pytest.mark.parametrize("end", [lambda: fail("a", "unknown"), lambda: settle("a")])
def test_a_held_charge_is_settled_once(ledger_url, end, cost_e10):
    async def test(ledger):
        await ledger.commit(AddBudget(budget(KEY, 2 * PRICE_E10)))
        await ledger.commit(asked("a"))
        await ledger.commit(end())
        assert await budgets(ledger) == {KEY: (PRICE_E10, 0)}
        await ledger.commit(reconcile("a", cost_e10))
        with pytest.raises(ConflictError):
            await ledger.commit(reconcile("a", cost_e10))
        assert await budgets(ledger) == {KEY: (cost_e10, 0)}
        found = await rows(
            ledger, "SELECT kind, debit, credit, amount_e10 FROM entries ORDER BY kind"
        )
        charge = ("charge", "team:team_1", "provider:openai", cost_e10)
        assert found == [*([charge] if cost_e10 else []), HOLD, UNHOLD]
        sums = "SELECT DISTINCT charged_e10, held_e10, attempts, unknown FROM spend_days"
        in_sums = {(0, 0, 0, 0), (cost_e10, 0, 1, 0)} if cost_e10 else {(0, 0, 0, 0)}
        assert set(await rows(ledger, sums)) <= in_sums
        assert await Reports(ledger).unknown_charges(after="", limit=9) == ()

    in_loop(ledger_url, test)


@pytest.mark.parametrize("end", [None, lambda: settle("a", cost_e10=5)])
def test_what_is_open_or_known_is_not_settled(ledger_url, end):
    async def test(ledger):
        await ledger.commit(asked("a"))
        if end is not None:
            await ledger.commit(end())
        with pytest.raises(ConflictError):
            await ledger.commit(reconcile("a", 7))
        assert await rows(ledger, "SELECT count(*) FROM entries") == [(1 if end else 0,)]

    in_loop(ledger_url, test)


def test_an_image_that_comes_after_all_does_not_charge_again(ledger_url):
    async def test(ledger):
        await ledger.commit(asked("a"))
        await ledger.commit(fail("a", "unknown"))
        await ledger.commit(reconcile("a", 9))
        with pytest.raises(ConflictError):
            await ledger.commit(settle("a", cost_e10=11))
        assert await rows(ledger, "SELECT cost_e10, state FROM attempts") == [(9, "unknown")]

    in_loop(ledger_url, test)
