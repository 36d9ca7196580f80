"""Says that this process lives, and holds what processes that died had set aside."""

import logging
from typing import TYPE_CHECKING

from imagegate import clock, telemetry
from imagegate.ledger.records import HoldOrphans, KeepAlive, LedgerError

if TYPE_CHECKING:
    from imagegate.ledger.store import SqlLedger

PERIOD_S = 15.0
"""Several signs of life fall into one lease, so that a slow disk does not make us look dead."""

log = logging.getLogger(telemetry.LOGGER)


async def hold_forever(ledger: "SqlLedger", owner: str, *, period_s: float = PERIOD_S) -> None:
    """Give a sign of life and look for orphans until cancelled, also while the ledger is away."""
    while True:
        await clock.sleep(period_s)
        try:
            await ledger.commit(KeepAlive(owner))
            await ledger.commit(HoldOrphans())
        except LedgerError:
            log.exception(telemetry.TASK_CRASHED, extra={"task": "holding"})
