"""Reads what was spent and what was called, page by page; who may see what is in each question."""

from typing import Any, Literal, TypeAlias

from msgspec import Struct
from sqlalchemy import ColumnElement, Select, func, select, text

from imagegate.ledger.money_schema import entries, spend_days
from imagegate.ledger.records import AttemptRecord, AttemptState, CallRecord, CallState, cost_e10_of
from imagegate.ledger.schema import IS_KNOWN_USER, IS_NOT_DONE, attempts, calls
from imagegate.ledger.store import SqlLedger

SpendBy: TypeAlias = Literal["day", "key", "team", "end_user", "model", "provider", "tag"]

PAGE_ROWS_MAX = 1000
FEW_ROWS = 5000
"""So many sums are read and put in order for a page; of more it is found by their order."""


class Scope(Struct, frozen=True):
    """What may be seen: all, or what is of one team, or of one key."""

    team_id: str | None = None
    key_id: str | None = None


class SpendRow(Struct, frozen=True):
    """What was spent on one `value`. Money is in 1e-10 USD; what is held is not confirmed.

    `attempts` counts those that are or may be billed, `unknown` those of them without an amount.
    """

    value: str
    charged_e10: int
    held_e10: int
    attempts: int
    unknown: int


class SpendQuestion(Struct, frozen=True, kw_only=True):
    """By what spend is summed, from `first_day` to `last_day` (both included, `2026-11-20`)."""

    by: SpendBy
    first_day: str = "0001-01-01"
    last_day: str = "9999-12-31"
    after: str = ""
    limit: int = PAGE_ROWS_MAX


class CallsQuestion(Struct, frozen=True, kw_only=True):
    """Which calls, the newest first, from the one before `before` on."""

    state: CallState | None = None
    key_id: str = ""
    team_id: str = ""
    end_user: str = ""
    before: str = ""
    limit: int = PAGE_ROWS_MAX


class CallRow(Struct, frozen=True):
    """A call with its attempts; `cost_e10` is None while it is unknown."""

    call: CallRecord
    attempts: tuple[AttemptRecord, ...]
    cost_e10: int | None


class ChargeRow(Struct, frozen=True):
    """An attempt that may have been billed, nobody knows how much; `held_e10` counts as spent.

    `held_e10` is None where nobody could say what it may cost at most. `cost_e10` is set once an
    operator has said what it was.
    """

    attempt_id: str
    call_id: str
    state: AttemptState
    provider: str
    upstream_model: str
    deployment_id: str
    dispatched_at: float
    upstream_request_id: str
    error_code: str
    cost_e10: int | None
    held_e10: int | None
    model: str
    key_id: str | None
    team_id: str | None
    end_user: str


class Reports:
    """The reports of a ledger."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger

    async def spend(self, question: SpendQuestion, scope: Scope) -> tuple[SpendRow, ...]:
        """Return sums by value, in the order of the values."""
        found = _within_days(select(spend_days), question, Scope())
        few = select(func.count()).select_from(found.limit(FEW_ROWS).subquery())
        count = await self._ledger.read(lambda connection: connection.execute(few).scalar_one())
        statement = _spend(question, scope, is_sparse=count < FEW_ROWS)
        return await self._ledger.select(SpendRow, statement)

    async def calls(self, question: CallsQuestion, scope: Scope) -> tuple[CallRow, ...]:
        """Return calls with their attempts, the newest first."""
        found = await self._ledger.select(CallRecord, _calls(question, scope))
        return await self._with_attempts(found)

    async def call(self, call_id: str, scope: Scope) -> CallRow | None:
        """Return one call, None where there is none that may be seen."""
        statement = _within(select(calls).where(calls.c.id == call_id), scope)
        found = await self._with_attempts(await self._ledger.select(CallRecord, statement))
        return found[0] if found else None

    async def unknown_charges(self, *, after: str, limit: int) -> tuple[ChargeRow, ...]:
        """Return attempts whose charge is held, by id from behind `after` on."""
        is_open = attempts.c.cost_e10.is_(None) & (attempts.c.id > after)
        statement = _CHARGES.where(is_open).order_by(attempts.c.id).limit(limit)
        return await self._ledger.select(ChargeRow, statement)

    async def charge(self, attempt_id: str) -> ChargeRow | None:
        """Return an attempt whose charge is held, or was; None where there is none."""
        statement = _CHARGES.where(attempts.c.id == attempt_id)
        found = await self._ledger.select(ChargeRow, statement)
        return found[0] if found else None

    async def _with_attempts(self, found: tuple[CallRecord, ...]) -> tuple[CallRow, ...]:
        ids = [call.id for call in found]
        statement = select(attempts).where(attempts.c.call_id.in_(ids)).order_by(attempts.c.number)
        tries = await self._ledger.select(AttemptRecord, statement) if ids else ()
        by_call: dict[str, list[AttemptRecord]] = {name: [] for name in ids}
        for one in tries:
            by_call[one.call_id].append(one)
        return tuple(
            CallRow(call, tuple(by_call[call.id]), cost_e10_of(by_call[call.id])) for call in found
        )


_CHARGES = (
    select(
        attempts.c.id.label("attempt_id"),
        *(attempts.c[name] for name in ChargeRow.__struct_fields__ if name in attempts.c),
        entries.c.amount_e10.label("held_e10"),
        *(calls.c[name] for name in ("model", "key_id", "team_id", "end_user")),
    )
    .select_from(entries.join(attempts).join(calls))
    .where(text("entries.kind = 'hold'"))
)


def _spend(question: SpendQuestion, scope: Scope, *, is_sparse: bool) -> Select[Any]:
    """Return the question in SQL; with `is_sparse` its rows are found by the day.

    A database left to itself reads all days of all values, in the order of the values, until a
    page is full: for a page of few days that is the whole table. Or it finds many rows by the day
    and puts them all in order; an expression keeps it from that.
    """
    found = _within_days(select(spend_days), question, scope).cte("days")
    days = found.prefix_with("MATERIALIZED") if is_sparse else spend_days
    value = {"day": days.c.day, "team": days.c.team_id}.get(question.by, days.c.value)
    sums = (days.c.charged_e10, days.c.held_e10, days.c.attempts, days.c.unknown)
    page = select(value.label("value"), *(func.sum(column).label(column.name) for column in sums))
    if not is_sparse:
        page = _within_days(page, question, scope, day=spend_days.c.day.concat(""))
    return (
        page.where(value > question.after if question.after else value.is_not(None))
        .group_by(value)
        .order_by(value)
        .limit(min(question.limit, PAGE_ROWS_MAX))
    )


def _within_days(
    statement: Select[Any],
    question: SpendQuestion,
    scope: Scope,
    *,
    day: ColumnElement[str] = spend_days.c.day,
) -> Select[Any]:
    # Each attempt stands once in the sums of each dimension, so any of them adds up to the whole.
    dimension = {"day": "provider", "team": "provider"}.get(question.by, question.by)
    if scope.key_id is not None:
        dimension = "key"
    statement = statement.where(
        spend_days.c.dimension == dimension,
        day >= question.first_day,
        day <= question.last_day,
    )
    if scope.key_id is not None:
        statement = statement.where(spend_days.c.value == scope.key_id)
    if scope.team_id is not None:
        statement = statement.where(spend_days.c.team_id == scope.team_id)
    return statement


def _calls(question: CallsQuestion, scope: Scope) -> Select[Any]:
    statement = select(calls).order_by(calls.c.id.desc()).limit(min(question.limit, PAGE_ROWS_MAX))
    if question.before:
        statement = statement.where(calls.c.id < question.before)
    if question.state is not None:
        statement = statement.where(calls.c.state == question.state)
        if question.state != "done":
            statement = statement.where(IS_NOT_DONE)
    if question.end_user:
        statement = statement.where(IS_KNOWN_USER)
    for column, wanted in (
        (calls.c.key_id, question.key_id),
        (calls.c.team_id, question.team_id),
        (calls.c.end_user, question.end_user),
    ):
        if wanted:
            statement = statement.where(column == wanted)
    return _within(statement, scope)


def _within(statement: Select[Any], scope: Scope) -> Select[Any]:
    if scope.team_id is not None:
        statement = statement.where(calls.c.team_id == scope.team_id)
    if scope.key_id is not None:
        statement = statement.where(calls.c.key_id == scope.key_id)
    return statement
