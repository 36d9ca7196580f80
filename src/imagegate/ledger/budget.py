"""Budgets as values: whose spend they limit, when they begin anew, whether there is room. Pure."""

import datetime
from collections.abc import Iterator
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from imagegate.catalogue.price import format_usd
from imagegate.ledger.people import BudgetRecord, Period, SubjectKind
from imagegate.ledger.records import AttemptRecord, BudgetDeniedError

DAY_S = 86_400
EVERY_END_USER = "every_end_user:*"
"""The subject of budgets that each end user without one of its own gets alike."""


def subject(kind: SubjectKind, name: str) -> str:
    """Return how a budget or a limit names whom it is for: `team:team_01`."""
    return f"{kind}:{name}"


def subjects_of(
    key_id: str | None, team_id: str | None, end_user: str, model: str
) -> Iterator[str]:
    """Yield whose budgets a call counts against; each attempt adds its provider's."""
    if key_id:
        yield subject("key", key_id)
    if team_id:
        yield subject("team", team_id)
    if end_user:
        yield subject("end_user", end_user)
    yield subject("model", model)


def like(template: BudgetRecord, end_user: str, *, budget_id: str, now_s: float) -> BudgetRecord:
    """Return the budget of an end user that a budget of every end user stands for."""
    start, resets_at = period_at(template.period, now_s)
    return replace(
        template,
        id=budget_id,
        subject=end_user,
        period_start=start,
        resets_at=resets_at,
        created_at=now_s,
        template_id=template.id,
    )


def period_at(period: Period, now_s: float) -> tuple[float, float | None]:
    """Return when the period that `now_s` is in began, and when the next one begins; all UTC.

    A week begins on Monday. A budget without a period began at `now_s` and never ends.
    """
    now = datetime.datetime.fromtimestamp(now_s, datetime.UTC)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return _bounds(today, today + datetime.timedelta(days=1))
    if period == "week":
        monday = today - datetime.timedelta(days=today.weekday())
        return _bounds(monday, monday + datetime.timedelta(days=7))
    if period == "month":
        first = today.replace(day=1)
        return _bounds(first, (first + datetime.timedelta(days=32)).replace(day=1))
    return now_s, None


def _bounds(start: datetime.datetime, end: datetime.datetime) -> tuple[float, float]:
    return start.timestamp(), end.timestamp()


def day_of(at_s: float) -> str:
    """Return the day (UTC) of a time as `2026-11-20`."""
    return _day(int(at_s // DAY_S))


@lru_cache(maxsize=4)
def _day(number: int) -> str:
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=number)).isoformat()


class Move(Struct):
    """What one transaction adds to a budget."""

    id: str
    spent_e10: int = 0
    reserved_e10: int = 0

    @property
    def is_any(self) -> bool:
        """Return whether it adds anything."""
        return self.spent_e10 != 0 or self.reserved_e10 != 0


class Room:
    """A budget within one transaction: what is left of it, and what is being added to it."""

    def __init__(self, budget: BudgetRecord) -> None:
        self.budget = budget
        self.move = Move(budget.id)
        self._taken_e10 = budget.spent_e10 + budget.reserved_e10

    def check(self, amount_e10: int, given_back_e10: int = 0) -> None:
        """Pass if `amount_e10` fits once `given_back_e10` is. Raises `BudgetDeniedError`."""
        if self._taken_e10 - given_back_e10 + amount_e10 > self.budget.limit_e10:
            raise BudgetDeniedError(self.budget.subject, self._refusal(amount_e10))

    def take(self, amount_e10: int, given_back_e10: int = 0) -> None:
        """Set `amount_e10` aside; what is given back is moved by who ends its attempt."""
        self._taken_e10 += amount_e10 - given_back_e10
        self.move.reserved_e10 += amount_e10

    def end(self, spent_e10: int, given_back_e10: int) -> bool:
        """Count what an attempt spent; return whether that passes the soft limit."""
        before_e10 = self.budget.spent_e10 + self.move.spent_e10
        self.move.spent_e10 += spent_e10
        self.move.reserved_e10 -= given_back_e10
        soft_e10 = self.budget.soft_e10
        return soft_e10 is not None and before_e10 < soft_e10 <= before_e10 + spent_e10

    def _refusal(self, amount_e10: int) -> str:
        budget = self.budget
        left = format_usd(max(0, budget.limit_e10 - self._taken_e10))
        anew = f" It begins anew on {day_of(budget.resets_at)}." if budget.resets_at else ""
        return (
            f"The budget {budget.name!r} ({budget.subject}, {budget.id}) has {left} of "
            f"{format_usd(budget.limit_e10)} USD left, and this call may cost up to "
            f"{format_usd(amount_e10)} USD.{anew}"
        )


def unpriced(budget: BudgetRecord, attempt: AttemptRecord) -> BudgetDeniedError:
    """Return the refusal of a call that nobody can price where a budget has to count it."""
    return BudgetDeniedError(
        budget.subject,
        f"The price of {attempt.provider}/{attempt.upstream_model} is unknown, so the budget "
        f"{budget.name!r} ({budget.subject}, {budget.id}) cannot count it. Give the model a price "
        "in a catalogue file, or set unknown_price: ceiling.",
    )
