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
from imagegate.candidates import group_of, plan_candidates
from imagegate.config.settings import Settings
from imagegate.errors import ImageError, UpstreamFailedError, UpstreamTimeoutError
from imagegate.fan_out import Part, Roll, all_of, conclude
from imagegate.keep import collect
from imagegate.ledger.people import Account
from imagegate.ledger.records import (
    Admit,
    BudgetDeniedError,
    CallRecord,
    LedgerError,
    Redispatch,
)
from imagegate.pixels import encode_result, prepare_attempt
from imagegate.plan import Plan
from imagegate.reserve import (
    dearest_e10,
    stored_prompt,
    tags_json,
    told,
    without_provider,
)
from imagegate.running import CallOptions, RunningCall
from imagegate.settle import Settlement, Tools
from imagegate.trace import Trace, identifier
from imagegate.transport.live import LiveConversation
from imagegate.transport.run import run
from imagegate.types import ImageCall, ImageResult

ELSEWHERE = ("deployment", "moment")  # the faults after which another deployment may be tried

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
        trace = options.trace or Trace(call.id)
        trace.belong(options.account.key_id, options.account.team_id)
        try:
            return await self._start(call, spool, options, trace)
        except ImageError as error:
            error.verdicts = tuple(str(verdict) for verdict in trace.verdicts)
            self._settlement.tell_refusal(trace, call, error)
            raise

    async def _start(
        self, call: ImageCall, spool: CallSpool, options: CallOptions, trace: Trace
    ) -> RunningCall:
        end_user, group = end_user_of(call, options), group_of(call.model, self._settings)
        guards = self._tools.guards
        call, guard = guards.choose(call, options.guardrails, trace, end_user, group)
        with trace.step("plan"):
            plans: Sequence[Plan] = plan_candidates(call, self._settings, options)
        guarded = await guard.check_input(call)
        if guarded is not call:
            call, plans = guarded, plan_candidates(guarded, self._settings, options)
        with trace.step("admit"):
            roll, attempts, plans = await self._admit_somewhere(call, options, plans)
        running = RunningCall(call, spool, self._settlement.close, guard)
        if self._settings.log_prompts and _may_log(options.account):
            trace.logged_prompt = call.prompt
        running.limit_wait(options.timeout_s or plans[0].deployment.timeout_s)
        self._tools.start_task(call.id, self._live(running, roll, attempts, plans[1:]))
        return running

    async def _live(
        self,
        running: RunningCall,
        roll: Roll,
        attempts: Sequence[Attempt],
        others: Sequence[Plan],
    ) -> None:
        """Make all parts at once and leave one verdict."""
        guard, settlement = running.guard, self._settlement
        guard.begin(running.call)
        try:
            parts = await self._make_all(running, roll, attempts, others)
            outcome = conclude(running.call, parts, roll, partial=self._settings.partial)
        except ImageError as error:
            # Of all or nothing this is nothing: what was paid for is kept all the same.
            running.is_abandoned |= bool(running.unkept)
            running.fail(error)
            await guard.end()
            await guard.observe(running.call, None)
            settlement.tell_failure(running, attempts[0], error, roll)
        except Exception as bug:
            settlement.tell_failure(running, attempts[0], _internal(bug), roll)
            raise
        else:
            running.succeed(outcome)
            await guard.observe(running.call, outcome.result)
            settlement.tell(running, outcome)
        finally:
            guard.stop()
            running.finish()

    async def _make_all(
        self,
        running: RunningCall,
        roll: Roll,
        attempts: Sequence[Attempt],
        others: Sequence[Plan],
    ) -> tuple[Part, ...]:
        if len(attempts) == 1:
            return await self._make(running, roll, attempts[0], others)
        made = [self._make(running, roll, attempt, others) for attempt in attempts]
        return await all_of(made)

    async def _make(
        self, running: RunningCall, roll: Roll, attempt: Attempt, others: Sequence[Plan]
    ) -> tuple[Part, ...]:
        """Try one deployment after the other for one part, as the faults allow."""
        try:
            result = await self._converse(running, attempt)
        except ImageError as error:
            following: Sequence[Attempt] = ()
            if others and error.fault in ELSEWHERE:
                following = await self._move_on(roll, attempt, error, others)
            if not following:
                return (await self._settlement.lose(running, attempt, roll, error),)
        else:
            result, refusal = await running.guard.check_output(
                attempt.plan.call, result, running.spool
            )
            return (await self._settlement.settle(running, attempt, roll, result, refusal),)
        return await self._make_all(running, roll, following, others[1:])

    async def _converse(self, running: RunningCall, attempt: Attempt) -> ImageResult:
        """Run the attempt's exchange; whatever it brought is checked and in the spool."""
        limit_s = attempt.plan.deployment.timeout_s + self._settings.late_s
        try:
            with running.trace.step("attempt", "", attempt.attributes()) as step:
                attempt.span_id = step.span_id
                return await self._exchange(running, attempt, limit_s)
        except TimeoutError as error:
            raise _late(attempt.plan.deployment.id, limit_s) from error
        except ImageError:
            raise
        except Exception as bug:
            log.exception(telemetry.TASK_CRASHED, extra={"call_id": running.id})
            raise _internal(bug) from bug

    async def _exchange(
        self, running: RunningCall, attempt: Attempt, limit_s: float
    ) -> ImageResult:
        tools, spool, deployment = self._tools, running.spool, attempt.plan.deployment
        trace, above = running.trace, attempt.span_id
        with trace.step("prepare", above):
            attempt.plan = await prepare_attempt(attempt.plan, spool, tools.worker)
        attempt.is_guarded = running.guard.checks_output
        tools.spool.journal.append(attempt.opened())
        conversation = LiveConversation(tools.transport, deployment, attempt.id, spool)
        if trace.is_sent_on or tools.sinks.is_traced:
            conversation.traceparent = trace.traceparent(above)
        attempt.conversation = conversation
        origin, hosts = deployment.target.base_url, deployment.provider.result_hosts
        async with asyncio.timeout(limit_s), conversation:
            with trace.step("upstream", above):
                result = await run(attempt.exchange(), conversation, running.show)
            with trace.step("collect", above):
                result = await collect(result, origin, spool, tools.downloader, hosts=hosts)
        result, attempt.plan = await encode_result(result, attempt.plan, spool, tools.worker)
        return result

    async def _move_on(
        self, roll: Roll, attempt: Attempt, error: ImageError, others: Sequence[Plan]
    ) -> Sequence[Attempt]:
        """Return attempts at another deployment; none where they got no row: nothing is sent."""
        plan = attempt.plan
        first, *parts = further = self._enter(roll, others, plan.call.n, plan.start)
        records = tuple(part.record for part in parts)
        try:
            await self._tools.ledger.commit(
                Redispatch(first.record, attempt.failed(error), records)
            )
        except LedgerError:
            roll.strike(further)
            return ()
        roll.replace(attempt, error)
        self._tools.spool.journal.end(attempt.id)
        return further

    async def _admit_somewhere(
        self, call: ImageCall, options: CallOptions, plans: Sequence[Plan]
    ) -> tuple[Roll, Sequence[Attempt], Sequence[Plan]]:
        """Write the call down (commit 1) by the first plan that there is room for.

        Return its roll, its attempts, and the plans that are left with it in front. A provider
        whose budget is full is passed over; every other refusal is the caller's answer.
        """
        while True:
            roll = Roll(call, self._tools.spool.owner)
            attempts = self._enter(roll, plans, call.n)
            try:
                await self._admit(call, options, attempts, group=plans[0].deployment.group)
            except LedgerError as error:
                left = (
                    without_provider(plans, error) if isinstance(error, BudgetDeniedError) else ()
                )
                if not left:
                    raise told(error) from error
                plans = left
            else:
                return roll, attempts, plans

    def _enter(
        self, roll: Roll, plans: Sequence[Plan], count: int, start: int = 0
    ) -> tuple[Attempt, ...]:
        """Return attempts by the first plan, each with what is to be set aside for it."""
        attempts = roll.enter(plans[0], count, start)
        for attempt in attempts:
            attempt.reserve(dearest_e10(attempt.plan, plans, self._settings))
        return attempts

    async def _admit(
        self, call: ImageCall, options: CallOptions, attempts: Sequence[Attempt], *, group: str
    ) -> None:
        account = options.account
        record = CallRecord(
            id=call.id,
            operation=call.operation,
            model=group,
            key_id=account.key_id,
            team_id=account.team_id,
            end_user=end_user_of(call, options),
            tags=tags_json(options),
            prompt=stored_prompt(call.prompt, account.prompt_storage),
            created_at=clock.now_s(),
            owner=self._tools.spool.owner,
        )
        first, *parts = (attempt.record for attempt in attempts)
        await self._tools.ledger.commit(Admit(record, first, tuple(parts), account.limits, call.n))


def end_user_of(call: ImageCall, options: CallOptions) -> str:
    """Return the person behind the caller, as far as the caller says; "" where it does not."""
    given = options.end_user or call.safety_identifier or call.user or ""
    return identifier(given) if given else ""


def _may_log(account: Account) -> bool:
    """Return whether a prompt may go to the sinks where the operator wants them: a team decides."""
    return account.team_id is None or account.prompt_storage == "text"


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
