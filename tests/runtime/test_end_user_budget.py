import pytest

from imagegate.ledger.budget import EVERY_END_USER
from imagegate.ledger.people import AddBudget
from imagegate.ledger.registry import Registry
from imagegate.runtime.end_user_budget import NAME, set_end_user_budget
from tests.ledger.databases import in_loop
from tests.ledger.rows import budget


@pytest.mark.parametrize("limits", [(5, 7, 7, None, None), (None,), (3, None, 4)])
def test_the_ledger_follows_the_file(ledger_url, limits):
    async def test(ledger) -> None:
        for limit_e10 in limits:
            await set_end_user_budget(ledger, limit_e10)
            found = await Registry(ledger).budgets_of(EVERY_END_USER)
            assert [(one.name, one.limit_e10) for one in found] == (
                [] if limit_e10 is None else [(NAME, limit_e10)]
            )

    in_loop(ledger_url, test)


def test_an_operators_own_stays(ledger_url):
    async def test(ledger) -> None:
        await ledger.commit(AddBudget(budget(EVERY_END_USER, 9)))
        for limit_e10 in (5, None):
            await set_end_user_budget(ledger, limit_e10)
            (found,) = await Registry(ledger).budgets_of(EVERY_END_USER)
            assert found.limit_e10 == 9

    in_loop(ledger_url, test)
