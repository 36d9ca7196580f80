"""Keeps the budget of every end user as the configuration has it (`max_end_user_budget`)."""

from contextlib import suppress
from typing import TYPE_CHECKING

from imagegate import clock
from imagegate.ledger.budget import EVERY_END_USER
from imagegate.ledger.people import (
    AddBudget,
    AnyCommand,
    BudgetRecord,
    ChangeBudget,
    RemoveBudget,
)
from imagegate.ledger.records import ConflictError

if TYPE_CHECKING:
    from imagegate.ledger.store import SqlLedger

NAME = "max_end_user_budget"


async def set_end_user_budget(ledger: "SqlLedger", limit_e10: int | None) -> None:
    """Add, change or remove the budget that is named so; others of every end user stay."""
    from imagegate.ledger.registry import Registry

    found = await Registry(ledger).budgets_of(EVERY_END_USER)
    command = _change(next((one for one in found if one.name == NAME), None), limit_e10)
    if command is not None:
        with suppress(
            ConflictError
        ):  # a gateway beside us was first, or an operator's own is there
            await ledger.commit(command)


def _change(budget: BudgetRecord | None, limit_e10: int | None) -> AnyCommand | None:
    if limit_e10 is None:
        return None if budget is None else RemoveBudget(budget.id)
    if budget is None:
        return AddBudget(_new(limit_e10))
    if budget.limit_e10 == limit_e10:
        return None
    return ChangeBudget(budget.id, NAME, limit_e10, budget.soft_e10)


def _new(limit_e10: int) -> BudgetRecord:
    now_s = clock.now_s()
    return BudgetRecord(
        id=clock.new_id("bud"),
        subject=EVERY_END_USER,
        name=NAME,
        limit_e10=limit_e10,
        period_start=now_s,
        created_at=now_s,
    )
