"""Brings a changed configuration to a running gateway, whole or not at all."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

from imagegate import clock, telemetry
from imagegate.config.settings import Settings
from imagegate.errors import ConfigError
from imagegate.runtime.assemble import Runtime

PERIOD_S = 1.0

Signature: TypeAlias = tuple[tuple[int, int, int] | None, ...]

log = logging.getLogger(telemetry.LOGGER)


class Reloader:
    """Reads the configuration by `load` when it is told to, or when one of its files changed.

    What cannot be served changes nothing but `is_refused` and the counts; the log has all faults.
    """

    def __init__(self, runtime: Runtime, load: Callable[[], Settings]) -> None:
        self.is_refused = False
        self.reloaded_count = 0
        self.refused_count = 0
        self._runtime = runtime
        self._load = load
        self._lock = asyncio.Lock()
        self._seen = signature_of(runtime.settings.files)

    async def reload(self) -> None:
        """Read the configuration and serve it, where it can be served."""
        async with self._lock:
            # Before it is read: what changes while it is read is seen as a change.
            self._seen = await self._look()
            try:
                await self._runtime.swap(await asyncio.to_thread(self._load))
            except ConfigError as error:
                self._refuse(error.message)
            except Exception as bug:  # a class of the operator's may raise anything
                self._refuse(f"{type(bug).__name__}: {bug}")
            else:
                self.is_refused = False
                self.reloaded_count += 1
                deployments = len(self._runtime.settings.deployments)
                log.info(telemetry.CONFIG_RELOADED, extra={"deployments": deployments})

    async def watch_forever(self) -> None:
        """Look at the files once a second, and reload when they have changed and lie still."""
        before = self._seen
        while True:
            await clock.sleep(PERIOD_S)
            now = await self._look()
            if now == before and now != self._seen:
                await self.reload()
            before = now

    async def _look(self) -> Signature:
        return await asyncio.to_thread(signature_of, self._runtime.settings.files)

    def _refuse(self, message: str) -> None:
        self.is_refused = True
        self.refused_count += 1
        for line in message.splitlines():  # one record a fault: records are cut where they are long
            log.error(telemetry.CONFIG_REFUSED, extra={"reason": line.strip()})


def signature_of(files: Iterable[str]) -> Signature:
    """Return what changes whenever one of `files` is written or replaced (blocking)."""
    return tuple(_stamp(file) for file in files)


def _stamp(file: str) -> tuple[int, int, int] | None:
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
