"""The life of one call: admit, route, keep, settle, answer.

Two commits are waited for. The first writes the call and its attempt before anything is sent; the
second (`settle.py`) writes assets, usage and cost before the first byte is delivered.
"""

import asyncio
import logging
from collections.abc import Sequence

from imagegate import clock, telemetry
from imagegate.assets.spool import CallSpool
from imagegate.attempt import Attempt
from imagegate.candidates import plan_candidates
from imagegate.config.settings import Settings
from imagegate.errors import ImageError, OverloadedError, UpstreamFailedError, UpstreamTimeoutError
from imagegate.keep import collect
from imagegate.ledger.records import Admit, CallRecord, LedgerError, Redispatch
from imagegate.plan import Plan
from imagegate.running import CallOptions, RunningCall
from imagegate.settle import Settlement, Tools
from imagegate.transport.live import LiveConversation
from imagegate.transport.run import run
from imagegate.types import ImageCall, ImageResult

ELSEWHERE = ("deployment", "moment")  # the faults after which another deployment may be tried
LEDGER_RETRY_S = 5.0

log = logging.getLogger(telemetry.LOGGER)


class Pipeline:
    """Runs calls over one snapshot of the settings."""

    def __init__(self, settings: Settings, tools: Tools) -> None:
        self._settings = settings
        self._tools = tools
        self._settlement = Settlement(settings, tools)

    async def start(self, call: ImageCall, spool: CallSpool, options: CallOptions) -> RunningCall:
        """Plan the call, write it down (commit 1), and let it run by itself.

        Raises an `ImageError` where no deployment can do it or the ledger takes nothing; then
        nothing was sent. The caller owns `spool` until this returns.
        """
        plans = plan_candidates(call, self._settings, options)
        attempt = self._attempt(plans[0], number=1)
        await self._admit(call, options, attempt)
        running = RunningCall(call, spool, self._settlement.close)
        running.limit_wait(options.timeout_s or plans[0].deployment.timeout_s)
        self._tools.start_task(call.id, self._live(running, plans, attempt))
        return running

    async def _live(self, running: RunningCall, plans: Sequence[Plan], attempt: Attempt) -> None:
        """Try one deployment after the other, as the faults allow, and leave one verdict."""
        reports = []
        try:
            for following in (*plans[1:], None):
                try:
                    result = await self._converse(running, attempt)
                except ImageError as error:
                    reports.append(attempt.report(error))
                    if following is None or error.fault not in ELSEWHERE:
                        raise
                    attempt = await self._move_on(attempt, error, following)
                else:
                    running.succeed(await self._settlement.settle(running, attempt, result))
                    return
        except ImageError as error:
            error.attempts = tuple(reports)
            await self._settlement.give_up(running, attempt, error)
        finally:
            running.finish()

    async def _converse(self, running: RunningCall, attempt: Attempt) -> ImageResult:
        """Run the attempt's exchange; whatever it brought is checked and in the spool."""
        deployment = attempt.plan.deployment
        limit_s = deployment.timeout_s + self._settings.late_s
        self._tools.spool.journal.append(attempt.opened())
        conversation = LiveConversation(
            self._tools.transport, deployment, attempt.id, running.spool
        )
        attempt.conversation = conversation
        try:
            async with asyncio.timeout(limit_s), conversation:
                result = await run(attempt.exchange(), conversation, running.show)
                origin = deployment.target.base_url
                return await collect(result, origin, running.spool, self._tools.downloader)
        except TimeoutError as error:
            raise _late(deployment.id, limit_s) from error
        except ImageError:
            raise
        except Exception as bug:
            log.exception(telemetry.TASK_CRASHED, extra={"call_id": running.id})
            raise _internal(bug) from bug

    async def _move_on(self, attempt: Attempt, error: ImageError, following: Plan) -> Attempt:
        further = self._attempt(following, number=attempt.record.number + 1)
        try:
            await self._tools.ledger.commit(Redispatch(further.record, attempt.failed(error)))
        except LedgerError:
            raise error from None  # without a row nothing more is sent
        self._tools.spool.journal.end(attempt.id)
        return further

    async def _admit(self, call: ImageCall, options: CallOptions, attempt: Attempt) -> None:
        record = CallRecord(
            id=call.id,
            operation=call.operation,
            model=call.model,
            end_user=options.end_user or call.safety_identifier or call.user or "",
            created_at=clock.now_s(),
            owner=self._tools.spool.owner,
        )
        try:
            await self._tools.ledger.commit(Admit(record, attempt.record))
        except LedgerError as error:
            raise OverloadedError(
                f"The ledger takes nothing at the moment ({error}), so nothing was sent.",
                code="ledger_unavailable",
                retry_after_s=LEDGER_RETRY_S,
            ) from error

    def _attempt(self, plan: Plan, *, number: int) -> Attempt:
        return Attempt(plan, number=number, owner=self._tools.spool.owner)


def _late(deployment_id: str, limit_s: float) -> UpstreamTimeoutError:
    return UpstreamTimeoutError(
        f"{deployment_id} did not finish within {limit_s:g} s. The image may have been made and "
        "billed."
    )


def _internal(bug: Exception) -> UpstreamFailedError:
    return UpstreamFailedError(
        f"A defect of imagegate ended this call ({type(bug).__name__}); the image may have been "
        "made and billed. The log has the details: please report them.",
        code="internal_error",
        http_status=500,
    )
