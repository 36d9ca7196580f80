"""Waits for calls that others asked for: those of this process, and of others by their rows."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from imagegate import clock
from imagegate.errors import ImageError
from imagegate.running import Work

if TYPE_CHECKING:
    from imagegate.gateway.app import Gateway

POLL_S = 0.5  # how often a call that runs in another process is looked at


async def wait_ended(gateway: "Gateway", call_id: str, wait_s: float) -> None:
    """Return when a call has ended, after `wait_s` or when the gateway ends at the latest.

    Raises `LedgerError`.
    """
    work = gateway.runtime.pipeline.desk.works.get(call_id)
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await (_watch(work) if work else _follow(gateway, call_id))


async def _watch(work: Work) -> None:
    watcher = work.watch()
    try:
        await watcher.wait()
    except ImageError:
        pass  # its row tells of it
    finally:
        watcher.release()


async def _follow(gateway: "Gateway", call_id: str) -> None:
    ledger = gateway.runtime.tools.ledger
    while gateway.traffic.stage != "draining":
        call = await ledger.get_call(call_id)
        if call is None or call.state != "running":
            return
        await clock.sleep(POLL_S)
