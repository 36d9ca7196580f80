"""Takes over what processes left behind: at the start, and as soon as a neighbour is gone.

Neighbours share the ledger and the assets folder. A folder whose lock is free has no owner.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator

from imagegate import clock, telemetry
from imagegate.ledger.records import LedgerError
from imagegate.runtime.recovery import Recovery
from imagegate.runtime.snapshot import Snapshot

PERIOD_S = 5.0
RETRY_S = 5.0

log = logging.getLogger(telemetry.LOGGER)


class Takeover:
    """The recoveries of one process; the first has its leftovers when this is made."""

    def __init__(self, snapshot: Callable[[], Snapshot], *, is_shared: bool) -> None:
        self._snapshot = snapshot
        self._is_shared = is_shared
        self._recoveries = [Recovery(snapshot(), is_shared=is_shared)]

    def owners(self) -> Iterator[str]:
        """Yield this process, and those in whose place it is at work."""
        yield self._snapshot().tools.spool.owner
        for recovery in self._recoveries:
            yield from recovery.owners

    async def run_forever(self) -> None:
        """Recover until cancelled; without neighbours only what was there at the start."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recover(self._recoveries[0]))
            while self._is_shared:
                await clock.sleep(PERIOD_S)
                found = await _claimed(self._snapshot())
                if found is not None and found.owners:
                    self._recoveries.append(found)
                    group.create_task(self._recover(found))

    async def _recover(self, recovery: Recovery) -> None:
        """Run a recovery to its end; a ledger that is away is waited for."""
        while not await _is_recovered(recovery):
            await clock.sleep(RETRY_S)
        self._recoveries.remove(recovery)


async def _claimed(snapshot: Snapshot) -> Recovery | None:
    """Return what neighbours that are gone left; None where it cannot be read now."""
    try:
        return await asyncio.to_thread(Recovery, snapshot, is_shared=True)
    except Exception:  # whatever a journal holds, the next one is looked for
        log.exception(telemetry.TASK_CRASHED, extra={"task": "takeover"})
        return None


async def _is_recovered(recovery: Recovery) -> bool:
    """Run a recovery; return whether that was all that can be done."""
    is_away = False
    try:
        await recovery.run()
    except* LedgerError:
        is_away = True
    except* Exception:  # a defect in one recovery must not end the others
        log.exception(telemetry.TASK_CRASHED, extra={"task": "recovery"})
    return not is_away
