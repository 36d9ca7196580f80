"""Books how attempts ended: entries, what budgets spent, what is given back, the sums of the day.

It runs in the transaction that ends the attempts. A known cost is charged. Where nobody knows yet
whether an attempt is billed, what was set aside is held: it counts as spent until a later end
says better. An entry moves an amount from one account to another, so that all accounts sum to 0.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

from sqlalchemy import Connection

from imagegate.catalogue.price import format_usd
from imagegate.ledger import money_schema as schema
from imagegate.ledger.budget import day_of, period_at
from imagegate.ledger.execute import Row, execute
from imagegate.ledger.records import AttemptState, is_free
from imagegate.telemetry import BUDGET_SOFT_LIMIT, LOGGER

EntryKind: TypeAlias = Literal["charge", "hold", "unhold"]

_log = logging.getLogger(LOGGER)


class Ended(NamedTuple):
    """How an attempt ended; `cost_e10` is None where it is unknown."""

    attempt_id: str
    state: AttemptState
    at: float
    cost_e10: int | None


class _Verdict(NamedTuple):
    """What becomes of an attempt's money: charged, held, or neither, which gives all back."""

    is_charged: bool
    is_held: bool
    amount_e10: int | None


class Booking:
    """The ends of one group."""

    def __init__(self, connection: Connection, now_s: float) -> None:
        self._connection = connection
        self._now_s = now_s
        self._entries: list[dict[str, object]] = []
        self._days: dict[tuple[str, str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        self._moves: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._reserved: dict[str, list[Row]] = defaultdict(list)
        self._held: list[dict[str, object]] = []
        self._gone: list[dict[str, object]] = []
        self._rolled: dict[str, float] = {}

    def book(self, ends: Sequence[Ended]) -> None:
        """Write everything that follows from the ends."""
        if not ends:
            return
        ids = {"b_ids": [end.attempt_id for end in ends]}
        for row in execute(self._connection, schema.SELECT_RESERVED, ids).mappings():
            self._reserved[row["attempt_id"]].append(row)
        attempts = execute(self._connection, schema.SELECT_ENDED, ids).mappings()
        by_id = {row["id"]: row for row in attempts}
        for end in ends:
            self._book(end, by_id[end.attempt_id])
        self._write()

    def _book(self, end: Ended, attempt: Row) -> None:
        verdict = _verdict(end, attempt)
        self._enter(end, attempt, verdict)
        for row in self._reserved.get(end.attempt_id, ()):
            self._turn(row, verdict)

    # --- entries and sums ---

    def _enter(self, end: Ended, attempt: Row, verdict: _Verdict) -> None:
        was_held = attempt["hold_at"] is not None
        payer, provider = _payer(attempt), attempt["provider"]
        if was_held and not verdict.is_held:
            held_e10 = attempt["hold_e10"]
            self._add(end, "unhold", f"held:{provider}", payer, held_e10)
            self._sum(attempt, attempt["hold_at"], held_e10, times=-1, is_held=True)
        if verdict.is_charged:
            self._add(end, "charge", payer, f"provider:{provider}", verdict.amount_e10)
            self._sum(attempt, end.at, verdict.amount_e10, times=1, is_held=False)
        elif verdict.is_held and not was_held:
            self._add(end, "hold", payer, f"held:{provider}", verdict.amount_e10)
            self._sum(attempt, end.at, verdict.amount_e10, times=1, is_held=True)

    def _add(
        self, end: Ended, kind: EntryKind, debit: str, credit: str, amount_e10: int | None
    ) -> None:
        self._entries.append(
            {
                "attempt_id": end.attempt_id,
                "kind": kind,
                "debit": debit,
                "credit": credit,
                "amount_e10": amount_e10,
                "at": end.at,
            }
        )

    def _sum(
        self, attempt: Row, at: float, amount_e10: int | None, *, times: int, is_held: bool
    ) -> None:
        day, team = day_of(at), attempt["team_id"] or ""
        for dimension, value in _dimensions(attempt):
            sums = self._days[dimension, team, day, value]
            sums[is_held] += times * (amount_e10 or 0)
            sums[2] += times
            sums[3] += times * (amount_e10 is None)

    # --- budgets ---

    def _turn(self, row: Row, verdict: _Verdict) -> None:
        """Turn a reservation into spend, hold it, or give it back."""
        key = {"b_attempt_id": row["attempt_id"], "b_budget_id": row["budget_id"]}
        move, amount_e10 = self._moves[row["budget_id"]], row["amount_e10"]
        period_start = self._period_start(row)
        if verdict.is_held:
            if row["is_held"]:
                return
            self._held.append(key | {"b_period_start": period_start})
            spent_e10 = amount_e10
        else:
            self._gone.append(key)
            spent_e10 = verdict.amount_e10 or 0
        if not row["is_held"]:
            move[1] -= amount_e10
        elif row["period_start"] == period_start:
            spent_e10 -= amount_e10
        else:
            spent_e10 = 0  # it was counted in the period in which it was held
        self._tell_soft(row, spent_e10)
        move[0] += spent_e10

    def _period_start(self, row: Row) -> float:
        """Return the start of the budget's period, which is begun anew where its time is up."""
        budget_id, resets_at = row["budget_id"], row["resets_at"]
        if resets_at is None or self._now_s < resets_at:
            return float(row["budget_period_start"])
        if budget_id not in self._rolled:
            start, next_at = period_at(row["period"], self._now_s)
            self._rolled[budget_id] = start
            parameters = {"b_id": budget_id, "b_period_start": start, "b_resets_at": next_at}
            execute(self._connection, schema.ROLL_BUDGET, parameters)
        return self._rolled[budget_id]

    def _tell_soft(self, row: Row, spent_e10: int) -> None:
        """Log once when what was spent passes the soft limit."""
        soft_e10 = row["soft_e10"]
        before_e10 = 0 if row["budget_id"] in self._rolled else row["spent_e10"]
        before_e10 += self._moves[row["budget_id"]][0]
        if soft_e10 is not None and before_e10 < soft_e10 <= before_e10 + spent_e10:
            told = {"budget": row["budget_id"], "name_of_budget": row["name"]}
            usd = {"spent_usd": format_usd(before_e10 + spent_e10)}
            _log.warning(BUDGET_SOFT_LIMIT, extra=told | usd)

    def _write(self) -> None:
        moves = [
            {"b_id": budget_id, "b_spent_e10": spent, "b_reserved_e10": reserved}
            for budget_id, (spent, reserved) in self._moves.items()
        ]
        days = [
            {
                **dict(zip(("dimension", "team_id", "day", "value"), place, strict=True)),
                **dict(zip(("charged_e10", "held_e10", "attempts", "unknown"), sums, strict=True)),
            }
            for place, sums in self._days.items()
        ]
        for statement, rows in (
            (schema.INSERT_ENTRY, self._entries),
            (schema.ADD_TO_DAY, days),
            (schema.MOVE_BUDGET, moves),
            (schema.HOLD_RESERVATION, self._held),
            (schema.DELETE_RESERVATION, self._gone),
        ):
            if rows:
                execute(self._connection, statement, rows)


def _verdict(end: Ended, attempt: Row) -> _Verdict:
    """Return what becomes of the money: charged, held as long as nobody knows, or given back."""
    if is_free(end.state, end.cost_e10):
        return _Verdict(is_charged=False, is_held=False, amount_e10=0)
    if end.cost_e10 is not None:
        return _Verdict(is_charged=True, is_held=False, amount_e10=end.cost_e10)
    return _Verdict(is_charged=False, is_held=True, amount_e10=attempt["estimate_e10"])


def _payer(attempt: Row) -> str:
    if attempt["team_id"]:
        return f"team:{attempt['team_id']}"
    return f"key:{attempt['key_id']}" if attempt["key_id"] else "gateway"


def _dimensions(attempt: Row) -> Iterator[tuple[str, str]]:
    """Yield by what an attempt can be looked up in the sums of a day."""
    yield "key", attempt["key_id"] or ""
    yield "model", attempt["model"]
    yield "provider", attempt["provider"]
    if attempt["end_user"]:
        yield "end_user", attempt["end_user"]
    if attempt["tags"] != "[]":
        yield from (("tag", tag) for tag in json.loads(attempt["tags"]))
