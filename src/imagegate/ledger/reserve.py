"""Decides within one transaction for which calls of a group there is room, and sets money aside.

Each call is decided by itself, in order, on what the ones before it have left.
"""

from collections.abc import Collection, Sequence
from itertools import chain
from typing import NamedTuple

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection

from imagegate.ledger import money_schema as schema
from imagegate.ledger.budget import Room, subject, subjects_of, unpriced
from imagegate.ledger.execute import Rows, execute
from imagegate.ledger.people import AnyCommand
from imagegate.ledger.rate import Rates
from imagegate.ledger.records import (
    Admit,
    AttemptRecord,
    BlockedError,
    LedgerError,
    Redispatch,
    is_free,
    storable,
)
from imagegate.ledger.rooms import Rooms

LEASE_S = 60.0
"""How long a reservation is safe without a sign of life of its owner."""


class _Caller(NamedTuple):
    """Who asks for what. With a provider that says whose budgets count an attempt."""

    key_id: str | None
    team_id: str | None
    end_user: str
    model: str


class _Demand(NamedTuple):
    """Attempts that are to begin together, and the one that they replace and that was for free."""

    attempts: tuple[AttemptRecord, ...]
    caller: _Caller | None
    ended_id: str = ""


class _Counting(NamedTuple):
    """The budgets that count an attempt, and what its row says of them."""

    rooms: list[Room]
    reserved: str | None


class Reserving:
    """The admissions of one group."""

    def __init__(self, connection: Connection, rooms: Rooms, now_s: float) -> None:
        self._connection = connection
        self._rooms = rooms
        self._until = now_s + LEASE_S
        self._counting: dict[tuple[_Caller | None, str], _Counting] = {}
        self._given_back: dict[str, dict[str, int]] = {}
        self._blocked: frozenset[str] = frozenset()
        self._reserved: dict[str, str | None] = {}
        self._rates = Rates(connection, now_s)

    def decide(self, commands: Sequence[AnyCommand]) -> list[LedgerError | None]:
        """Return for each command None, or why it is refused; nothing is written yet."""
        demands = self._demands(commands)
        if not demands:
            return [None] * len(commands)
        # Asked together: on Postgres, who looks at the first rows waits for all.
        self._rates.ask([one for one in commands if isinstance(one, Admit)])
        blocked = self._ask_blocked(demands.values())
        self._load_rooms(demands.values())
        self._blocked = frozenset(name for (name,) in blocked)
        self._rates.load()
        return [self._decide(one, demands.get(id(one))) for one in commands]

    def begun(self, attempt: AttemptRecord) -> AttemptRecord:
        """Return an attempt with what is set aside for it."""
        reserved = self._reserved.get(attempt.id)
        if reserved is None:
            return attempt
        return replace(attempt, reserved=reserved, reserved_until=self._until)

    def write(self) -> None:
        """Write what was counted."""
        self._rates.write()

    def _demands(self, commands: Sequence[AnyCommand]) -> dict[int, _Demand]:
        found = {}
        callers = self._callers([one for one in commands if isinstance(one, Redispatch)])
        for one in commands:
            if isinstance(one, Admit):
                call = one.call
                who = _Caller(call.key_id, call.team_id, storable(call.end_user), call.model)
                found[id(one)] = _Demand((one.attempt, *one.parts), who)
            elif isinstance(one, Redispatch):
                ended, caller = one.ended, callers.get(one.attempt.call_id)
                gives_back = ended is not None and is_free(ended.state, ended.cost_e10)
                ended_id = ended.id if ended is not None and gives_back else ""
                found[id(one)] = _Demand((one.attempt, *one.parts), caller, ended_id)
        return found

    def _callers(self, moves: Sequence[Redispatch]) -> dict[str, _Caller]:
        if not moves:
            return {}
        ids = [one.attempt.call_id for one in moves]
        rows = execute(self._connection, schema.SELECT_CALLS, {"b_ids": ids})
        return {name: _Caller(*caller) for name, *caller in rows}

    def _load_rooms(self, demands: Collection[_Demand]) -> None:
        places = {(one.caller, attempt.provider) for one in demands for attempt in one.attempts}
        subjects = {place: _subjects(*place) for place in places}
        found = self._rooms.of_subjects(frozenset(chain.from_iterable(subjects.values())))
        for place, names in subjects.items():
            rooms = [room for name in names for room in found.get(name, ())]
            starts = {room.budget.id: room.budget.period_start for room in rooms}
            reserved = msgspec.json.encode(starts).decode() if rooms else None
            self._counting[place] = _Counting(rooms, reserved)
        ended = [one.ended_id for one in demands if one.ended_id]
        if ended and found:
            self._load_given_back(ended)

    def _ask_blocked(self, demands: Collection[_Demand]) -> Rows:
        names = {one.caller.end_user for one in demands if one.caller and one.caller.end_user}
        if not names:
            return ()
        return execute(self._connection, schema.SELECT_BLOCKED, {"b_ids": sorted(names)})

    def _load_given_back(self, ended: Sequence[str]) -> None:
        rows = execute(self._connection, schema.SELECT_RESERVED, {"b_ids": ended})
        for name, amount_e10, reserved in rows:
            self._given_back[name] = dict.fromkeys(msgspec.json.decode(reserved), int(amount_e10))

    def _decide(self, command: AnyCommand, demand: _Demand | None) -> LedgerError | None:
        if demand is None:
            return None
        back_e10 = self._given_back.get(demand.ended_id, {})
        try:
            if isinstance(command, Admit) and storable(command.call.end_user) in self._blocked:
                raise BlockedError(f"The end user {command.call.end_user!r} is blocked.")
            needs = self._needs(demand)
            for room, amount_e10 in needs.items():
                room.check(amount_e10, back_e10.get(room.budget.id, 0))
            if isinstance(command, Admit):
                self._rates.take(command)
        except LedgerError as refusal:
            return refusal
        for room, amount_e10 in needs.items():
            room.take(amount_e10, back_e10.get(room.budget.id, 0))
        return None

    def _needs(self, demand: _Demand) -> dict[Room, int]:
        """Return what each budget has to set aside, and keep it for the rows of the attempts.

        Raises `BudgetDeniedError`.
        """
        needs: dict[Room, int] = {}
        for attempt in demand.attempts:
            rooms, reserved = self._counting[demand.caller, attempt.provider]
            for room in rooms:
                if attempt.estimate_e10 is None:
                    raise unpriced(room.budget, attempt)
                needs[room] = needs.get(room, 0) + attempt.estimate_e10
            self._reserved[attempt.id] = reserved
        return needs


def _subjects(caller: _Caller | None, provider: str) -> tuple[str, ...]:
    """Return whose budgets an attempt counts against."""
    return (*(subjects_of(*caller) if caller else ()), subject("provider", provider))
