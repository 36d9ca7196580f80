"""Threads for code that is not ours and may hang: an operator's class, a disk in the network."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

IDLE_S = 10.0

P = ParamSpec("P")
T = TypeVar("T")


class Aside:
    """Runs blocking work of one kind on threads of its own, `threads_max` of it at once.

    What hangs holds up its own kind only: not the threads that calls share, nor the end of the
    process. Threads start as they are needed and end when they have been idle.
    """

    def __init__(self, name: str, threads_max: int = 1) -> None:
        self._name = name
        self._threads_max = threads_max
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._lock = threading.Lock()
        self._count = 0  # of threads
        self._open_count = 0  # of works that wait or run

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `work` returns, or raise what it raises; who stops waiting leaves it be."""
        future: Future[T] = Future()
        with self._lock:
            self._work.put((future, lambda: work(*args, **kwargs)))
            self._open_count += 1
            if self._count < min(self._open_count, self._threads_max):
                self._count += 1
                threading.Thread(target=self._serve, name=self._name, daemon=True).start()
        return await asyncio.wrap_future(future)

    def _serve(self) -> None:
        while (taken := self._next()) is not None:
            tell = _carried_out(*taken)
            with self._lock:
                self._open_count -= 1
            tell()

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        try:
            return self._work.get(timeout=IDLE_S)
        except Empty:
            return self._leave()

    def _leave(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        with self._lock:
            if not self._work.empty():
                return self._work.get()
            self._count -= 1
            return None


def _carried_out(future: Future[Any], work: Callable[[], Any]) -> Callable[[], None]:
    """Do the work, if somebody still waits for it; return what tells how it went."""
    if not future.set_running_or_notify_cancel():
        return lambda: None
    try:
        return partial(future.set_result, work())
    except BaseException as error:  # it belongs to whoever waits
        return partial(future.set_exception, error)
