"""One call in flight, as its caller sees it: wait for it, watch it, leave it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

from msgspec import Struct

from imagegate.assets.spool import CallSpool
from imagegate.attempt import Attempt
from imagegate.config.settings import Deployment
from imagegate.errors import ImageError, UpstreamTimeoutError
from imagegate.types import Adjustment, AdjustPolicy, ImageCall, ImageResult, PartialImage


class CallOptions(Struct, frozen=True):
    """What a caller may say about the handling of a call; None: the operator's choice.

    `max_cost_e10` is in 1e-10 USD; `timeout_s` how long the caller waits.
    """

    adjust: AdjustPolicy | None = None
    max_cost_e10: int | None = None
    timeout_s: float | None = None
    end_user: str = ""


class Outcome(Struct, frozen=True, kw_only=True):
    """A call that brought images. Every image has a checked blob. `cost_e10` None: unknown."""

    call: ImageCall
    result: ImageResult
    adjustments: tuple[Adjustment, ...]
    warnings: tuple[str, ...]
    cost_e10: int | None
    deployment: Deployment
    attempts: int
    upstream_headers: Mapping[str, str]


class RunningCall:
    """A call that was admitted. Whoever waits may leave; the work goes on.

    `unkept` is what an attempt brought and retention lets go unless the caller leaves.
    `release` or `abandon` must be called once, when the caller has read all that it wants; the
    files of the call are given back when both the work and the caller are through.
    """

    def __init__(self, call: ImageCall, spool: CallSpool, on_over: Callable[["RunningCall"], None]):
        self.id = call.id
        self.call = call
        self.spool = spool
        self.is_abandoned = False
        self.unkept: tuple[Attempt, ImageResult] | None = None
        self._is_released = False
        self._is_finished = False
        self._on_over = on_over
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Outcome] = self._loop.create_future()
        self._answer.add_done_callback(_retrieve)
        self._changed: asyncio.Event | None = None
        self._partial: PartialImage | None = None
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

    async def partials(self) -> AsyncIterator[PartialImage]:
        """Yield partial images as they come, until the call has ended; a slow reader skips some."""
        self._changed = self._changed or asyncio.Event()
        while True:
            if self._partial is not None:
                partial, self._partial = self._partial, None
                yield partial
            elif self._answer.done():
                return
            else:
                self._changed.clear()
                await self._changed.wait()

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
        self._partial = partial
        self._wake()

    def succeed(self, outcome: Outcome) -> None:
        """End the wait with an outcome; too late is no error."""
        if not self._answer.done():
            self._answer.set_result(outcome)
        self._end_wait()

    def fail(self, error: ImageError) -> None:
        """End the wait with the call's error; too late is no error."""
        error.call_id = self.id
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
        self._wake()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()

    def _close_if_over(self) -> None:
        if self._is_finished and self._is_released:
            self._on_over(self)


def _retrieve(answer: "asyncio.Future[Outcome]") -> None:
    # Nobody may be left to wait; the error is in the ledger and in the log all the same.
    if not answer.cancelled():
        answer.exception()
