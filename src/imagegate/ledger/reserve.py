"""Decides within one transaction for which calls of a group there is room, and sets money aside.

The budgets and counters of the group are read once; each call is decided by itself, in order, on
what the ones before it have left; what was decided is written once. That is exact because nobody
else writes meanwhile: SQLite has one writer, and on Postgres each writer holds a lock.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec.structs import asdict, replace
from sqlalchemy import Connection

from imagegate import clock
from imagegate.ledger import money_schema as schema
from imagegate.ledger.budget import (
    EVERY_END_USER,
    Room,
    like,
    period_at,
    subject,
    subjects_of,
    unpriced,
)
from imagegate.ledger.execute import execute
from imagegate.ledger.people import AnyCommand, BudgetRecord
from imagegate.ledger.people_schema import INSERT_BUDGET
from imagegate.ledger.rate import Rates
from imagegate.ledger.records import (
    Admit,
    AttemptRecord,
    BlockedError,
    CallRecord,
    LedgerError,
    Redispatch,
    is_free,
    storable,
)

_END_USER = subject("end_user", "")
LEASE_S = 60.0
"""How long a reservation is safe without a sign of life of its owner."""


class _Demand(NamedTuple):
    """Attempts that are to begin together, and whose budgets they all count against."""

    attempts: tuple[AttemptRecord, ...]
    subjects: tuple[str, ...]
    ended_id: str

    def subjects_for(self, attempt: AttemptRecord) -> tuple[str, ...]:
        return (*self.subjects, subject("provider", attempt.provider))


class Reserving:
    """The admissions of one group."""

    def __init__(self, connection: Connection, now_s: float) -> None:
        self._connection = connection
        self._now_s = now_s
        self._rooms: dict[str, list[Room]] = defaultdict(list)
        self._given_back: dict[tuple[str, str], int] = {}
        self._blocked: frozenset[str] = frozenset()
        self._reservations: list[dict[str, object]] = []
        self._budgets: list[dict[str, object]] = []
        self._rates = Rates(connection, now_s)

    def decide(self, commands: Sequence[AnyCommand]) -> list[LedgerError | None]:
        """Return for each command None, or why it is refused; nothing is written yet."""
        demands = self._demands(commands)
        if not demands:
            return [None] * len(commands)
        self._load_rooms(demands.values())
        self._load_blocked([one.call for one in commands if isinstance(one, Admit)])
        self._rates.load([one for one in commands if isinstance(one, Admit)])
        return [self._decide(one, demands.get(id(one))) for one in commands]

    def write(self) -> None:
        """Write what was set aside; the attempts have their rows by now."""
        if self._budgets:
            execute(self._connection, INSERT_BUDGET, self._budgets)
        if self._reservations:
            execute(self._connection, schema.INSERT_RESERVATION, self._reservations)
        taken = [
            {"b_id": room.budget.id, "b_spent_e10": 0, "b_reserved_e10": room.added_e10}
            for rooms in self._rooms.values()
            for room in rooms
            if room.added_e10
        ]
        if taken:
            execute(self._connection, schema.MOVE_BUDGET, taken)
        self._rates.write()

    def _demands(self, commands: Sequence[AnyCommand]) -> dict[int, _Demand]:
        found = {}
        moves = [one for one in commands if isinstance(one, Redispatch)]
        subjects = self._subjects_of_calls(moves)
        for one in commands:
            if isinstance(one, Admit):
                call = one.call
                whose = subjects_of(call.key_id, call.team_id, storable(call.end_user), call.model)
                found[id(one)] = _Demand((one.attempt, *one.parts), tuple(whose), "")
            elif isinstance(one, Redispatch):
                ended = one.ended
                gives_back = ended is not None and is_free(ended.state, ended.cost_e10)
                found[id(one)] = _Demand(
                    (one.attempt, *one.parts),
                    subjects.get(one.attempt.call_id, ()),
                    ended.id if ended is not None and gives_back else "",
                )
        return found

    def _subjects_of_calls(self, moves: Sequence[Redispatch]) -> dict[str, tuple[str, ...]]:
        if not moves:
            return {}
        ids = [one.attempt.call_id for one in moves]
        rows = execute(self._connection, schema.SELECT_CALLS, {"b_ids": ids})
        return {row[0]: tuple(subjects_of(*row[1:])) for row in rows}

    def _load_rooms(self, demands: Iterable[_Demand]) -> None:
        asked = {
            name
            for demand in demands
            for attempt in demand.attempts
            for name in demand.subjects_for(attempt)
        }
        end_users = [name for name in asked if name.startswith(_END_USER)]
        if end_users:
            asked.add(EVERY_END_USER)
        rows = execute(self._connection, schema.SELECT_BUDGETS_OF, {"b_subjects": sorted(asked)})
        templates = []
        for row in rows.mappings():
            budget = BudgetRecord(**row)
            if budget.subject == EVERY_END_USER:
                templates.append(budget)
            else:
                budget = roll(self._connection, budget, self._now_s)
                self._rooms[budget.subject].append(Room(budget))
        for name in end_users if templates else ():
            if name not in self._rooms:
                self._add_rooms_like(templates, name)
        ended = [demand.ended_id for demand in demands if demand.ended_id]
        if ended and self._rooms:
            self._load_given_back(ended)

    def _add_rooms_like(self, templates: Sequence[BudgetRecord], end_user: str) -> None:
        for template in templates:
            name = clock.new_id("bud")
            budget = like(template, end_user, budget_id=name, now_s=self._now_s)
            self._rooms[end_user].append(Room(budget))
            self._budgets.append(asdict(budget))

    def _load_blocked(self, calls: Sequence[CallRecord]) -> None:
        names = sorted({storable(call.end_user) for call in calls if call.end_user})
        if names:
            rows = execute(self._connection, schema.SELECT_BLOCKED, {"b_ids": names})
            self._blocked = frozenset(rows.scalars())

    def _load_given_back(self, ended: Sequence[str]) -> None:
        rows = execute(self._connection, schema.SELECT_RESERVED, {"b_ids": ended}).mappings()
        for row in rows:
            if not row["is_held"]:
                self._given_back[row["attempt_id"], row["budget_id"]] = row["amount_e10"]

    def _decide(self, command: AnyCommand, demand: _Demand | None) -> LedgerError | None:
        if demand is None:
            return None
        try:
            if isinstance(command, Admit) and storable(command.call.end_user) in self._blocked:
                raise BlockedError(f"The end user {command.call.end_user!r} is blocked.")
            needs = self._check_budgets(demand)
            if isinstance(command, Admit):
                self._rates.take(command)
        except LedgerError as refusal:
            return refusal
        self._take(demand, needs)
        return None

    def _check_budgets(self, demand: _Demand) -> dict[str, int]:
        """Return what each budget has to set aside. Raises `BudgetDeniedError`."""
        needs: dict[str, int] = defaultdict(int)
        rooms = {}
        for attempt in demand.attempts:
            for room in self._rooms_for(demand, attempt):
                if attempt.estimate_e10 is None:
                    raise unpriced(room.budget, attempt)
                needs[room.budget.id] += attempt.estimate_e10
                rooms[room.budget.id] = room
        for budget_id, room in rooms.items():
            room.check(needs[budget_id], self._given_back.get((demand.ended_id, budget_id), 0))
        return needs

    def _take(self, demand: _Demand, needs: dict[str, int]) -> None:
        seen = set()
        for attempt in demand.attempts:
            for room in self._rooms_for(demand, attempt):
                budget = room.budget
                if budget.id not in seen:
                    seen.add(budget.id)
                    back = self._given_back.get((demand.ended_id, budget.id), 0)
                    room.take(needs[budget.id], back)
                self._reservations.append(self._reservation(attempt, budget))

    def _rooms_for(self, demand: _Demand, attempt: AttemptRecord) -> list[Room]:
        if not self._rooms:
            return []
        names = demand.subjects_for(attempt)
        return [room for name in names if name in self._rooms for room in self._rooms[name]]

    def _reservation(self, attempt: AttemptRecord, budget: BudgetRecord) -> dict[str, object]:
        return {
            "attempt_id": attempt.id,
            "budget_id": budget.id,
            "amount_e10": attempt.estimate_e10,
            "is_held": False,
            "period_start": budget.period_start,
            "owner": attempt.owner,
            "expires_at": self._now_s + LEASE_S,
        }


def roll(connection: Connection, budget: BudgetRecord, now_s: float) -> BudgetRecord:
    """Return the budget in the period that `now_s` is in, begun anew in the database if need be.

    What is reserved stays so: it is spent in the period in which it is settled.
    """
    if budget.resets_at is None or now_s < budget.resets_at:
        return budget
    start, resets_at = period_at(budget.period, now_s)
    execute(
        connection,
        schema.ROLL_BUDGET,
        {"b_id": budget.id, "b_period_start": start, "b_resets_at": resets_at},
    )
    return replace(budget, spent_e10=0, period_start=start, resets_at=resets_at)
