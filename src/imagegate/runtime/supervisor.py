"""Owns the tasks that outlive a request: a registry and an exception path."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from imagegate import telemetry

log = logging.getLogger(telemetry.LOGGER)


class Users:
    """Counts who is at work with something, so that it is closed when the last is through."""

    def __init__(self) -> None:
        self.count = 0
        self._gone: asyncio.Event | None = None

    def enter(self) -> None:
        """One more is at work; each leaves once."""
        self.count += 1

    def leave(self) -> None:
        """One is through."""
        self.count -= 1
        if self._gone is not None and not self.count:
            self._gone.set()

    async def gone(self) -> None:
        """Return when nobody is at work."""
        while self.count:
            self._gone = asyncio.Event()
            await self._gone.wait()


class Supervisor:
    """Runs the work of calls as tasks of its own; nobody's leaving cancels them."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], Users] = {}

    @property
    def running_count(self) -> int:
        """How many tasks are at work."""
        return len(self._tasks)

    def start(self, users: Users, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` by itself, as one of `users`; an exception that leaves it is logged."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        users.enter()
        self._tasks[task] = users
        task.add_done_callback(self._ended)

    async def cancel(self) -> None:
        """Cancel what is left and wait until it has let go."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task).leave()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(telemetry.TASK_CRASHED, exc_info=error, extra={"task": task.get_name()})
