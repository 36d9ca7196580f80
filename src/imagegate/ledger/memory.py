"""The ledger of the SDK: the rows of calls in flight, forgotten when a call is closed."""

import logging
from collections.abc import Collection, Sequence
from typing import assert_never

from msgspec.structs import asdict, replace

from imagegate.ledger.records import (
    ENDABLE_ATTEMPT_STATES,
    ENDABLE_CALL_STATES,
    LAST_ID,
    OPEN_ATTEMPT_STATES,
    READ_ROWS_MAX,
    Admit,
    AssetRecord,
    AttemptEnd,
    AttemptRecord,
    CallEnd,
    CallRecord,
    CallState,
    CloseCall,
    Command,
    ConflictError,
    Delivered,
    Fail,
    ForgetFile,
    FreeKey,
    Keep,
    LedgerUnavailableError,
    Redispatch,
    Settle,
)
from imagegate.ledger.review import Judge, VerdictRecord
from imagegate.telemetry import LEDGER_NOTE_LOST, LOGGER

_log = logging.getLogger(LOGGER)


class MemoryLedger:
    """A ledger that promises nothing beyond its process; see `Ledger` for the methods.

    It is as large as the calls in flight: a call whose attempts have all ended leaves with the
    command that closes it, so there are no late settlements and no assets to look after.
    """

    def __init__(self) -> None:
        self._calls: dict[str, CallRecord] = {}
        self._attempts: dict[str, AttemptRecord] = {}
        self._assets: dict[str, AssetRecord] = {}
        self._is_closed = False

    async def commit(self, command: Command) -> None:
        """Write `command`; raises `LedgerError`, then nothing of it is written."""
        if self._is_closed:
            raise LedgerUnavailableError("the ledger is closed")
        self._write(command)

    def note(self, command: Command) -> None:
        """Write `command` now; a failure is only logged."""
        try:
            self._write(command)
        except ConflictError as error:
            _log.error(LEDGER_NOTE_LOST, extra={"command": repr(command)[:500]}, exc_info=error)

    async def get_call(self, call_id: str) -> CallRecord | None:
        """Return the call, None where there is none or none any more."""
        return self._calls.get(call_id)

    async def call_by_key(self, scoped_key: str) -> CallRecord | None:
        """Return the open call of an idempotency key, None where there is none."""
        found = (one for one in self._calls.values() if one.idempotency_key == scoped_key)
        return next(found, None)

    async def like_call(self, fingerprint: str, *, since_s: float) -> CallRecord | None:
        """Return the newest open call that asked for the same, None where there is none."""
        found = (one for one in self._calls.values() if one.fingerprint == fingerprint)
        recent = [one for one in found if one.created_at >= since_s]
        return max(recent, key=lambda one: one.id, default=None)

    async def undelivered_calls(
        self, *, since_s: float, after: str = "", limit: int = READ_ROWS_MAX
    ) -> tuple[CallRecord, ...]:
        """Return open calls made since then, by id."""
        found = [
            one for one in self._calls.values() if one.created_at >= since_s and one.id > after
        ]
        return tuple(sorted(found, key=lambda one: one.id)[:limit])

    async def newest_calls(
        self, *, states: Collection[CallState], before: str = LAST_ID, limit: int = READ_ROWS_MAX
    ) -> tuple[CallRecord, ...]:
        """Return open calls in one of `states`, the newest first, from before `before` on."""
        found = [one for one in self._calls.values() if one.state in states and one.id < before]
        return tuple(sorted(found, key=lambda one: one.id, reverse=True)[:limit])

    async def attempts_of(self, call_id: str) -> tuple[AttemptRecord, ...]:
        """Return the attempts of a call, by number."""
        found = [one for one in self._attempts.values() if one.call_id == call_id]
        return tuple(sorted(found, key=lambda one: one.number))

    async def assets_of(self, call_id: str) -> tuple[AssetRecord, ...]:
        """Return the images of a call that is still open, by attempt and index."""
        found = [one for one in self._assets.values() if one.call_id == call_id]
        return tuple(sorted(found, key=lambda one: (one.attempt_id, one.index)))

    async def verdicts_of(self, _call_id: str) -> tuple[VerdictRecord, ...]:
        """Return nothing: verdicts are told with the outcome, and nothing outlives its call."""
        return ()

    async def get_asset(self, asset_id: str) -> AssetRecord | None:
        """Return the image with this id, None where its call is closed."""
        return self._assets.get(asset_id)

    async def open_calls(
        self, *, not_owner: str, after: str = "", limit: int = READ_ROWS_MAX
    ) -> tuple[CallRecord, ...]:
        """Return running calls of other owners, by id, from the one behind `after` on."""
        found = [
            one
            for one in self._calls.values()
            if one.state == "running" and one.owner != not_owner and one.id > after
        ]
        return tuple(sorted(found, key=lambda one: one.id)[:limit])

    async def open_attempts(
        self, *, not_owner: str, after: str = "", limit: int = READ_ROWS_MAX
    ) -> tuple[AttemptRecord, ...]:
        """Return attempts of other owners that have not ended, by id, from behind `after` on."""
        found = [
            one
            for one in self._attempts.values()
            if one.state in OPEN_ATTEMPT_STATES and one.owner != not_owner and one.id > after
        ]
        return tuple(sorted(found, key=lambda one: one.id)[:limit])

    async def expired_assets(
        self, now_s: float, *, limit: int = READ_ROWS_MAX
    ) -> tuple[AssetRecord, ...]:
        """Return assets whose time was up at `now_s`, the longest expired first."""
        found = [
            (one.expires_at, one.id, one)
            for one in self._assets.values()
            if one.expires_at is not None and one.expires_at <= now_s
        ]
        return tuple(one for _, _, one in sorted(found, key=lambda each: each[:2])[:limit])

    async def oldest_assets(
        self, *, after: str = "", limit: int = READ_ROWS_MAX
    ) -> tuple[AssetRecord, ...]:
        """Return the assets in the folder that were kept first, from behind `after` on."""
        found = [one for one in self._assets.values() if one.id > after]
        return tuple(sorted(found, key=lambda one: one.id)[:limit])

    async def asset_bytes(self) -> int:
        """Return how many bytes the assets in the folder have together, as they are stored."""
        return sum(one.length for one in self._assets.values())

    async def aclose(self) -> None:
        """Forget everything."""
        self._is_closed = True
        self._calls.clear()
        self._attempts.clear()
        self._assets.clear()

    def _write(self, command: Command) -> None:
        match command:
            case Admit(call, attempt, parts):
                self._admit(call, (attempt, *parts))
            case Redispatch(attempt, ended, parts):
                self._redispatch((attempt, *parts), ended)
            case Settle(end, assets, call_end):
                self._end(end, call_end, assets)
            case Fail(end, call_end):
                self._end(end, call_end)
            case CloseCall(call_end):
                self._check_call_may_end(call_end)
                self._end_call(call_end)
            case Keep() | FreeKey() | Judge():
                pass  # nothing outlives its call here
            case Delivered(call_id, at) if call_id in self._calls:
                self._calls[call_id] = replace(self._calls[call_id], delivered_at=at)
            case Delivered():
                pass  # the call was closed, and left
            case ForgetFile(file):
                kept = {one.id: one for one in self._assets.values() if one.file != file}
                self._assets = kept
            case _:
                assert_never(command)

    def _admit(self, call: CallRecord, attempts: Sequence[AttemptRecord]) -> None:
        _check(call.id not in self._calls, f"call {call.id} is there already")
        for attempt in attempts:
            _check(attempt.call_id == call.id, f"attempt {attempt.id} is of another call")
            _check(attempt.id not in self._attempts, f"attempt {attempt.id} is there already")
        self._calls[call.id] = call
        self._attempts.update((attempt.id, attempt) for attempt in attempts)

    def _redispatch(self, attempts: Sequence[AttemptRecord], ended: AttemptEnd | None) -> None:
        for attempt in attempts:
            _check(attempt.call_id in self._calls, f"call {attempt.call_id} is not there")
            _check(attempt.id not in self._attempts, f"attempt {attempt.id} is there already")
            _check(self._is_number_free(attempt), f"the number of attempt {attempt.id} is taken")
        if ended is not None:
            self._check_attempt_may_end(ended)
            self._end_attempt(ended)
        self._attempts.update((attempt.id, attempt) for attempt in attempts)

    def _end(
        self, end: AttemptEnd, call: CallEnd | None, assets: tuple[AssetRecord, ...] = ()
    ) -> None:
        self._check_attempt_may_end(end)
        for asset in assets:
            _check(asset.id not in self._assets, f"asset {asset.id} is there already")
        if call is not None:
            self._check_call_may_end(call)
        self._end_attempt(end)
        self._assets.update((asset.id, asset) for asset in assets)
        if call is not None:
            self._end_call(call)

    def _end_attempt(self, end: AttemptEnd) -> None:
        self._attempts[end.id] = replace(self._attempts[end.id], **asdict(end))

    def _end_call(self, end: CallEnd) -> None:
        self._calls[end.id] = replace(self._calls[end.id], **asdict(end))
        attempts = [one for one in self._attempts.values() if one.call_id == end.id]
        if not any(one.state in OPEN_ATTEMPT_STATES for one in attempts):
            self._forget(end.id, attempts)

    def _forget(self, call_id: str, attempts: Sequence[AttemptRecord]) -> None:
        del self._calls[call_id]
        for attempt in attempts:
            del self._attempts[attempt.id]
        kept = {one.id: one for one in self._assets.values() if one.call_id != call_id}
        self._assets = kept

    def _is_number_free(self, attempt: AttemptRecord) -> bool:
        place = (attempt.call_id, attempt.number)
        return all((one.call_id, one.number) != place for one in self._attempts.values())

    def _check_attempt_may_end(self, end: AttemptEnd) -> None:
        known = self._attempts.get(end.id)
        may_end = known is not None and known.state in ENDABLE_ATTEMPT_STATES
        _check(may_end, f"attempt {end.id} is missing or has ended already")

    def _check_call_may_end(self, end: CallEnd) -> None:
        known = self._calls.get(end.id)
        may_end = known is not None and known.state in ENDABLE_CALL_STATES
        _check(may_end, f"call {end.id} is missing or has ended already")


def _check(is_met: bool, message: str) -> None:
    if not is_met:
        raise ConflictError(message)
