"""Owns the tasks that outlive a request: a registry, an exception path, a drain with a limit."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from imagegate import telemetry

log = logging.getLogger(telemetry.LOGGER)


class Supervisor:
    """Runs the work of calls as tasks of its own; nobody's leaving cancels them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def running_count(self) -> int:
        """How many tasks are at work."""
        return len(self._tasks)

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` by itself; an exception that leaves it is logged, never lost."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def drain(self, limit_s: float) -> int:
        """Wait for all tasks, at most `limit_s`; return how many are still at work."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limit_s)
        return len(self._tasks)

    async def cancel(self) -> None:
        """Cancel what is left and wait until it has let go."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(telemetry.TASK_CRASHED, exc_info=error, extra={"task": task.get_name()})
