"""Writes a group of commands within the transaction that it is given: decide, write, book."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, assert_never

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import Connection, Executable

from imagegate.ledger import money_schema, people_schema, review_schema, schema
from imagegate.ledger.book import Booking, Ended
from imagegate.ledger.execute import execute
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
    AttemptState,
    CallEnd,
    CloseCall,
    ConflictError,
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
from imagegate.ledger.webhook_schema import (
    CHANGE_WEBHOOK,
    HASTEN_WEBHOOKS,
    INSERT_WEBHOOK,
    write_of,
)
from imagegate.ledger.webhooks import AddWebhook, ChangeWebhook, HastenWebhooks

_Parameters: TypeAlias = dict[str, object]
_Write: TypeAlias = tuple[Executable, _Parameters]

WRITES: tuple[Executable, ...] = (
    people_schema.INSERT_TEAM,
    people_schema.CHANGE_TEAM,
    people_schema.INSERT_KEY,
    people_schema.CHANGE_KEY,
    people_schema.END_SECRETS,
    people_schema.INSERT_SECRET,
    people_schema.PUT_END_USER,
    money_schema.DELETE_RESERVATIONS_OF,
    people_schema.REMOVE_LIKE_IT,
    people_schema.REMOVE_BUDGET,
    people_schema.INSERT_BUDGET,
    people_schema.CHANGE_BUDGET,
    people_schema.CHANGE_LIKE_IT,
    *schema.WRITES,
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
"""A group runs each of them once, in this order, whatever came first in it."""

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


def write_group(
    connection: Connection, commands: Sequence[AnyCommand], now_s: float
) -> list[LedgerError | None]:
    """Return for each command None, or why it was refused while the others were written.

    Raises `ConflictError` where one does not fit the rows; then the transaction is to be undone.
    """
    reserving = Reserving(connection, now_s)
    results = reserving.decide(commands)
    taken = [one for one, refusal in zip(commands, results, strict=True) if refusal is None]
    batch: dict[Executable, list[_Parameters]] = {one: [] for one in WRITES}
    for command in taken:
        for statement, parameters in _writes(command, now_s):
            batch[statement].append(parameters)
    _execute(connection, batch)
    reserving.write()
    Booking(connection, now_s).book(_ends_of(connection, taken, now_s))
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


def _execute(connection: Connection, batch: Mapping[Executable, list[_Parameters]]) -> None:
    for statement, rows in batch.items():
        if not rows:
            continue
        result = execute(connection, statement, rows)
        if statement in EXACT_WRITES and result.rowcount != len(rows):
            raise ConflictError("what is to be changed is missing, or has ended already")


def _ends_of(connection: Connection, commands: Sequence[AnyCommand], now_s: float) -> list[Ended]:
    """Return the attempts that end with these commands, orphans that are held included."""
    ends = []
    for one in (each.command if isinstance(each, Audited) else each for each in commands):
        if isinstance(one, Settle | Fail):
            ends.append(_ended(one.attempt))
        elif isinstance(one, Redispatch) and one.ended is not None:
            ends.append(_ended(one.ended))
        elif isinstance(one, Reconcile):
            state: AttemptState = "settled" if one.cost_e10 else "refused"
            ends.append(Ended(one.attempt_id, state, one.at, one.cost_e10))
        elif isinstance(one, HoldOrphans):
            parameters = {"b_now": now_s, "b_limit": one.limit}
            rows = execute(connection, money_schema.SELECT_ORPHANS, parameters)
            ends += [Ended(attempt_id, "unknown", now_s, None) for attempt_id in rows.scalars()]
    return ends


def _ended(end: AttemptEnd) -> Ended:
    return Ended(end.id, end.state, end.ended_at, end.cost_e10)


def _writes(command: AnyCommand | Review, now_s: float) -> Iterator[_Write]:
    """Yield what `command` is in SQL; what depends on money comes from elsewhere."""
    match command:
        case Audited(done, record):
            yield from () if done is None else _writes(done, now_s)
            yield review_schema.INSERT_AUDIT, asdict(record)
        case Release() | DropHeld() | Reconcile():
            yield from _reviewed(command)
        case Delivered() | FreeKey() | ForgetFile():
            yield _after_the_end(command)
        case KeepAlive() | HoldOrphans() | Stored():
            yield from _upkeep(command, now_s)
        case Admit() | Redispatch() | Settle() | Fail() | CloseCall() | Keep() | Judge():
            yield from _of_call(command)
        case AddWebhook() | ChangeWebhook() | HastenWebhooks():
            yield write_of(command)
        case _:
            yield from _changes(command)


def _of_call(
    command: Admit | Redispatch | Settle | Fail | CloseCall | Keep | Judge,
) -> Iterator[_Write]:
    match command:
        case Admit(call, attempt, parts):
            yield schema.INSERT_CALL, asdict(call) | {"end_user": storable(call.end_user)}
            yield from ((schema.INSERT_ATTEMPT, asdict(one)) for one in (attempt, *parts))
        case Redispatch(attempt, ended, parts):
            yield from () if ended is None else (_end_attempt(ended),)
            yield from ((schema.INSERT_ATTEMPT, asdict(one)) for one in (attempt, *parts))
        case Settle(end, assets, call_end):
            yield from _ends(end, call_end)
            yield from ((schema.INSERT_ASSET, asdict(asset)) for asset in assets)
        case Fail(end, call_end):
            yield from _ends(end, call_end)
        case CloseCall(call_end):
            yield _end_call(call_end)
        case Keep(assets):
            yield from ((schema.INSERT_ASSET, asdict(asset)) for asset in assets)
    if isinstance(command, Admit | Settle | Fail | Judge):
        yield from ((review_schema.INSERT_VERDICT, asdict(one)) for one in command.verdicts)


def _reviewed(command: Review) -> Iterator[_Write]:
    match command:
        case Release():
            yield review_schema.RELEASE_ASSET, _prefixed(command, "attempt_id", "answer")
            told: _Parameters = {"b_attempt_id": command.attempt_id, "b_answer": command.answer}
            yield review_schema.RELEASE_ATTEMPT, told
        case DropHeld(asset_id):
            yield review_schema.DROP_HELD, {"b_asset_id": asset_id}
        case Reconcile(attempt_id, cost_e10):
            yield schema.RECONCILE, {"b_id": attempt_id, "b_cost_e10": cost_e10}


def _after_the_end(command: Delivered | FreeKey | ForgetFile) -> _Write:
    match command:
        case Delivered(call_id, at):
            return schema.MARK_DELIVERED, {"b_id": call_id, "b_at": at}
        case FreeKey(call_id):
            return schema.FREE_KEY, {"b_id": call_id}
        case ForgetFile(file):
            return schema.FORGET_FILE, {"b_file": file}


def _upkeep(command: Upkeep, now_s: float) -> Iterator[_Write]:
    """Yield a sign of life or a move; orphans are looked for when the group is booked."""
    if isinstance(command, Stored):
        yield schema.STORE_ASSET, _prefixed(command, "asset_id") | {"b_id": command.asset_id}
    elif isinstance(command, KeepAlive):
        yield money_schema.KEEP_ALIVE, {"id": command.owner, "alive_until": now_s + LEASE_S}


def _changes(change: Change) -> Iterator[_Write]:
    """Yield what a change of people or budgets is in SQL."""
    match change:
        case AddTeam(team):
            yield people_schema.INSERT_TEAM, asdict(team)
        case ChangeTeam(team):
            yield people_schema.CHANGE_TEAM, _prefixed(team, "created_at")
        case AddKey(key, secret):
            yield people_schema.INSERT_KEY, asdict(key)
            yield people_schema.INSERT_SECRET, asdict(secret)
        case ChangeKey(key):
            yield people_schema.CHANGE_KEY, _prefixed(key, "created_at", "team_id")
        case RotateKey(secret, others_end_at):
            ending: _Parameters = {"b_key_id": secret.key_id, "b_end_at": others_end_at}
            yield people_schema.END_SECRETS, ending
            yield people_schema.INSERT_SECRET, asdict(secret)
        case PutEndUser(end_user):
            yield people_schema.PUT_END_USER, asdict(end_user)
        case AddBudget(budget):
            yield people_schema.INSERT_BUDGET, asdict(budget)
        case ChangeBudget():
            yield people_schema.CHANGE_BUDGET, _prefixed(change)
            yield people_schema.CHANGE_LIKE_IT, _prefixed(change, "name")
        case RemoveBudget(budget_id):
            yield money_schema.DELETE_RESERVATIONS_OF, {"b_budget_id": budget_id}
            yield people_schema.REMOVE_LIKE_IT, {"b_id": budget_id}
            yield people_schema.REMOVE_BUDGET, {"b_id": budget_id}
        case _:
            assert_never(change)


def _ends(attempt: AttemptEnd, call: CallEnd | None) -> Iterator[_Write]:
    yield _end_attempt(attempt)
    if call is not None:
        yield _end_call(call)


def _end_attempt(end: AttemptEnd) -> _Write:
    parameters = _prefixed(end)
    parameters["b_error_text"] = storable(end.error_text)
    parameters["b_upstream_request_id"] = storable(end.upstream_request_id)
    return schema.END_ATTEMPT, parameters


def _end_call(end: CallEnd) -> _Write:
    return schema.END_CALL, _prefixed(end)


def _prefixed(record: Struct, *left_out: str) -> dict[str, Any]:
    return {f"b_{name}": value for name, value in asdict(record).items() if name not in left_out}
