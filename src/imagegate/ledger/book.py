"""Books how attempts end: entries, what budgets spend, what is given back, the sums of the day.

It runs in the transaction that ends the attempts. A known cost is charged. Where nobody knows yet
whether an attempt is billed, what was set aside is held: it counts as spent until a later end
says better. An entry moves an amount from one account to another, so that all accounts sum to 0.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct
from sqlalchemy import Connection

from imagegate.catalogue.price import format_usd
from imagegate.ledger import money_schema as schema
from imagegate.ledger.budget import Room, day_of
from imagegate.ledger.execute import execute, execute_many
from imagegate.ledger.records import AttemptEnd, ConflictError, is_free
from imagegate.ledger.rooms import Rooms
from imagegate.telemetry import BUDGET_SOFT_LIMIT, LOGGER

EntryKind: TypeAlias = Literal["charge", "hold", "unhold"]

_log = logging.getLogger(LOGGER)
_STARTS = msgspec.json.Decoder(dict[str, float])


class _Place(NamedTuple):
    """By what an attempt is looked up in the sums of a day; `tags` is a JSON list."""

    provider: str
    model: str
    key_id: str | None
    team_id: str | None
    end_user: str
    tags: str

    @property
    def payer(self) -> str:
        if self.team_id:
            return f"team:{self.team_id}"
        return f"key:{self.key_id}" if self.key_id else "gateway"

    def dimensions(self) -> Iterator[tuple[str, str]]:
        yield "key", self.key_id or ""
        yield "model", self.model
        yield "provider", self.provider
        if self.end_user:
            yield "end_user", self.end_user
        if self.tags != "[]":
            yield from (("tag", tag) for tag in json.loads(self.tags))


class _Ending(NamedTuple):
    """An attempt that ends, as it was before: what was set aside for it, or held."""

    place: _Place
    estimate_e10: int | None
    reserved: str | None
    reserved_until: float | None
    hold_at: float | None
    hold_e10: int | None

    @property
    def is_held(self) -> bool:
        return self.reserved_until is None


class _Verdict(NamedTuple):
    """What becomes of an attempt's money: charged, held, or neither, which gives all back."""

    is_charged: bool
    is_held: bool
    amount_e10: int | None


class _Entry(Struct):
    """A row of `entries`."""

    attempt_id: str
    kind: EntryKind
    debit: str
    credit: str
    amount_e10: int | None
    at: float


class _Day(Struct):
    """What is added to a row of `spend_days`."""

    dimension: str
    value: str
    day: str
    team_id: str
    charged_e10: int = 0
    held_e10: int = 0
    attempts: int = 0
    unknown: int = 0

    def add(self, charged_e10: int, held_e10: int, attempts: int, unknown: int) -> None:
        self.charged_e10 += charged_e10
        self.held_e10 += held_e10
        self.attempts += attempts
        self.unknown += unknown


class _Held(Struct):
    """What an attempt has reserved from now on, which counts as spent."""

    id: str
    reserved: str


class Booking:
    """The ends of one group."""

    def __init__(self, connection: Connection, rooms: Rooms) -> None:
        self._connection = connection
        self._rooms = rooms
        self._entries: list[_Entry] = []
        self._sums: dict[tuple[_Place, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        self._held: list[_Held] = []
        self._counting: dict[str, dict[Room, float]] = {}

    def book(self, ends: Sequence[AttemptEnd]) -> None:
        """Decide what follows from the ends, which are not written yet.

        Raises `ConflictError` where an attempt is missing, or ends twice.
        """
        if not ends:
            return
        found = self._load([end.id for end in ends])
        if len(found) != len(ends):
            raise ConflictError("an attempt that is to end is missing, or ends twice")
        self._load_counting({ending.reserved for ending in found.values() if ending.reserved})
        for end in ends:
            ending = found[end.id]
            verdict = _verdict(end, ending)
            self._enter(end, ending, verdict)
            if ending.reserved:
                self._turn(end.id, ending, verdict)

    def write(self) -> None:
        """Write what was decided; the ends are written by now."""
        for statement, rows in (
            (schema.INSERT_ENTRY, self._entries),
            (schema.ADD_TO_DAY, self._days()),
            (schema.HOLD_RESERVED, self._held),
        ):
            if rows:
                execute_many(self._connection, statement, rows)

    def _load(self, ids: Sequence[str]) -> dict[str, _Ending]:
        rows = execute(self._connection, schema.SELECT_ENDED, {"b_ids": ids})
        return {row[0]: _Ending(_Place(*row[6:]), *row[1:6]) for row in rows}

    def _load_counting(self, texts: Collection[str]) -> None:
        """Load the rooms of the budgets that attempts name; mostly they all name the same."""
        starts = {one: _STARTS.decode(one) for one in texts}
        self._rooms.load(frozenset(chain.from_iterable(starts.values())))
        for one, start_of in starts.items():
            rooms = [room for room in map(self._rooms.get, start_of) if room is not None]
            self._counting[one] = {room: start_of[room.budget.id] for room in rooms}

    # --- entries and sums ---

    def _enter(self, end: AttemptEnd, ending: _Ending, verdict: _Verdict) -> None:
        place, held_since = ending.place, ending.hold_at
        held = f"held:{place.provider}"
        if held_since is not None and not verdict.is_held:
            self._add(end, "unhold", held, place.payer, ending.hold_e10)
            self._sum(place, held_since, ending.hold_e10, times=-1, is_held=True)
        if verdict.is_charged:
            payee = f"provider:{place.provider}"
            self._add(end, "charge", place.payer, payee, verdict.amount_e10)
            self._sum(place, end.ended_at, verdict.amount_e10, times=1, is_held=False)
        elif verdict.is_held and held_since is None:
            self._add(end, "hold", place.payer, held, verdict.amount_e10)
            self._sum(place, end.ended_at, verdict.amount_e10, times=1, is_held=True)

    def _add(
        self, end: AttemptEnd, kind: EntryKind, debit: str, credit: str, amount_e10: int | None
    ) -> None:
        self._entries.append(_Entry(end.id, kind, debit, credit, amount_e10, end.ended_at))

    def _sum(
        self, place: _Place, at: float, amount_e10: int | None, *, times: int, is_held: bool
    ) -> None:
        sums = self._sums[place, day_of(at)]
        sums[is_held] += times * (amount_e10 or 0)
        sums[2] += times
        sums[3] += times * (amount_e10 is None)

    def _days(self) -> list[_Day]:
        days: dict[tuple[str, str, str, str], _Day] = {}
        for (place, day), sums in self._sums.items():
            for dimension, value in place.dimensions():
                key = (dimension, value, day, place.team_id or "")
                days.setdefault(key, _Day(*key)).add(*sums)
        return list(days.values())

    # --- budgets ---

    def _turn(self, name: str, ending: _Ending, verdict: _Verdict) -> None:
        """Turn what is reserved into spend, hold it, or give it back."""
        counting = self._counting[ending.reserved or ""]
        spent_e10, set_aside_e10 = verdict.amount_e10 or 0, ending.estimate_e10 or 0
        if not ending.is_held:
            _spend(counting, spent_e10, set_aside_e10)
        elif not verdict.is_held:
            # What was held in an earlier period was counted in that one.
            present = {room: at for room, at in counting.items() if at == room.budget.period_start}
            _spend(present, spent_e10 - set_aside_e10, 0)
        if verdict.is_held:
            starts = {room.budget.id: room.budget.period_start for room in counting}
            reserved = ending.reserved if ending.is_held else msgspec.json.encode(starts).decode()
            self._held.append(_Held(name, reserved or ""))


def _verdict(end: AttemptEnd, ending: _Ending) -> _Verdict:
    """Return what becomes of the money: charged, held as long as nobody knows, or given back."""
    if is_free(end.state, end.cost_e10):
        return _Verdict(is_charged=False, is_held=False, amount_e10=0)
    if end.cost_e10 is not None:
        return _Verdict(is_charged=True, is_held=False, amount_e10=end.cost_e10)
    return _Verdict(is_charged=False, is_held=True, amount_e10=ending.estimate_e10)


def _spend(rooms: Iterable[Room], spent_e10: int, given_back_e10: int) -> None:
    for room in rooms:
        if room.end(spent_e10, given_back_e10):
            _tell_soft(room)


def _tell_soft(room: Room) -> None:
    spent_e10 = room.budget.spent_e10 + room.move.spent_e10
    told = {"budget": room.budget.id, "name_of_budget": room.budget.name}
    _log.warning(BUDGET_SOFT_LIMIT, extra=told | {"spent_usd": format_usd(spent_e10)})
