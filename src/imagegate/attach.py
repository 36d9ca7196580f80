"""Attach: a request that was made before joins its call instead of buying a second image.

By its `Idempotency-Key`, for as long as the call's row is there; without one for a while, where an
identical call's caller left or its end is unknown, or where the client says that it asks again.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Self, TypeAlias

import msgspec
from msgspec import Struct

from imagegate import clock
from imagegate.call_options import AttachTerms, CallOptions
from imagegate.config.settings import Settings
from imagegate.errors import ImageError, OverloadedError, UnprocessableEntityError
from imagegate.fingerprint import differing
from imagegate.ledger.records import CallRecord, Delivered, FreeKey, LedgerError
from imagegate.running import Outcome, RunningCall, Work
from imagegate.settle import Tools
from imagegate.stored import Opened, open_stored, read_stored
from imagegate.types import ImageCall

LEDGER_RETRY_S = 5.0
POLL_S = 0.25  # how often a call in the hands of another process, or of a recovery, is looked at
KEEP_LATE_S = 5.0  # so long the images of a call that nobody read may take to be kept
FOLLOW_S_MAX = 3600.0
WAIT_S = 600.0  # how long a caller waits for a call whose deployment is not known here


OnOver: TypeAlias = Callable[[Work], None]


class KeyTakenError(OverloadedError):
    """Another process admitted a call with the same key at the same time."""

    code = "idempotency_key_in_use"


class Place:
    """A request's place: at a call that was made before, or the only one to make it.

    Inside its `async with` block others with the same key wait for it.
    """

    joined: RunningCall | None = None

    def __init__(self, desk: "Desk", call: ImageCall, options: CallOptions) -> None:
        self._desk = desk
        self._call = call
        self._options = options
        self._key = options.attach.scoped_key if options.attach else ""

    async def __aenter__(self) -> Self:
        if self._key:
            await self._desk.claim(self._key)
        try:
            self.joined = await self._desk.find(self._call, self._options)
        except BaseException:
            self._leave()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def enter(self, work: Work) -> None:
        """Let others find the call that was made."""
        if self._options.attach is not None:
            self._desk.enter(work, self._options.attach)

    def _leave(self) -> None:
        if self._key:
            self._desk.unclaim(self._key)


class Left(Struct, frozen=True):
    """A call that nobody read to its end; identical requests attach until `until_s`."""

    call_id: str
    fingerprint: str
    until_s: float


class Desk:
    """Knows the calls that a request may join: running here, left here, or in the ledger."""

    def __init__(self, settings: Settings, tools: Tools) -> None:
        self._attach_s = settings.attach_s
        self._tools = tools
        self._keyed: dict[str, Work] = {}
        self._alike: dict[str, list[Work]] = {}
        self._left: dict[str, list[Left]] = {}
        self._left_order: deque[Left] = deque()
        self._claims: dict[str, asyncio.Event] = {}
        self.works: dict[str, Work] = {}
        """The calls that run in this process, by id."""

    def take_over(self, former: "Desk") -> None:
        """Know what the desk of the settings before knows, and learns: its calls are joined on."""
        self._keyed, self._alike = former._keyed, former._alike
        self._left, self._left_order = former._left, former._left_order
        self._claims, self.works = former._claims, former.works

    async def load(self) -> None:
        """Find the calls that were left before this process began. Raises `LedgerError`."""
        since_s = clock.now_s() - self._attach_s
        after = clock.least_id("call", since_s)
        while calls := await self._tools.ledger.undelivered_calls(since_s=since_s, after=after):
            for call in calls:
                self._leave(call.id, call.fingerprint or "", call.finished_at or clock.now_s())
            after = calls[-1].id

    def place(self, call: ImageCall, options: CallOptions) -> Place:
        """Return a request's place, to be entered; that may raise what `find` does."""
        return Place(self, call, options)

    async def claim(self, key: str) -> None:
        """Wait until nobody else makes a call with this key."""
        while key in self._claims:
            await self._claims[key].wait()
        self._claims[key] = asyncio.Event()

    def unclaim(self, key: str) -> None:
        """Let the next one with this key look for the call that was made."""
        self._claims.pop(key).set()

    def enter(self, work: Work, terms: AttachTerms) -> None:
        """Let requests find a call that runs here."""
        work.attach = terms
        if terms.key:
            self._keyed[terms.scoped_key] = work
        self._alike.setdefault(terms.fingerprint, []).append(work)

    def close(self, work: Work) -> None:
        """Forget a call that is over; where nobody has its image, its twin may come for it."""
        if self.works.get(work.id) is work:
            del self.works[work.id]
        terms = work.attach
        if terms is None:
            return
        if self._keyed.get(terms.scoped_key) is work:
            del self._keyed[terms.scoped_key]
        alike = self._alike[terms.fingerprint]
        alike.remove(work)
        if not alike:
            del self._alike[terms.fingerprint]
        if work.is_unknown or work.is_abandoned:
            self._leave(work.id, terms.fingerprint, clock.now_s())

    async def find(self, call: ImageCall, options: CallOptions) -> RunningCall | None:
        """Return a place at the call that was made before, None where there is none.

        Raises `UnprocessableEntityError` where its key was used for another request.
        """
        terms = options.attach
        if terms is None:
            return None
        try:
            if terms.key:
                return await self._find_by_key(call, options, terms)
            return None if terms.is_new else await self._find_alike(call, options, terms)
        except LedgerError as error:
            raise ledger_away(error) from error

    async def _find_by_key(
        self, call: ImageCall, options: CallOptions, terms: AttachTerms
    ) -> RunningCall | None:
        work = self._keyed.get(terms.scoped_key)
        if work is not None and work.attach is not None and not work.was_in_vain:
            check_same(work.attach.fingerprint, terms)
            return _join(work, call, options)
        row = await self._tools.ledger.call_by_key(terms.scoped_key)
        if row is None:
            return None
        check_same(row.fingerprint or "{}", terms)
        return await self._reopen(row, call, options, terms)

    async def _find_alike(
        self, call: ImageCall, options: CallOptions, terms: AttachTerms
    ) -> RunningCall | None:
        for work in reversed(self._alike.get(terms.fingerprint, ())):
            if terms.is_retry or work.is_unknown or not work.is_attended:
                return _join(work, call, options)
        for left in self._left_calls(terms.fingerprint):
            row = await self._tools.ledger.get_call(left.call_id)
            if row is not None and row.state != "failed" and row.delivered_at is None:
                return await self._reopen(row, call, options, terms)
            self._forget(left)
        if not terms.is_retry:
            return None
        since_s = clock.now_s() - self._attach_s
        row = await self._tools.ledger.like_call(terms.fingerprint, since_s=since_s)
        return await self._reopen(row, call, options, terms) if row else None

    async def _reopen(
        self, row: CallRecord, call: ImageCall, options: CallOptions, terms: AttachTerms
    ) -> RunningCall | None:
        """Return a place at a call of the ledger; None where its key is free again."""
        reopened = _Reopened(row, call, self._tools, self._close_reopened)
        is_here = await reopened.read()
        end = reopened.opened.end
        if is_here and isinstance(end, ImageError) and end.fault == "moment":
            await self._tools.ledger.commit(FreeKey(row.id))
            return None
        work = reopened.work
        running = _join(work, call, options)
        self.enter(work, terms)
        if is_here:
            reopened.tell()
        else:
            self._tools.start_task(work.id, reopened.follow())
        return running

    def _close_reopened(self, work: Work) -> None:
        terms = work.attach
        self.close(work)
        if terms is not None and work.is_delivered:
            self.hand_over(work.id, terms.fingerprint)

    def hand_over(self, call_id: str, fingerprint: str) -> None:
        """Note that a caller has what an ended call brought: no twin comes for it any more."""
        self._tools.ledger.note(Delivered(call_id, clock.now_s()))
        for left in self._left_calls(fingerprint):
            if left.call_id == call_id:
                self._forget(left)

    def _left_calls(self, fingerprint: str) -> list[Left]:
        now_s = clock.now_s()
        while self._left_order and self._left_order[0].until_s <= now_s:
            self._forget(self._left_order.popleft())
        return list(self._left.get(fingerprint, ()))

    def _leave(self, call_id: str, fingerprint: str, since_s: float) -> None:
        left = Left(call_id, fingerprint, since_s + self._attach_s)
        self._left.setdefault(fingerprint, []).append(left)
        self._left_order.append(left)

    def _forget(self, left: Left) -> None:
        alike = self._left.get(left.fingerprint, [])
        if left in alike:
            alike.remove(left)
        if not alike:
            self._left.pop(left.fingerprint, None)


class _Reopened:
    """A call of the ledger that a request joined: told at once, or when it has ended elsewhere."""

    def __init__(self, row: CallRecord, call: ImageCall, tools: Tools, on_over: OnOver) -> None:
        self._row = row
        self._tools = tools
        self._on_over = on_over
        self.opened = Opened(ledger_away(LedgerError("the call was not found")))
        asked = msgspec.structs.replace(call, id=row.id)
        # Its guardrails have ruled, and none other is met here: they are a part of the fingerprint.
        guard = tools.guards.none(row.id)
        self.work = Work(asked, tools.spool.open_call(row.id), self._close, guard)

    async def read(self) -> bool:
        """Return whether the call has ended and its images are where they belong."""
        row = self._row = await self._tools.ledger.get_call(self._row.id) or self._row
        if row.state == "running":
            return False
        stored = await read_stored(self._tools.ledger, row)
        self.work.trace.verdicts = [one.verdict for one in stored.verdicts]
        is_done = row.state == "done"
        if is_done and not stored.has_all_images and _is_fresh(row):
            return False  # images that were to go are kept for a caller who left
        self.opened = await open_stored(
            stored, self._tools.ledger, self._tools.store, self.work.call
        )
        return True

    async def follow(self) -> None:
        """Wait until the call has ended, and tell how."""
        try:
            async with asyncio.timeout(FOLLOW_S_MAX):
                while not await self.read():
                    await clock.sleep(POLL_S)
        except (LedgerError, TimeoutError) as error:
            self.opened = Opened(ledger_away(error))
        self.tell()

    def tell(self) -> None:
        """End the callers' wait."""
        end = self.opened.end
        if isinstance(end, Outcome):
            self.work.succeed(end)
        else:
            self.work.fail(end)
        self.work.finish()

    def _close(self, work: Work) -> None:
        self.opened.close()
        work.spool.close()
        self._on_over(work)


def ledger_away(error: BaseException) -> OverloadedError:
    """Return what a caller is told where the ledger takes or tells nothing."""
    return OverloadedError(
        f"The ledger takes nothing at the moment ({error}), so nothing was sent.",
        code="ledger_unavailable",
        retry_after_s=LEDGER_RETRY_S,
    )


def _join(work: Work, call: ImageCall, options: CallOptions) -> RunningCall:
    asked = msgspec.structs.replace(call, id=work.id)
    return work.join(asked, options.timeout_s or work.limit_s or WAIT_S)


def check_same(fingerprint: str, terms: AttachTerms) -> None:
    """Raise `UnprocessableEntityError` where a key's first request asked for something else."""
    names = differing(fingerprint, terms.fingerprint)
    if names:
        raise UnprocessableEntityError(
            f"This Idempotency-Key was used for another request: {', '.join(names)} differ. Send "
            "the same request for the same answer, or another key for another image.",
            param=names[0],
        )


def key_taken() -> KeyTakenError:
    """Return the error of a call that was admitted elsewhere; its row is there now."""
    return KeyTakenError(
        "Another process of this gateway has just begun a call with this Idempotency-Key. Nothing "
        "was sent; the same request again attaches to it.",
        retry_after_s=1.0,
    )


def _is_fresh(row: CallRecord) -> bool:
    return row.finished_at is not None and clock.now_s() - row.finished_at < KEEP_LATE_S
