"""Commit 2 and what follows it: assets, usage and cost; the verdict of a failure; the clean-up."""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from imagegate import clock, telemetry
from imagegate.assets.links import Links
from imagegate.assets.spool import Spool
from imagegate.assets.store import AssetStore
from imagegate.assets.transform import Worker
from imagegate.attempt import Attempt
from imagegate.catalogue.price import charge_of
from imagegate.catalogue.relay import relay_charge
from imagegate.closing import done_event, failed_event, joined_event, refused_event
from imagegate.config.settings import Settings
from imagegate.errors import ImageError
from imagegate.fan_out import Lost, Made, Roll
from imagegate.guardrails.guards import Guards
from imagegate.keep import asset_name, keep
from imagegate.ledger import Ledger
from imagegate.ledger.answers import write_told
from imagegate.ledger.records import (
    AssetRecord,
    Command,
    ConflictError,
    Delivered,
    Fail,
    Keep,
    LedgerError,
    Settle,
)
from imagegate.ledger.review import Judge
from imagegate.plan import Plan
from imagegate.running import Outcome, RunningCall, Work
from imagegate.sinks.hub import Sinks
from imagegate.trace import Trace
from imagegate.transport.download import Downloader
from imagegate.transport.live import Transport
from imagegate.types import ImageCall, ImageResult

KEYED_S = 72 * 3600.0
"""So long at least the images of a call with an idempotency key, or of one that was promised for
later, are kept: its answer may be asked for."""
LATER_S = 1.0
LATER_TRIES_MAX = 24 * 3600

log = logging.getLogger(telemetry.LOGGER)


class Tools(Struct, frozen=True, eq=False):
    """What a call works with; one set a runtime. `start_task` supervises the work of a call.

    `links` is None where nobody could fetch a url: in the SDK.
    """

    spool: Spool
    store: AssetStore
    transport: Transport
    downloader: Downloader
    ledger: Ledger
    start_task: Callable[[str, Coroutine[Any, Any, None]], None]
    worker: Worker
    sinks: Sinks
    guards: Guards
    links: Links | None = None


class Settlement:
    """Ends attempts and calls in the ledger."""

    def __init__(self, settings: Settings, tools: Tools) -> None:
        self._assets = settings.assets
        self._tools = tools

    async def settle(
        self,
        running: Work,
        attempt: Attempt,
        roll: Roll,
        result: ImageResult,
        refusal: ImageError | None = None,
    ) -> Made:
        """Keep the images and write what they cost; durable when this returns.

        With a `refusal` by a guardrail they cost the same and are kept where nobody finds them.
        """
        plan = attempt.plan
        cost_e10 = _charge(plan, result)
        end = attempt.settled(result, cost_e10)
        if refusal is not None:
            end = replace(
                end,
                error_code=refusal.code,
                error_text=refusal.message,
                answer=write_told(refusal, brought=end.answer),
            )
        if self._assets.durability == "power":
            await running.spool.sync()
        assets = self._kept(running, attempt, result, is_held=refusal is not None)
        if not assets and refusal is None:
            running.unkept.append((attempt, result))
        verdicts = running.trace.unwritten_verdicts()
        command = Settle(end, assets, roll.end(attempt, end), verdicts)
        is_written = await self._commit(
            running, attempt, command, may_forget=bool(assets or refusal)
        )
        return Made(attempt, result, cost_e10, assets if is_written else (), refusal)

    async def lose(self, running: Work, attempt: Attempt, roll: Roll, error: ImageError) -> Lost:
        """Write the failure of an attempt after which no other is made."""
        end = attempt.failed(error)
        self.keep_evidence(attempt, error)
        lost = roll.lose(attempt, error)
        command = Fail(end, roll.end(attempt, end), running.trace.unwritten_verdicts())
        await self._commit(running, attempt, command, may_forget=True)
        return lost

    def keep_evidence(self, attempt: Attempt, error: ImageError) -> None:
        """Keep what came of an attempt behind which an image may have been made."""
        if error.fault == "ambiguous" and attempt.conversation:
            for file in attempt.conversation.files:
                self._tools.store.keep_evidence(file, asset_name(file.name, attempt.id))

    async def record_verdicts(self, running: Work) -> None:
        """Write the verdicts that were given after the last attempt had ended."""
        verdicts = running.trace.unwritten_verdicts()
        if not verdicts:
            return
        try:
            await self._tools.ledger.commit(Judge(verdicts))
        except LedgerError:
            log.exception(telemetry.LEDGER_NOTE_LOST, extra={"call_id": running.id})

    def tell(self, running: Work, outcome: Outcome) -> None:
        """Let the sinks know of a call that brought images."""
        self._tools.sinks.publish(done_event(running, outcome))

    def tell_failure(self, running: Work, attempt: Attempt, error: ImageError, roll: Roll) -> None:
        """Tell the caller why nothing is delivered, then let the sinks know."""
        running.fail(error)
        event = failed_event(
            running, attempt, error, attempts=roll.count, cost_e10=roll.known_cost_e10
        )
        self._tools.sinks.publish(event)

    def tell_joined_at_end(self, running: RunningCall, trace: Trace) -> None:
        """Let the sinks know of a request that joined a call, once its caller is through."""
        trace.is_told = True
        running.on_through = lambda: self._tools.sinks.publish(joined_event(trace, running))

    def tell_refusal(self, trace: Trace, call: ImageCall, error: ImageError) -> None:
        """Let the sinks know of a call of which nothing was sent."""
        trace.is_told = True
        self._tools.sinks.publish(refused_event(trace, call, error))

    def close(self, running: Work) -> None:
        """Both the work and the caller are through: give the files back, keep what nobody read."""
        if running.unkept and (running.is_abandoned or running.is_promised):
            self._tools.start_task(running.id, self._keep_late(running))
            return
        for attempt, _ in running.unkept:
            self._tools.spool.journal.end(attempt.id)
        if running.is_delivered:
            self._tools.ledger.note(Delivered(running.id, clock.now_s()))
        running.spool.close()

    async def _keep_late(self, running: Work) -> None:
        """Keep images whose caller left although retention is off: they were paid for."""
        try:
            for attempt, result in running.unkept:
                assets = self._kept(running, attempt, result)
                await self._tools.ledger.commit(Keep(assets))
                self._tools.spool.journal.end(attempt.id)
        finally:
            running.spool.close()

    async def _commit(
        self, running: Work, attempt: Attempt, command: Command, *, may_forget: bool
    ) -> bool:
        """Return whether it was written; `may_forget`: then the journal is done with it."""
        try:
            with running.trace.step("settle", attempt.step_number):
                await self._tools.ledger.commit(command)
        except LedgerError:
            # The journal still has the answer: the next start settles it. The caller gets it now.
            self._tools.spool.has_leftovers = True
            running.spool.keep_files()
            log.exception(telemetry.LEDGER_LOST, extra={"call_id": running.id})
            later = self._commit_later(running, attempt, command, may_forget=may_forget)
            self._tools.start_task(running.id, later)
            return False
        if may_forget:
            self._tools.spool.journal.end(attempt.id)
        return True

    async def _commit_later(
        self, running: Work, attempt: Attempt, command: Command, *, may_forget: bool
    ) -> None:
        """Write the command when the ledger is back; should we end before, the journal has it."""
        for _ in range(LATER_TRIES_MAX):
            await clock.sleep(LATER_S)
            try:
                await self._tools.ledger.commit(command)
            except ConflictError:
                pass  # the first try was written after all, or the rows can never take it
            except LedgerError:
                continue
            if may_forget:
                self._tools.spool.journal.end(attempt.id)
            log.warning(telemetry.LEDGER_CAUGHT_UP, extra={"call_id": running.id})
            return

    def _kept(
        self,
        running: Work,
        attempt: Attempt,
        result: ImageResult,
        *,
        is_held: bool = False,
    ) -> tuple[AssetRecord, ...]:
        retention_s = self._assets.retention_s
        if running.is_abandoned or is_held:
            retention_s = max(retention_s, self._assets.evidence_s)
        if self._tools.links and (running.is_promised or running.scoped_key):
            retention_s = max(retention_s, KEYED_S)
        if self._tools.links and running.call.response_format == "url":
            retention_s = max(retention_s, self._assets.url_s)
        if retention_s <= 0:
            return ()
        with running.trace.step("keep", attempt.step_number):
            return keep(
                result,
                self._tools.store,
                call_id=running.id,
                attempt_id=attempt.id,
                expires_at=clock.now_s() + retention_s,
                is_held=is_held,
            )


def _charge(plan: Plan, result: ImageResult) -> int | None:
    if plan.call.operation == "responses":
        return relay_charge(plan.deployment.charged_as, plan.tool_model, plan.call, result)
    return charge_of(plan.deployment.charged_as, plan.call, result)
