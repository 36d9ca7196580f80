"""Commit 2 and what follows it: assets, usage and cost; the verdict of a failure; the clean-up."""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from msgspec import Struct

from imagegate import clock, telemetry
from imagegate.assets.spool import Spool
from imagegate.assets.store import AssetStore
from imagegate.attempt import Attempt
from imagegate.catalogue.price import cost_of, format_usd
from imagegate.config.settings import Settings
from imagegate.errors import ImageError
from imagegate.keep import asset_name, keep
from imagegate.ledger import Ledger
from imagegate.ledger.records import (
    AssetRecord,
    AttemptEnd,
    CallEnd,
    Command,
    Delivered,
    Fail,
    Keep,
    LedgerError,
    Settle,
)
from imagegate.running import Outcome, RunningCall
from imagegate.transport.download import Downloader
from imagegate.transport.live import Transport
from imagegate.types import ImageResult

log = logging.getLogger(telemetry.LOGGER)


class Tools(Struct, frozen=True, eq=False):
    """What a call works with; one set a runtime. `start_task` supervises the work of a call."""

    spool: Spool
    store: AssetStore
    transport: Transport
    downloader: Downloader
    ledger: Ledger
    start_task: Callable[[str, Coroutine[Any, Any, None]], None]


class Settlement:
    """Ends attempts and calls in the ledger."""

    def __init__(self, settings: Settings, tools: Tools) -> None:
        self._assets = settings.assets
        self._tools = tools

    async def settle(self, running: RunningCall, attempt: Attempt, result: ImageResult) -> Outcome:
        """Keep the images and write what they cost; durable when this returns."""
        plan = attempt.plan
        model = plan.deployment.model
        cost_e10 = cost_of(model, plan.call, result.usage) if model else None
        end = attempt.settled(result, cost_e10)
        await self._sync(running)
        assets = self._kept(running, attempt, result)
        running.unkept = None if assets else (attempt, result)
        await self._commit(running, attempt, Settle(end, assets, _call_end(attempt, end)))
        log.info(
            telemetry.CALL_DONE,
            extra={
                "call_id": running.id,
                "model": running.call.model,
                "deployment": plan.deployment.id,
                "images": len(result.images),
                "cost_usd": "unknown" if cost_e10 is None else format_usd(cost_e10),
                "duration_s": round(end.ended_at - attempt.record.dispatched_at, 3),
            },
        )
        return Outcome(
            call=plan.call,
            result=result,
            adjustments=plan.adjustments,
            warnings=plan.warnings,
            cost_e10=cost_e10,
            deployment=plan.deployment,
            attempts=attempt.record.number,
            upstream_headers=attempt.relayed_headers(),
        )

    async def give_up(self, running: RunningCall, attempt: Attempt, error: ImageError) -> None:
        """Write the failure of the last attempt and tell the caller."""
        end = attempt.failed(error)
        if end.state == "unknown" and attempt.conversation:
            for file in attempt.conversation.files:
                self._tools.store.keep_evidence(file, asset_name(file.name, attempt.id))
        await self._commit(running, attempt, Fail(end, _call_end(attempt, end, error.code)))
        log.warning(
            telemetry.CALL_UNKNOWN if end.state == "unknown" else telemetry.CALL_FAILED,
            extra={
                "call_id": running.id,
                "model": running.call.model,
                "deployment": attempt.plan.deployment.id,
                "code": error.code,
                "fault": error.fault,
                "reason": error.message,
            },
        )
        running.fail(error)

    def close(self, running: RunningCall) -> None:
        """Both the work and the caller are through: give the files back, keep what nobody read."""
        if running.unkept is not None:
            if running.is_abandoned:
                self._tools.start_task(running.id, self._keep_late(running, *running.unkept))
                return
            self._tools.spool.journal.end(running.unkept[0].id)
        if running.is_delivered:
            self._tools.ledger.note(Delivered(running.id, clock.now_s()))
        running.spool.close()

    async def _keep_late(self, running: RunningCall, attempt: Attempt, result: ImageResult) -> None:
        """Keep an image whose caller left although retention is off: it was paid for."""
        try:
            assets = self._kept(running, attempt, result)
            await self._tools.ledger.commit(Keep(assets))
            self._tools.spool.journal.end(attempt.id)
        finally:
            running.spool.close()

    async def _commit(self, running: RunningCall, attempt: Attempt, command: Command) -> None:
        try:
            await self._tools.ledger.commit(command)
        except LedgerError:
            # The journal still has the answer: the next start settles it. The caller gets it now.
            self._tools.spool.has_leftovers = True
            running.spool.keep_files()
            log.exception(telemetry.LEDGER_LOST, extra={"call_id": running.id})
        else:
            if running.unkept is None:
                self._tools.spool.journal.end(attempt.id)

    async def _sync(self, running: RunningCall) -> None:
        if self._assets.durability == "power":
            await running.spool.sync()

    def _kept(
        self, running: RunningCall, attempt: Attempt, result: ImageResult
    ) -> tuple[AssetRecord, ...]:
        retention_s = self._assets.retention_s
        if running.is_abandoned:
            retention_s = max(retention_s, self._assets.evidence_s)
        if retention_s <= 0:
            return ()
        return keep(
            result,
            self._tools.store,
            call_id=running.id,
            attempt_id=attempt.id,
            expires_at=clock.now_s() + retention_s,
        )


def _call_end(attempt: Attempt, end: AttemptEnd, error_code: str = "") -> CallEnd:
    states = {"settled": "done", "unknown": "unknown"}
    return CallEnd(
        id=attempt.plan.call.id,
        state=states.get(end.state, "failed"),  # type: ignore[arg-type]
        finished_at=end.ended_at,
        adjustments=msgspec.json.encode(attempt.plan.adjustments).decode(),
        error_code=error_code,
    )
