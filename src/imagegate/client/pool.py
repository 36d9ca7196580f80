"""The runtimes of a client, one for each set of settings, so that calls share connections."""

import asyncio
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from imagegate.client.held import Held
from imagegate.client.keyed import KeyedCalls
from imagegate.client.loop import LoopThread

if TYPE_CHECKING:
    from imagegate.config.settings import Settings
    from imagegate.running import RunningCall
    from imagegate.runtime.assemble import Runtime

RUNTIMES_MAX = 32


class Entry:
    """A runtime and the calls whose bytes someone still holds."""

    def __init__(self, settings: "Settings", runtime: "Runtime") -> None:
        self.settings = settings
        self.runtime = runtime
        self._held: weakref.WeakSet[Held] = weakref.WeakSet()
        self._begun_count = 0

    @property
    def is_idle(self) -> bool:
        """Whether no call is at work and nobody holds a result."""
        return not (self._held or self._begun_count or self.runtime.supervisor.running_count)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the runtime open while a call is being begun."""
        self._begun_count += 1
        try:
            yield
        finally:
            self._begun_count -= 1

    def hold(self, thread: LoopThread, running: "RunningCall") -> Held:
        """Return the holder of a call's bytes."""
        held = Held(thread, running)
        self._held.add(held)
        return held

    async def aclose(self) -> None:
        """Close everything; bytes that someone still holds are taken into memory first."""
        for held in list(self._held):
            with suppress(OSError, ValueError):  # an unfinished call has nothing to take
                held.detach()
        await self.runtime.aclose()


class Pool:
    """At most `RUNTIMES_MAX` idle runtimes; used on the loop thread only."""

    def __init__(self, thread: LoopThread) -> None:
        self.thread = thread
        self._entries: list[Entry] = []
        self.keyed = KeyedCalls()
        self._lock = asyncio.Lock()
        left = partial(_close_left, self._entries)
        # A client that nobody closes, and no stream of it reads on: its connections end with it.
        weakref.finalize(self, thread.post, left).atexit = False

    async def get(self, settings: "Settings") -> Entry:
        """Return the entry of `settings`, opened if need be."""
        async with self._lock:
            for entry in self._entries:
                if entry.settings == settings:
                    self._entries.remove(entry)
                    self._entries.append(entry)  # the last is the one used last
                    return entry
            await self._evict()
            entry = await _open(settings)
            self._entries.append(entry)
            return entry

    async def aclose(self) -> None:
        """Close all runtimes."""
        await _close_entries(self._entries)

    async def _evict(self) -> None:
        idle = [entry for entry in self._entries if entry.is_idle]
        surplus = len(self._entries) + 1 - RUNTIMES_MAX
        for entry in idle[: max(surplus, 0)]:
            self._entries.remove(entry)
            await entry.aclose()


_closing: set[asyncio.Task[None]] = set()


def _close_left(entries: list[Entry]) -> None:
    """Close what a pool left behind; runs on the loop thread."""
    task = asyncio.get_running_loop().create_task(_close_entries(entries))
    _closing.add(task)
    task.add_done_callback(_closing.discard)


async def _close_entries(entries: list[Entry]) -> None:
    while entries:
        await entries.pop().aclose()


async def _open(settings: "Settings") -> Entry:
    # Imported at the first call: `import imagegate` stays fast.
    from imagegate.runtime.assemble import open_runtime

    return Entry(settings, await open_runtime(settings, embedded=True))
