"""One call in flight: its work, and each caller's place at it - wait, watch, leave.

Several callers may stand at one work: a repeated request attaches to what was bought already.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from operator import attrgetter

import msgspec
from msgspec import Struct

from imagegate import clock
from imagegate.assets.spool import CallSpool
from imagegate.attempt import Attempt
from imagegate.call_options import AttachTerms
from imagegate.config.settings import Deployment
from imagegate.dispatch import Dispatch
from imagegate.errors import ImageError, OverloadedError, UpstreamTimeoutError
from imagegate.guardrails.guards import GuardedCall
from imagegate.ledger.records import AssetRecord
from imagegate.telemetry import Verdict
from imagegate.types import Adjustment, ImageCall, ImageResult, PartialImage

LONGEST_SILENCE_S = 3600.0
WATCHERS_MAX = 100
_has_read, _is_attended = attrgetter("has_read"), attrgetter("is_attended")
_is_gone, _is_promised = attrgetter("is_gone"), attrgetter("is_promised")
_is_through = attrgetter("is_through")


class Outcome(Struct, frozen=True, kw_only=True):
    """A call that brought images. Every image has a checked blob. `cost_e10` None: unknown.

    `assets` are the kept images in the same order; none where they are not kept.
    """

    call: ImageCall
    result: ImageResult
    adjustments: tuple[Adjustment, ...]
    warnings: tuple[str, ...]
    cost_e10: int | None
    deployment: Deployment
    attempts: int
    upstream_headers: Mapping[str, str]
    assets: tuple[AssetRecord, ...] = ()
    verdicts: tuple[Verdict, ...] = ()


class Work:
    """A call that was admitted. Callers come and go; the work goes on.

    Of `limit_s`, `waited_s` had passed in the queue before it began. `unkept` is what attempts
    brought and retention lets go unless all callers leave. `on_over` is called once, when both the
    work and all its callers are through: then its files are given back.
    """

    def __init__(
        self,
        call: ImageCall,
        spool: CallSpool,
        on_over: Callable[["Work"], None],
        guard: GuardedCall,
    ):
        self.id = call.id
        self.call = call
        self.guard = guard
        self.trace = guard.trace
        self.spool = spool
        self.dispatch = Dispatch()
        self.attach: AttachTerms | None = None
        self.partial_count = 0
        self.started_at = clock.now_s()
        self.limit_s: float | None = None
        self.waited_s = 0.0
        self.is_over = False
        self.keeps_all = False
        self.unkept: list[tuple[Attempt, ImageResult]] = []
        self._end: Outcome | ImageError | None = None
        self._hidden: PartialImage | None = None
        self._is_finished = False
        self._on_over = on_over
        self._callers: list[RunningCall] = []
        self._watchers: list[RunningCall] = []

    @property
    def has_ended(self) -> bool:
        """Whether its callers know how it ended."""
        return self._end is not None

    @property
    def scoped_key(self) -> str:
        """The idempotency key by which it is found, `""` for none."""
        return self.attach.scoped_key if self.attach else ""

    # Asked for several times a call: to map over the callers costs a third of a generator.
    @property
    def is_promised(self) -> bool:
        """Whether a caller was told to come for it later: then its images are kept."""
        return any(map(_is_promised, self._callers))

    @property
    def is_delivered(self) -> bool:
        """Whether a caller has read the outcome to its end."""
        return isinstance(self._end, Outcome) and any(map(_has_read, self._callers))

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody has what it brought: all callers left, or it was not for them."""
        return self.keeps_all or all(map(_is_gone, self._callers))

    @property
    def is_attended(self) -> bool:
        """Whether one of its callers still waits, or will come, as far as can be told."""
        return any(map(_is_attended, self._callers))

    @property
    def is_unknown(self) -> bool:
        """Whether it ended with a fault after which an image may exist that nobody has."""
        return isinstance(self._end, ImageError) and self._end.fault == "ambiguous"

    @property
    def was_in_vain(self) -> bool:
        """Whether it ended for certain without a purchase, and might go better now."""
        return isinstance(self._end, ImageError) and self._end.fault in ("moment", "deployment")

    def has_time_for(self, wait_s: float) -> bool:
        """Return whether a further attempt may begin after `wait_s`: one deadline for all."""
        limit_s = LONGEST_SILENCE_S if self.limit_s is None else self.limit_s
        return clock.now_s() + wait_s < self.started_at + limit_s - self.waited_s

    def join(self, call: ImageCall, limit_s: float | None = None) -> "RunningCall":
        """Return the place of one caller, who asked by `call` and waits `limit_s` at most."""
        assert not self.is_over
        running = RunningCall(self, call)
        if limit_s is not None:
            running.limit_wait(limit_s, 0.0 if self._callers else self.waited_s)
        self._callers.append(running)
        if self._end is not None:
            running.tell(self._end)
        return running

    def watch(self) -> "RunningCall":
        """Return the place of somebody who looks on: it changes nothing for the call.

        Raises as `check_watchers` does.
        """
        assert not self.is_over
        self.check_watchers()
        watcher = RunningCall(self, self.call)
        watcher.on_through = lambda: self._watchers.remove(watcher)
        self._watchers.append(watcher)
        if self._end is not None:
            watcher.tell(self._end)
        return watcher

    def check_watchers(self) -> None:
        """Raise `OverloadedError` where nobody more may look on."""
        if len(self._watchers) >= WATCHERS_MAX:
            raise OverloadedError(f"{WATCHERS_MAX} watch the call {self.id} already; poll it.")

    def begin_sending(self, attempt_id: str) -> None:
        """Note that an attempt is sent now. Raises where the call was cancelled before."""
        self.dispatch.begin(attempt_id)
        for watcher in self._watchers:
            watcher.wake()

    def show(self, partial: PartialImage) -> None:
        """Give every caller a partial image, unless a guardrail has to see the whole one first."""
        self.trace.show_partial()
        if self.guard.checks_output:
            self._hidden = partial
            return
        self.partial_count += 1
        for caller in (*self._callers, *self._watchers):
            caller.show(partial)

    def succeed(self, outcome: Outcome) -> None:
        """End the wait with an outcome and all verdicts."""
        if self.call.operation == "responses" and self._hidden is not None:
            for caller in self._callers:
                caller.show(self._hidden)  # how far its own bytes have come
        if self.trace.verdicts:
            outcome = msgspec.structs.replace(outcome, verdicts=tuple(self.trace.verdicts))
        self._tell(outcome)

    def fail(self, error: ImageError) -> None:
        """End the wait with the call's error."""
        error.call_id = self.id
        error.verdicts = tuple(str(verdict) for verdict in self.trace.verdicts)
        self._tell(error)

    def finish(self) -> None:
        """The work is over; nothing will be written to the spool any more."""
        self._is_finished = True
        self.close_if_over()

    def close_if_over(self) -> None:
        """Give the files back where the work and all callers are through."""
        if not self._is_finished or self.is_over:
            return
        if all(map(_is_through, (*self._callers, *self._watchers))):
            self.is_over = True
            self._on_over(self)
            # They know this work: without a circle all that a call had is freed at once.
            self._callers.clear()

    def _tell(self, end: Outcome | ImageError) -> None:
        self._end = end
        for caller in (*self._callers, *self._watchers):
            caller.tell(end)


class RunningCall:
    """One caller's place at a call that was admitted. Whoever waits may leave; the work goes on.

    `release`, `abandon` or `promise` must be called once, when the caller has read all that it
    wants, or waits no longer. `hang_up` says before that that the caller is gone. `on_through` is
    called at the end of the place.
    """

    def __init__(self, work: Work, call: ImageCall) -> None:
        self.id = work.id
        self.call = call
        self.is_through = False
        self.is_gone = False
        self.is_promised = False
        self.has_hung_up = False
        self.on_through: Callable[[], None] | None = None
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._end: Outcome | ImageError | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._told_at_end: list[Callable[[], object]] = []
        self._partial: PartialImage | None = None
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def has_read(self) -> bool:
        """Whether the caller has taken what there was to its end."""
        return self.is_through and not (self.is_gone or self.is_promised)

    @property
    def is_attended(self) -> bool:
        """Whether somebody still waits here, or will come, as far as can be told."""
        return self.is_promised or not (self.is_through or self.is_gone or self.has_hung_up)

    def limit_wait(self, seconds: float, waited_s: float = 0.0) -> None:
        """End this caller's wait after `seconds` in all; the purchase goes on behind it."""
        self._deadline = self._loop.call_later(seconds - waited_s, self._expire, seconds)

    async def wait(self) -> Outcome:
        """Return the outcome, or raise the call's `ImageError`.

        Cancelling the waiter does not cancel the call. At the deadline `UpstreamTimeoutError`.
        """
        while self._end is None:
            await self._change()
        return _outcome(self._end)

    async def wait_while_connected(self) -> Outcome | None:
        """Return None as soon as the caller has hung up, else what `wait` does."""
        while self._end is None:
            if self.has_hung_up:
                return None
            await self._change()
        return _outcome(self._end)

    @property
    def has_ended(self) -> bool:
        """Whether there is an outcome or an error to wait for no longer."""
        return self._end is not None

    @property
    def error(self) -> ImageError | None:
        """The error that its caller was told, None where there is none."""
        return self._end if isinstance(self._end, ImageError) else None

    async def partials(self) -> AsyncIterator[PartialImage]:
        """Yield partial images as they come, until the call has ended; a slow reader skips some."""
        while True:
            if (partial := await self.next_partial(LONGEST_SILENCE_S)) is not None:
                yield partial
            elif self.has_ended:
                return

    async def next_partial(self, within_s: float) -> PartialImage | None:
        """Return the newest partial image; None after `within_s`, a `wake` or the call's end."""
        if self._partial is None and not self.has_ended:
            await self._silence(within_s)
        partial, self._partial = self._partial, None
        return partial

    async def _silence(self, within_s: float) -> None:
        timer = self._loop.call_later(max(within_s, 0.0), self.wake)
        try:
            await self._change()
        finally:
            timer.cancel()

    async def _change(self) -> None:
        """Wait until there is something new, or a `wake`."""
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)

    def release(self) -> None:
        """The caller has read everything."""
        if not self.is_through:
            self.is_through = True
            self._end_wait()
            if self.on_through is not None:
                self.on_through()
            self._work.close_if_over()

    def hang_up(self) -> None:
        """The caller is gone, which whoever waits for it should know."""
        self.has_hung_up = True
        self.wake()

    def abandon(self) -> None:
        """The caller left before it had everything; what comes is kept."""
        self.is_gone = self.is_gone or not self.is_through
        self.release()

    def on_end(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the caller's wait has ended, also where it waits no longer."""
        if self.has_ended:
            callback()
        else:
            self._told_at_end.append(callback)

    def promise(self) -> None:
        """The caller was told to come for it later; what comes is kept."""
        self.is_promised = self.is_promised or not self.is_through
        self.release()

    def show(self, partial: PartialImage) -> None:
        """Take a partial image; a newer one replaces what nobody has read yet."""
        self._partial = partial
        self.wake()

    def tell(self, end: Outcome | ImageError) -> None:
        """End the wait; too late is no error."""
        if self._end is None:
            self._end = end
            for callback in self._told_at_end:
                callback()
        self._end_wait()

    def _expire(self, seconds: float) -> None:
        self.is_gone = True
        error = UpstreamTimeoutError(
            f"No image within {seconds:g} s. The call goes on and may still be billed; what "
            "comes late is kept under this call id. Do not send it again before you looked."
        )
        error.call_id = self.id
        error.verdicts = tuple(str(verdict) for verdict in self._work.trace.verdicts)
        self.tell(error)

    def _end_wait(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self.wake()

    def wake(self) -> None:
        """End the wait for a partial image, without one."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


def _outcome(end: Outcome | ImageError) -> Outcome:
    if isinstance(end, ImageError):
        raise end
    return end
