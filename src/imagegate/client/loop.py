"""The one private event loop of this process, on a thread of its own.

Sync and async calls of every client run on it, so that they share connections and work inside a
loop that is already running (a notebook). A fork gets a new loop: threads do not survive one.
"""

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

EXIT_WAIT_S = 5.0


class LoopThread:
    """An event loop on a daemon thread; started when made, ended by `stop`."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="imagegate", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run `work` on the loop; cancelling the future cancels it there."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a sync call cannot run on imagegate's own loop; await its twin")
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def post(self, callback: Callable[[], object]) -> None:
        """Have `callback` called on the loop soon; nothing happens where the loop has ended."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(callback)

    def stop(self, wait_s: float = EXIT_WAIT_S) -> None:
        """End the loop and its thread, waiting for it at most `wait_s` seconds."""
        self.post(self.loop.stop)
        self._thread.join(wait_s)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.close()


_lock = threading.Lock()
_current: LoopThread | None = None
_on_exit: list[Callable[[], Coroutine[Any, Any, None]]] = []


def loop_thread() -> LoopThread:
    """Return the process's loop thread, started at the first call."""
    global _current
    with _lock:
        if _current is None:
            _current = LoopThread()
            _register_exit(_current)
        return _current


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` on the private loop and wait; Ctrl-C cancels it there and is raised here."""
    future = loop_thread().submit(work)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def await_run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` on the private loop and await it from the caller's own loop."""
    return await asyncio.wrap_future(loop_thread().submit(work))


def close_at_exit(close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Have `close` run on the loop when the process ends, before the loop does."""
    _on_exit.append(close)


def _register_exit(thread: LoopThread) -> None:
    # Plain `atexit` comes after Python has shut its thread pools, which closing still needs. These
    # hooks run last in, first out, so that of the pools has to be registered before ours.
    import concurrent.futures.thread  # noqa: F401

    register = getattr(threading, "_register_atexit", atexit.register)
    register(_stop_at_exit, thread)


def _stop_at_exit(thread: LoopThread) -> None:
    if thread is not _current:  # a fork inherited the handler, not the thread
        return
    for close in _on_exit:
        with suppress(Exception):  # the process ends; there is nobody left to tell
            thread.submit(close()).result(EXIT_WAIT_S)
    thread.stop()


def _forget_after_fork() -> None:
    global _current, _lock
    _lock = threading.Lock()
    _current = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
