"""Says that this process lives, and ends what processes left open that live no more."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from imagegate import clock, telemetry
from imagegate.ledger import Ledger
from imagegate.ledger.records import (
    AttemptEnd,
    CallEnd,
    CloseCall,
    ConflictError,
    Fail,
    HoldOrphans,
    KeepAlive,
    LedgerError,
    state_of,
)

if TYPE_CHECKING:
    from imagegate.ledger.store import SqlLedger

TICK_S = 1.0
TICKS = 5
"""Between signs of life. Several fall into one lease: a slow disk must not make us look dead."""
ANSWER_S_MAX = 3.0
"""A ledger that is silent for longer takes nothing: callers are told at once."""
GONE = "process_ended"
"""The code of an attempt whose process died before it knew the end."""

log = logging.getLogger(telemetry.LOGGER)


async def hold_forever(ledger: "SqlLedger", owners: Callable[[], Iterable[str]]) -> None:
    """Give signs of life of `owners` and end orphans until cancelled, and see whether it works."""
    fault, ledger.is_watching = "", True
    while True:
        await _pause(ledger)
        was_away, fault = bool(fault), await _fault_of(ledger, owners())
        if not fault:
            await _hold_orphans(ledger)
        if was_away and not fault:
            log.warning(telemetry.LEDGER_BACK)
        elif fault and not was_away:
            log.error(telemetry.LEDGER_AWAY, extra={"reason": fault})


async def _pause(ledger: "SqlLedger") -> None:
    """Wait for the next sign of life; one that is away is asked again after a moment."""
    for _ in range(TICKS):
        await clock.sleep(TICK_S)
        if not ledger.is_available:
            return


async def _fault_of(ledger: "SqlLedger", owners: Iterable[str]) -> str:
    """Give a sign of life of `owners`; return why the ledger did not take it, `""` where it did."""
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            for owner in tuple(owners):
                await ledger.commit(KeepAlive(owner))
    except TimeoutError:
        ledger.give_up()
        return f"it is silent for {ANSWER_S_MAX:g} s"
    except LedgerError as error:
        ledger.is_available = False
        return str(error)
    return ""


async def _hold_orphans(ledger: "SqlLedger") -> None:
    try:
        await ledger.commit(HoldOrphans())
        if ledger.is_shared:
            await end_orphans(ledger)
    except LedgerError:
        log.exception(telemetry.TASK_CRASHED, extra={"task": "holding"})


async def end_orphans(ledger: "SqlLedger") -> None:
    """End attempts and calls of processes without a sign of life: nobody knows what was bought.

    Should such a process, or its folder, come back after all, it may still settle them.
    """
    for attempt in await ledger.orphaned_attempts():
        end = AttemptEnd(id=attempt.id, state="unknown", ended_at=clock.now_s(), error_code=GONE)
        try:
            await ledger.commit(Fail(end))
        except ConflictError:
            continue  # its owner was faster
        told = {"call_id": attempt.call_id, "attempt": attempt.id, "owner": attempt.owner}
        log.warning(telemetry.CALL_UNKNOWN, extra=told)
    for call in await ledger.orphaned_calls():
        await close_call(ledger, call.id)


async def close_call(ledger: Ledger, call_id: str) -> None:
    """End a call whose attempts have all ended; its own process cannot."""
    state = state_of(one.state for one in await ledger.attempts_of(call_id))
    if state == "running":
        return
    code = GONE if state == "unknown" else ""
    end = CallEnd(id=call_id, state=state, finished_at=clock.now_s(), error_code=code)
    try:
        await ledger.commit(CloseCall(end))
    except ConflictError:
        log.debug(telemetry.CALL_DONE, extra={"call_id": call_id})  # its owner was faster
