"""Writes a group of commands within the transaction that it is given: decide, write, book."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, assert_never

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Executable

from imagegate.ledger import money_schema, people_schema, review_schema, schema
from imagegate.ledger.book import Booking
from imagegate.ledger.execute import execute, execute_many
from imagegate.ledger.people import (
    AddBudget,
    AddKey,
    AddTeam,
    AnyCommand,
    Audited,
    Change,
    ChangeBudget,
    ChangeKey,
    ChangeTeam,
    PutEndUser,
    RemoveBudget,
    RotateKey,
)
from imagegate.ledger.records import (
    Admit,
    AttemptEnd,
    CallEnd,
    CallRecord,
    CloseCall,
    Delivered,
    Fail,
    ForgetFile,
    FreeKey,
    HoldOrphans,
    Keep,
    KeepAlive,
    LedgerError,
    Redispatch,
    Settle,
    Stored,
    Upkeep,
    storable,
)
from imagegate.ledger.reserve import LEASE_S, Reserving
from imagegate.ledger.review import DropHeld, Judge, Reconcile, Release, Review
from imagegate.ledger.rooms import Rooms
from imagegate.ledger.webhook_schema import (
    CHANGE_WEBHOOK,
    HASTEN_WEBHOOKS,
    INSERT_WEBHOOK,
    write_of,
)
from imagegate.ledger.webhooks import AddWebhook, ChangeWebhook, HastenWebhooks

_BEGINNINGS: tuple[Executable, ...] = (
    people_schema.INSERT_TEAM,
    people_schema.CHANGE_TEAM,
    people_schema.INSERT_KEY,
    people_schema.CHANGE_KEY,
    people_schema.END_SECRETS,
    people_schema.INSERT_SECRET,
    people_schema.PUT_END_USER,
    people_schema.REMOVE_LIKE_IT,
    people_schema.REMOVE_BUDGET,
    people_schema.INSERT_BUDGET,
    people_schema.CHANGE_BUDGET,
    people_schema.CHANGE_LIKE_IT,
    *schema.BEGINNINGS,
)
_ENDINGS: tuple[Executable, ...] = (
    *schema.ENDINGS,
    review_schema.INSERT_VERDICT,
    review_schema.RELEASE_ASSET,
    review_schema.RELEASE_ATTEMPT,
    review_schema.DROP_HELD,
    review_schema.INSERT_AUDIT,
    money_schema.KEEP_ALIVE,
    INSERT_WEBHOOK,
    CHANGE_WEBHOOK,
    HASTEN_WEBHOOKS,
)
"""A group runs each statement once, in this order, whatever came first in it; between those that
begin and those that end, its ends are booked by what the attempts were until now."""

EXACT_WRITES = schema.EXACT_WRITES | {
    people_schema.CHANGE_TEAM,
    people_schema.CHANGE_KEY,
    people_schema.CHANGE_BUDGET,
    people_schema.REMOVE_BUDGET,
    CHANGE_WEBHOOK,
    review_schema.RELEASE_ASSET,
    review_schema.RELEASE_ATTEMPT,
    review_schema.DROP_HELD,
}


class _Batch:
    """A group in SQL: its rows by statement, and what is to be booked."""

    def __init__(self) -> None:
        self.rows: dict[Executable, list[Any]] = defaultdict(list)
        self.ends: list[AttemptEnd] = []
        self.orphans_max = 0


class _Owner(Struct):
    """A process that gave a sign of life."""

    id: str
    alive_until: float


class _OtherSecrets(Struct):
    """Those of a key beside a new one."""

    key_id: str
    others_end_at: float


def write_group(
    connection: Connection, commands: Sequence[AnyCommand], now_s: float
) -> list[LedgerError | None]:
    """Return for each command None, or why it was refused while the others were written.

    Raises `ConflictError` where one does not fit the rows; then the transaction is to be undone.
    """
    rooms = Rooms(connection, now_s)
    reserving = Reserving(connection, rooms, now_s)
    results = reserving.decide(commands)
    taken = [one for one, refusal in zip(commands, results, strict=True) if refusal is None]
    batch = _batch_of(taken, reserving, now_s)
    _execute(connection, batch, _BEGINNINGS)
    booking = Booking(connection, rooms)
    booking.book([*batch.ends, *_orphans(connection, batch, now_s)])
    _execute(connection, batch, _ENDINGS)
    booking.write()
    reserving.write()
    rooms.write()
    return results


def withdraw(connection: Connection, commands: Sequence[AnyCommand], now_s: float) -> None:
    """End attempts of `commands` as never sent, where they are there after all.

    Nobody heard whether the commands were written, so nobody sent anything.
    """
    begun = {
        attempt.id: one
        for one in commands
        if isinstance(one, Admit | Redispatch)
        for attempt in (one.attempt, *one.parts)
    }
    rows = execute(connection, schema.SELECT_STATES, {"b_ids": list(begun)})
    fails: list[AnyCommand] = [
        Fail(AttemptEnd(id=name, state="unsent", ended_at=now_s, cost_e10=0), None)
        for name, state in rows
        if state == "dispatched"
    ]
    calls = {
        begun[one.attempt.id].attempt.call_id
        for one in fails
        if isinstance(one, Fail) and isinstance(begun[one.attempt.id], Admit)
    }
    ends = [CallEnd(id=name, state="failed", finished_at=now_s) for name in sorted(calls)]
    write_group(connection, [*fails, *(CloseCall(end) for end in ends)], now_s)


def _batch_of(commands: Sequence[AnyCommand], reserving: Reserving, now_s: float) -> _Batch:
    batch = _Batch()
    for command in commands:
        _put(batch, command, now_s)
    begun = batch.rows[schema.INSERT_ATTEMPT]
    batch.rows[schema.INSERT_ATTEMPT] = [reserving.begun(one) for one in begun]
    return batch


def _execute(connection: Connection, batch: _Batch, statements: Iterable[Executable]) -> None:
    for statement in statements:
        if rows := batch.rows.get(statement):
            execute_many(connection, statement, rows, is_exact=statement in EXACT_WRITES)


def _orphans(connection: Connection, batch: _Batch, now_s: float) -> list[AttemptEnd]:
    """Return the orphans to be held, as ends of which nobody knows more."""
    if not batch.orphans_max:
        return []
    ended = {end.id for end in batch.ends}
    parameters = {"b_now": now_s, "b_limit": batch.orphans_max}
    return [
        AttemptEnd(id=name, state="unknown", ended_at=now_s)
        for (name,) in execute(connection, money_schema.SELECT_ORPHANS, parameters)
        if name not in ended
    ]


def _put(batch: _Batch, command: AnyCommand | Review, now_s: float) -> None:
    """Add what `command` is in SQL; what depends on money comes from elsewhere."""
    match command:
        case Delivered():
            batch.rows[schema.MARK_DELIVERED].append(command)
        case Admit() | Redispatch() | Settle() | Fail() | CloseCall() | Keep() | Judge():
            _put_of_call(batch, command)
        case Audited(done, record):
            if done is not None:
                _put(batch, done, now_s)
            batch.rows[review_schema.INSERT_AUDIT].append(record)
        case KeepAlive() | HoldOrphans() | Stored() | FreeKey() | ForgetFile():
            _put_upkeep(batch, command, now_s)
        case Release() | DropHeld() | Reconcile():
            _put_reviewed(batch, command)
        case AddWebhook() | ChangeWebhook() | HastenWebhooks():
            statement, row = write_of(command)
            batch.rows[statement].append(row)
        case _:
            _put_change(batch, command)


def _put_of_call(
    batch: _Batch, command: Admit | Redispatch | Settle | Fail | CloseCall | Keep | Judge
) -> None:
    match command:
        case Admit():
            batch.rows[schema.INSERT_CALL].append(_storable_call(command.call))
            batch.rows[schema.INSERT_ATTEMPT] += (command.attempt, *command.parts)
            batch.rows[review_schema.INSERT_VERDICT] += command.verdicts
        case Settle():
            _put_ends(batch, command.attempt, command.call)
            batch.rows[schema.INSERT_ASSET] += command.assets
            batch.rows[review_schema.INSERT_VERDICT] += command.verdicts
        case Fail():
            _put_ends(batch, command.attempt, command.call)
            batch.rows[review_schema.INSERT_VERDICT] += command.verdicts
        case Redispatch(attempt, ended, parts):
            _put_ends(batch, ended, None)
            batch.rows[schema.INSERT_ATTEMPT] += (attempt, *parts)
        case CloseCall(call_end):
            _put_ends(batch, None, call_end)
        case Keep(assets):
            batch.rows[schema.INSERT_ASSET] += assets
        case Judge(verdicts):
            batch.rows[review_schema.INSERT_VERDICT] += verdicts


def _put_ends(batch: _Batch, attempt: AttemptEnd | None, call: CallEnd | None) -> None:
    if attempt is not None:
        batch.ends.append(attempt)
        batch.rows[schema.END_ATTEMPT].append(_storable_end(attempt))
    if call is not None:
        batch.rows[schema.END_CALL].append(call)


def _put_upkeep(batch: _Batch, command: Upkeep | FreeKey | ForgetFile, now_s: float) -> None:
    match command:
        case KeepAlive(owner):
            batch.rows[money_schema.KEEP_ALIVE].append(_Owner(owner, now_s + LEASE_S))
        case HoldOrphans(limit):
            batch.orphans_max = limit
        case Stored():
            batch.rows[schema.STORE_ASSET].append(command)
        case FreeKey():
            batch.rows[schema.FREE_KEY].append(command)
        case ForgetFile():
            batch.rows[schema.FORGET_FILE].append(command)


def _put_reviewed(batch: _Batch, command: Review) -> None:
    match command:
        case Release():
            batch.rows[review_schema.RELEASE_ASSET].append(command)
            batch.rows[review_schema.RELEASE_ATTEMPT].append(command)
        case DropHeld():
            batch.rows[review_schema.DROP_HELD].append(command)
        case Reconcile():
            batch.ends.append(_reconciled(command))
            batch.rows[schema.RECONCILE].append(command)


def _put_change(batch: _Batch, change: Change) -> None:
    """Add what a change of people or budgets is in SQL."""
    match change:
        case AddTeam(team):
            batch.rows[people_schema.INSERT_TEAM].append(team)
        case ChangeTeam(team):
            batch.rows[people_schema.CHANGE_TEAM].append(team)
        case AddKey(key, secret):
            batch.rows[people_schema.INSERT_KEY].append(key)
            batch.rows[people_schema.INSERT_SECRET].append(secret)
        case ChangeKey(key):
            batch.rows[people_schema.CHANGE_KEY].append(key)
        case RotateKey(secret, others_end_at):
            others = _OtherSecrets(secret.key_id, others_end_at)
            batch.rows[people_schema.END_SECRETS].append(others)
            batch.rows[people_schema.INSERT_SECRET].append(secret)
        case PutEndUser(end_user):
            batch.rows[people_schema.PUT_END_USER].append(end_user)
        case AddBudget(budget):
            batch.rows[people_schema.INSERT_BUDGET].append(budget)
        case ChangeBudget():
            batch.rows[people_schema.CHANGE_BUDGET].append(change)
            batch.rows[people_schema.CHANGE_LIKE_IT].append(change)
        case RemoveBudget():
            batch.rows[people_schema.REMOVE_LIKE_IT].append(change)
            batch.rows[people_schema.REMOVE_BUDGET].append(change)
        case _:
            assert_never(change)


def _storable_call(call: CallRecord) -> CallRecord:
    end_user = storable(call.end_user)
    return call if end_user == call.end_user else replace(call, end_user=end_user)


def _storable_end(end: AttemptEnd) -> AttemptEnd:
    if not (end.error_text or end.upstream_request_id):
        return end
    text, request_id = storable(end.error_text), storable(end.upstream_request_id)
    return replace(end, error_text=text, upstream_request_id=request_id)


def _reconciled(command: Reconcile) -> AttemptEnd:
    return AttemptEnd(
        id=command.attempt_id,
        state="settled" if command.cost_e10 else "refused",
        ended_at=command.at,
        cost_e10=command.cost_e10,
    )
