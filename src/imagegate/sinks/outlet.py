"""A bounded queue in front of one receiver, and the task that empties it."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from imagegate import clock, telemetry
from imagegate.config.sinks import SinkSettings
from imagegate.telemetry import CallEvent
from imagegate.transport.post import PostError

log = logging.getLogger(telemetry.LOGGER)

BATCH_MAX = 256
CLOSE_S_MAX = 3.0


class Receiver(Protocol):
    """Where events go; `send` raises whatever it likes where they did not get there."""

    async def send(self, events: Sequence[CallEvent]) -> None:
        """Hand over a batch, oldest first."""
        ...

    async def aclose(self) -> None:
        """Let go of files and connections."""
        ...


class OutletLimits(Struct, frozen=True):
    """How much waits, how long one batch may take, and when it is tried again; in seconds.

    `gather_s`: how long the first event of a batch waits for others.
    """

    queue_max: int = 1000
    batch_s_max: float = 10.0
    gather_s: float = 0.5
    again_after_s: tuple[float, ...] = (1.0, 5.0)


class Outlet:
    """Hands events to one receiver in batches; what does not fit or arrive is counted as lost."""

    def __init__(self, settings: SinkSettings, receiver: Receiver, limits: OutletLimits) -> None:
        self.settings = settings
        self.name = name = settings.name
        self.sent_count = 0
        self.lost_count = 0
        self._receiver = receiver
        self._limits = limits
        self._on = {True: settings.on_success, False: settings.on_failure}
        self._queue: deque[CallEvent] = deque()
        self._is_filled = asyncio.Event()
        self._is_closing = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"sink {name}")

    @property
    def waiting_count(self) -> int:
        """How many events wait in the queue."""
        return len(self._queue)

    def offer(self, event: CallEvent) -> None:
        """Take an event if it is wanted and there is room; never waits, never raises."""
        if not self._on[event.is_success]:
            return
        if len(self._queue) >= self._limits.queue_max:
            self.lost_count += 1
            return
        self._queue.append(event)
        self._is_filled.set()

    async def aclose(self) -> None:
        """Hand over what waits, for `CLOSE_S_MAX` at most; the rest is lost."""
        self._is_closing.set()
        self._is_filled.set()
        await asyncio.wait((self._task,), timeout=CLOSE_S_MAX)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.lost_count += len(self._queue)
        self._queue.clear()
        await self._receiver.aclose()

    async def _run(self) -> None:
        while not (self._is_closing.is_set() and not self._queue):
            await self._is_filled.wait()
            await self._pause(self._limits.gather_s)
            self._is_filled.clear()
            while self._queue:
                await self._hand_over()

    async def _hand_over(self) -> None:
        count = min(BATCH_MAX, len(self._queue))
        batch = [self._queue.popleft() for _ in range(count)]
        waits = iter(self._limits.again_after_s)
        while not await self._try(batch):
            wait_s = next(waits, None)
            if wait_s is None or self._is_closing.is_set():
                self._lose(batch)
                return
            await self._pause(wait_s)
        self.sent_count += count

    async def _try(self, batch: Sequence[CallEvent]) -> bool:
        try:
            async with asyncio.timeout(self._limits.batch_s_max):
                await self._receiver.send(batch)
        except Exception as error:  # whatever is wrong with a receiver, calls go on
            log.warning(telemetry.SINK_LOST, extra={"sink": self.name, "reason": _words(error)})
            return False
        return True

    def _lose(self, batch: Sequence[CallEvent]) -> None:
        self.lost_count += len(batch)

    async def _pause(self, seconds: float) -> None:
        """Wait, unless the outlet is to be closed."""
        if self._is_closing.is_set():
            return
        closing = asyncio.ensure_future(self._is_closing.wait())
        waiting = asyncio.ensure_future(clock.sleep(seconds))
        try:
            await asyncio.wait((closing, waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            closing.cancel()
            waiting.cancel()


def _words(error: Exception) -> str:
    """Return why a receiver took nothing: words of ours or the system's, of others the type only.

    An operator's own class, or a library, may quote what it was given.
    """
    name = type(error).__name__
    if isinstance(error, PostError):
        return f"{name}: {error}"
    return f"{name}: {error.strerror}" if isinstance(error, OSError) and error.strerror else name
