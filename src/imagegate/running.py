"""One call in flight, as its caller sees it: wait for it, watch it, leave it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import msgspec
from msgspec import Struct

from imagegate import clock
from imagegate.assets.spool import CallSpool
from imagegate.attempt import Attempt
from imagegate.config.settings import Deployment
from imagegate.errors import ImageError, UpstreamTimeoutError
from imagegate.guardrails.guards import GuardedCall
from imagegate.ledger.people import OPERATOR, Account
from imagegate.ledger.records import AssetRecord
from imagegate.telemetry import Verdict
from imagegate.trace import Trace
from imagegate.types import Adjustment, AdjustPolicy, ImageCall, ImageResult, PartialImage

LONGEST_SILENCE_S = 3600.0


class CallOptions(Struct, frozen=True):
    """What a caller may say about the handling of a call; None: the operator's choice.

    `max_cost_e10` is in 1e-10 USD; `timeout_s` how long the caller waits. `trace` is what was
    noted before the call was read; `guardrails` are further ones for this call, by name.
    `account` is who calls.
    """

    adjust: AdjustPolicy | None = None
    max_cost_e10: int | None = None
    timeout_s: float | None = None
    end_user: str = ""
    trace: Trace | None = None
    guardrails: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    account: Account = OPERATOR


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


class RunningCall:
    """A call that was admitted. Whoever waits may leave; the work goes on.

    `unkept` is what attempts brought and retention lets go unless the caller leaves.
    `release` or `abandon` must be called once, when the caller has read all that it wants; the
    files of the call are given back when both the work and the caller are through.
    """

    def __init__(
        self,
        call: ImageCall,
        spool: CallSpool,
        on_over: Callable[["RunningCall"], None],
        guard: GuardedCall,
    ):
        self.id = call.id
        self.call = call
        self.guard = guard
        self.trace = guard.trace
        self.spool = spool
        self.started_at = clock.now_s()
        self.is_abandoned = False
        self.unkept: list[tuple[Attempt, ImageResult]] = []
        self._is_released = False
        self._is_finished = False
        self._on_over = on_over
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Outcome] = self._loop.create_future()
        self._answer.add_done_callback(_retrieve)
        self._changed: asyncio.Event | None = None
        self._partial: PartialImage | None = None
        self._hidden: PartialImage | None = None
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def is_delivered(self) -> bool:
        """Whether a caller has read the outcome to its end."""
        has_outcome = self._answer.done() and self._answer.exception() is None
        return has_outcome and not self.is_abandoned

    def limit_wait(self, seconds: float) -> None:
        """End the caller's wait after `seconds`; the purchase goes on behind it."""
        self._deadline = self._loop.call_later(seconds, self._expire, seconds)

    async def wait(self) -> Outcome:
        """Return the outcome, or raise the call's `ImageError`.

        Cancelling the waiter does not cancel the call. At the deadline `UpstreamTimeoutError`.
        """
        return await asyncio.shield(self._answer)

    @property
    def has_ended(self) -> bool:
        """Whether there is an outcome or an error to wait for no longer."""
        return self._answer.done()

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
        self._changed = self._changed or asyncio.Event()
        self._changed.clear()
        timer = self._loop.call_later(max(within_s, 0.0), self._changed.set)
        try:
            await self._changed.wait()
        finally:
            timer.cancel()

    def release(self) -> None:
        """The caller has read everything."""
        if not self._is_released:
            self._is_released = True
            self._close_if_over()

    def abandon(self) -> None:
        """The caller left before it had everything; what comes is kept."""
        self.is_abandoned = self.is_abandoned or not self._is_released
        self.release()

    def show(self, partial: PartialImage) -> None:
        """Take a partial image; a newer one replaces what nobody has read yet."""
        self.trace.show_partial()
        if self.guard.checks_output:
            self._hidden = partial  # a guardrail has not seen the image yet
            return
        self._partial = partial
        self.wake()

    def succeed(self, outcome: Outcome) -> None:
        """End the wait with an outcome and all verdicts; too late is no error."""
        if self.call.operation == "responses":
            self._partial = self._partial or self._hidden  # how far its own bytes have come
        if self.trace.verdicts:
            outcome = msgspec.structs.replace(outcome, verdicts=tuple(self.trace.verdicts))
        if not self._answer.done():
            self._answer.set_result(outcome)
        self._end_wait()

    def fail(self, error: ImageError) -> None:
        """End the wait with the call's error; too late is no error."""
        error.call_id = self.id
        error.verdicts = tuple(str(verdict) for verdict in self.trace.verdicts)
        if not self._answer.done():
            self._answer.set_exception(error)
        self._end_wait()

    def finish(self) -> None:
        """The work is over; nothing will be written to the spool any more."""
        self._is_finished = True
        self._close_if_over()

    def _expire(self, seconds: float) -> None:
        self.is_abandoned = True
        self.fail(
            UpstreamTimeoutError(
                f"No image within {seconds:g} s. The call goes on and may still be billed; what "
                "comes late is kept under this call id. Do not send it again before you looked."
            )
        )

    def _end_wait(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self.wake()

    def wake(self) -> None:
        """End the wait for a partial image, without one."""
        if self._changed is not None:
            self._changed.set()

    def _close_if_over(self) -> None:
        if self._is_finished and self._is_released:
            self._on_over(self)


def _retrieve(answer: "asyncio.Future[Outcome]") -> None:
    # Nobody may be left to wait; the error is in the ledger and in the log all the same.
    if not answer.cancelled():
        answer.exception()
