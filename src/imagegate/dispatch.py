"""Whether a call may still be taken back: as long as nothing of it is sent or may have been bought.

The seam between an admitted call's waits and its upstreams: all that it waits for before it is sent
(its turn, a pause) it waits for inside `unless_cancelled`.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from imagegate.errors import BadRequestError, ImageError

T = TypeVar("T")


class Dispatch:
    """What of one call is at an upstream. An attempt that bought nothing for certain is not."""

    __slots__ = ("_cancelled", "_sent", "is_cancelled")

    def __init__(self) -> None:
        self.is_cancelled = False
        self._sent: set[str] = set()
        self._cancelled: asyncio.Event | None = None

    @property
    def is_sent(self) -> bool:
        """Whether an attempt is at an upstream, or may have bought something there."""
        return bool(self._sent)

    def begin(self, attempt_id: str) -> None:
        """Note that an attempt is sent now. Raises where the call was cancelled: then it is not."""
        if self.is_cancelled:
            raise cancelled()
        self._sent.add(attempt_id)

    def end(self, attempt_id: str, error: ImageError) -> None:
        """Note that an attempt failed; what it may have bought stays noted."""
        if error.fault != "ambiguous":
            self._sent.discard(attempt_id)

    def cancel(self) -> bool:
        """Let nothing be sent any more; return False, and change nothing, where it is too late."""
        if self.is_sent:
            return False
        self.is_cancelled = True
        if self._cancelled is not None:
            self._cancelled.set()
        return True

    async def unless_cancelled(self, waiting: Coroutine[Any, Any, T]) -> T:
        """Return what `waiting` comes to, else, as soon as the call is cancelled, raise and end it.

        What came in the same moment is returned: a place that was granted has to be given back.
        """
        if self._cancelled is None:
            self._cancelled = asyncio.Event()
        cancelling = asyncio.ensure_future(self._cancelled.wait())
        work = asyncio.ensure_future(waiting)
        try:
            await asyncio.wait((work, cancelling), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            raise cancelled()
        finally:
            cancelling.cancel()
            work.cancel()


def cancelled() -> ImageError:
    """Return the error of a call that was taken back."""
    return BadRequestError(
        "The call was cancelled before anything was sent; nothing was bought.",
        code="call_cancelled",
        http_status=409,
    )
