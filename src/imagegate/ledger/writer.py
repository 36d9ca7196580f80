"""One thread that writes whatever waits as one group, and wakes the event loop once for all.

It knows nothing of SQL: what it is given writes a group whole or raises and has written nothing.
"""

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from imagegate import clock
from imagegate.ledger.pace import Pace
from imagegate.ledger.records import LedgerError, LedgerUnavailableError
from imagegate.telemetry import (
    LEDGER_NOTE_LOST,
    LEDGER_WAITERS_GONE,
    LEDGER_WRITER_DIED,
    LOGGER,
)

GROUP_MAX = 256
NOTES_MAX = 256
NOTE_S = 1.0
"""So long a note waits for a group that it can go with."""

SILENT = "the database is silent"

_log = logging.getLogger(LOGGER)

T = TypeVar("T")

Write: TypeAlias = Callable[[Sequence[T]], Sequence[LedgerError | None]]

_Told: TypeAlias = tuple[asyncio.Future[None], LedgerError | None]


class _Waiting(NamedTuple, Generic[T]):
    """Something to write, and who waits for it (None: nobody)."""

    item: T
    future: asyncio.Future[None] | None


class GroupWriter(Generic[T]):
    """Writes items in groups on a thread of its own.

    A group is what came in while the group before it was written, and in the rest after it. `write`
    returns for each item None, or why it was refused while the others were written. It raises
    LedgerUnavailableError where no item would be taken, any other error where an item of the
    group is at fault; then each is written alone, so that only that one fails.

    `write_at_once` does the same without ever waiting for anybody. While little is written, items
    go that way, on the thread that brings them: changing threads twice costs more than the write.
    What it raises is left to `write`.
    """

    def __init__(
        self,
        write: Write[T],
        *,
        name: str,
        write_at_once: Write[T] | None = None,
        pace: Pace | None = None,
        note_s: float = NOTE_S,
    ) -> None:
        self._write = write
        self._note_s = note_s
        self._write_at_once = write_at_once
        self._pace = pace or Pace()
        self._turn = threading.Lock()  # of whoever writes
        self._queue: SimpleQueue[_Waiting[T] | None] = SimpleQueue()  # None only wakes the thread
        self._notes: deque[_Waiting[T]] = deque()
        self._group: list[_Waiting[T]] = []
        self._closing = threading.Event()
        self._ended: str | None = None
        self._rested_at_s = 0.0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def put(self, item: T) -> None:
        """Return when `item` is written; raises LedgerError when it was not."""
        if self._try_at_once(item):
            return
        future = asyncio.get_running_loop().create_future()
        self._queue.put(_Waiting(item, future))
        if self._ended is not None:
            self._refuse_waiting()  # the thread may have looked for the last time before our put
        await future

    def note(self, item: T) -> None:
        """Write `item` with a later group, soon at the latest; a failure is only logged.

        From the event loop. Without a group to go with, notes go by themselves.
        """
        self._notes.append(_Waiting(item, None))
        if len(self._notes) == 1:
            asyncio.get_running_loop().call_later(self._note_s, self._queue.put, None)
        if len(self._notes) >= NOTES_MAX:
            self._queue.put(None)
        if self._ended is not None:
            self._refuse_waiting()

    def give_up(self) -> tuple[T, ...]:
        """Tell all who wait that nothing was written; from the event loop.

        Return what is being written at this moment, which may be written all the same.
        """
        under_way = [one for one in self._group if one.future and not one.future.done()]
        waiting = [*under_way, *self._left_in_queue()]
        _tell([(one.future, LedgerUnavailableError(SILENT)) for one in waiting if one.future])
        return tuple(one.item for one in under_way)

    def close(self) -> None:
        """Write what waits, then end the thread; blocks until it did. What comes later fails."""
        self._closing.set()
        self._queue.put(None)
        self._thread.join()
        with self._turn:  # of somebody who began before us
            pass

    def _try_at_once(self, item: T) -> bool:
        """Write `item` on this thread, if it is time for that; return whether it is written."""
        if self._write_at_once is None or not self._pace.is_slow(clock.monotonic_s()):
            return False
        if not self._queue.empty() or not self._turn.acquire(blocking=False):
            return False
        try:
            is_open = self._ended is None and not self._closing.is_set()
            return is_open and self._put_here(item, self._write_at_once)
        finally:
            self._turn.release()

    def _put_here(self, item: T, write: Write[T]) -> bool:
        notes = list(self._notes)
        try:
            refusal, *others = write([item, *(one.item for one in notes)])
        except Exception:  # the thread has the time to wait, and to find out whose fault it is
            return False
        for _ in notes:
            self._notes.popleft()
        _report(notes, others)
        if refusal is not None:
            raise refusal
        return True

    def _run(self) -> None:
        reason = "the ledger is closed"
        try:
            while not self._closing.is_set():
                first = self._queue.get()
                with self._turn:
                    self._take_group(first)
                    self._write_group()
            self._drain()
        except BaseException as error:
            # Whatever it was: a writer that dies in silence leaves every caller waiting for ever.
            _log.critical(LEDGER_WRITER_DIED, exc_info=error)
            reason = f"the ledger's writer died: {error!r}"
        self._ended = reason
        self._refuse_waiting()

    def _drain(self) -> None:
        while self._notes or not self._queue.empty():
            if not self._queue.empty():
                self._take_group(self._queue.get())
            self._write_group()

    def _take_group(self, first: _Waiting[T] | None) -> None:
        """Take what is there when the rest since the last group is over."""
        # Not before the first one has come: a thread that nobody keeps busy is not woken to rest.
        left_s = self._rested_at_s - clock.monotonic_s()
        if left_s > 0:
            self._closing.wait(left_s)
        taken = [first]
        while len(taken) < GROUP_MAX and not self._queue.empty():
            taken.append(self._queue.get())
        self._group = [one for one in taken if one is not None]

    def _write_group(self) -> None:
        while self._notes:
            self._group.append(self._notes.popleft())
        if not self._group:
            return
        results = self._results(self._group)
        _report(self._group, results)
        count = sum(one.future is not None for one in self._group)
        self._group = []
        now_s = clock.monotonic_s()
        self._rested_at_s = now_s + self._pace.rest_s(count, now_s)

    def _results(self, group: Sequence[_Waiting[T]]) -> list[LedgerError | None]:
        """Write the group; return, for each of it, None or why it was not written."""
        try:
            return list(self._write([one.item for one in group]))
        except LedgerUnavailableError as error:
            return [LedgerUnavailableError(str(error)) for _ in group]
        except Exception as error:
            if len(group) == 1:
                return [error if isinstance(error, LedgerError) else LedgerError(repr(error))]
            return [result for one in group for result in self._results((one,))]

    def _refuse_waiting(self) -> None:
        """Fail everything that nobody will write any more."""
        group, self._group = self._group, []
        while self._notes:
            group.append(self._notes.popleft())
        group += self._left_in_queue()
        reason = self._ended or ""
        _report(group, [LedgerUnavailableError(reason) for _ in group])

    def _left_in_queue(self) -> list[_Waiting[T]]:
        found = []
        with contextlib.suppress(Empty):
            while True:
                found.append(self._queue.get_nowait())
        return [one for one in found if one is not None]


def _report(group: Sequence[_Waiting[T]], results: Sequence[LedgerError | None]) -> None:
    """Tell each waiter its result, with one wake-up a loop; log the notes that were lost."""
    woken: dict[asyncio.AbstractEventLoop, list[_Told]] = {}
    for one, error in zip(group, results, strict=True):
        if one.future is not None:
            woken.setdefault(one.future.get_loop(), []).append((one.future, error))
        elif error is not None:
            _log.error(LEDGER_NOTE_LOST, extra={"command": repr(one.item)[:500]}, exc_info=error)
    for loop, told in woken.items():
        _wake(loop, told)


def _wake(loop: asyncio.AbstractEventLoop, told: Sequence[_Told]) -> None:
    try:
        loop.call_soon_threadsafe(_tell, told)
    except RuntimeError:
        # The loop is closed and nobody waits on it; the rows are written all the same.
        _log.debug(LEDGER_WAITERS_GONE, extra={"count": len(told)})


def _tell(told: Sequence[_Told]) -> None:
    for future, error in told:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
