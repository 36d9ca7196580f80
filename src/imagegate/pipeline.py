"""The life of one call: admit, route, keep, settle, answer.

Two commits are waited for. The first writes the call and its attempt before anything is sent; the
second (`settle.py`) writes assets, usage and cost before the first byte is delivered.
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

import msgspec

from imagegate import clock, telemetry
from imagegate.assets.spool import CallSpool
from imagegate.attach import Desk, KeyTakenError, key_taken
from imagegate.attempt import Attempt
from imagegate.candidates import group_of, plan_group_of
from imagegate.config.settings import Settings
from imagegate.errors import BadRequestError, ImageError, UpstreamFailedError, UpstreamTimeoutError
from imagegate.fan_out import Part, Roll, all_of, conclude
from imagegate.fingerprint import with_guardrails
from imagegate.guardrails.guards import GuardedCall
from imagegate.keep import collect
from imagegate.ledger.people import Account
from imagegate.ledger.records import (
    Admit,
    BudgetDeniedError,
    CallRecord,
    ConflictError,
    LedgerError,
    Redispatch,
)
from imagegate.ledger.review import VerdictRecord
from imagegate.pixels import encode_result, prepare_attempt
from imagegate.plan import Plan
from imagegate.reserve import (
    dearest_e10,
    stored_prompt,
    tags_json,
    told,
    without_provider,
)
from imagegate.router.route import Route, Router
from imagegate.running import CallOptions, RunningCall, Work
from imagegate.settle import Settlement, Tools
from imagegate.trace import Trace, identifier
from imagegate.transport.live import LiveConversation
from imagegate.transport.run import run
from imagegate.types import ImageCall, ImageResult

log = logging.getLogger(telemetry.LOGGER)


class Pipeline:
    """Runs calls over one snapshot of the settings."""

    def __init__(self, settings: Settings, tools: Tools, router: Router | None = None) -> None:
        self._settings = settings
        self._tools = tools
        self._settlement = Settlement(settings, tools)
        self._router = router or Router(settings.router, clock.chance)
        self.desk = Desk(settings, tools)

    async def start(self, call: ImageCall, spool: CallSpool, options: CallOptions) -> RunningCall:
        """Plan the call, write it down (commit 1), and let it run by itself.

        A call that was made before is joined instead, by the terms of `options.attach`. Raises an
        `ImageError` where no deployment can do it or the ledger takes nothing; then nothing was
        sent. The caller owns `spool` until this returns.
        """
        trace = options.trace or Trace(call.id)
        trace.belong(options.account.key_id, options.account.team_id)
        try:
            return await self._start_or_join(call, spool, options, trace)
        except ImageError as error:
            error.verdicts = tuple(str(verdict) for verdict in trace.verdicts)
            self._settlement.tell_refusal(trace, call, error)
            raise

    async def _start_or_join(
        self, call: ImageCall, spool: CallSpool, options: CallOptions, trace: Trace
    ) -> RunningCall:
        end_user, group = end_user_of(call, options), group_of(call.model, self._settings)
        guards = self._tools.guards
        call, guard = guards.choose(call, options.guardrails, trace, end_user, group)
        options = _with_guardrails(options, guard)
        try:
            return await self._start(call, spool, options, guard)
        except KeyTakenError:
            return await self._start(call, spool, options, guard)  # its row is there now

    async def _start(
        self, call: ImageCall, spool: CallSpool, options: CallOptions, guard: GuardedCall
    ) -> RunningCall:
        async with self.desk.place(call, options) as place:
            if place.joined is not None:
                spool.close()
                return place.joined
            work = await self._begin(call, spool, options, guard)
            running = work.join(work.call, work.limit_s)
            place.enter(work)
        return running

    async def _begin(
        self, call: ImageCall, spool: CallSpool, options: CallOptions, guard: GuardedCall
    ) -> Work:
        trace = guard.trace
        with trace.step("plan"):
            route = self._route(call, options, guard)
        if guard.checks_input:
            call = await guard.check_input(call)
            route = self._route(call, options, guard)  # other words may be, and time has passed
        with trace.step("admit"):
            roll, attempts, route = await self._admit_somewhere(call, options, route, trace)
        work = Work(call, spool, self._close, guard)
        work.limit_s = options.timeout_s or route.plan.deployment.timeout_s
        if self._settings.log_prompts and _may_log(options.account):
            trace.logged_prompt = call.prompt
        self._tools.start_task(work.id, self._live(work, roll, attempts, route))
        return work

    def _route(self, call: ImageCall, options: CallOptions, guard: GuardedCall) -> Route:
        plan_group = partial(self._plan_group, call, options, guard)
        now_s, retries_max = clock.monotonic_s(), options.retries_max
        return self._router.start(call.model, plan_group, now_s, retries_max)

    def _plan_group(
        self, call: ImageCall, options: CallOptions, guard: GuardedCall, group: str
    ) -> tuple[Plan, ...]:
        """Return the plans of a group. None falls back to one with further guardrails."""
        if not self._tools.guards.cover(guard, group_of(group, self._settings)):
            raise BadRequestError(
                f"Calls for {group!r} meet guardrails that this call did not meet.",
                param="model",
            )
        return plan_group_of(call, self._settings, options, group)

    def _close(self, work: Work) -> None:
        self.desk.close(work)
        self._settlement.close(work)

    async def _live(
        self,
        running: Work,
        roll: Roll,
        attempts: Sequence[Attempt],
        route: Route,
    ) -> None:
        """Make all parts at once and leave one verdict."""
        guard, settlement = running.guard, self._settlement
        guard.begin(running.call)
        try:
            parts = await self._make_all(running, roll, attempts, route)
            outcome = conclude(running.call, parts, roll, partial=self._settings.partial)
        except ImageError as error:
            # Of all or nothing this is nothing: what was paid for is kept all the same.
            running.keeps_all |= bool(running.unkept)
            running.fail(error)
            await guard.end()
            await guard.observe(running.call, None)
            await settlement.record_verdicts(running)
            settlement.tell_failure(running, attempts[0], error, roll)
        except Exception as bug:
            settlement.tell_failure(running, attempts[0], _internal(bug), roll)
            raise
        else:
            running.succeed(outcome)
            try:
                await guard.observe(running.call, outcome.result)
                await settlement.record_verdicts(running)
            finally:
                settlement.tell(running, outcome)
        finally:
            guard.stop()
            running.finish()

    async def _make_all(
        self,
        running: Work,
        roll: Roll,
        attempts: Sequence[Attempt],
        route: Route,
    ) -> tuple[Part, ...]:
        if len(attempts) == 1:
            return await self._make(running, roll, attempts[0], route)
        made = [self._make(running, roll, attempt, route) for attempt in attempts]
        return await all_of(made)

    async def _make(
        self, running: Work, roll: Roll, attempt: Attempt, route: Route
    ) -> tuple[Part, ...]:
        """Try one deployment after the other for one part, as the faults allow."""
        begun_s = clock.monotonic_s()
        try:
            result = await self._converse(running, attempt)
        except ImageError as error:
            self._end_step(route, attempt, error, begun_s)
            following = await self._go_on(running, roll, attempt, error, route)
            if following is None:
                return (await self._settlement.lose(running, attempt, roll, error),)
            attempts, route = following
        else:
            self._end_step(route, attempt, None, begun_s)
            result, refusal = await running.guard.check_output(
                attempt.plan.call, result, running.spool
            )
            return (await self._settlement.settle(running, attempt, roll, result, refusal),)
        return await self._make_all(running, roll, attempts, route)

    def _end_step(
        self, route: Route, attempt: Attempt, error: ImageError | None, begun_s: float
    ) -> None:
        now_s, images = clock.monotonic_s(), attempt.plan.call.n
        self._router.end(route, error, images=images, seconds=now_s - begun_s, now_s=now_s)

    async def _go_on(
        self, running: Work, roll: Roll, attempt: Attempt, error: ImageError, route: Route
    ) -> tuple[Sequence[Attempt], Route] | None:
        """Return the attempts of the next step, None where there is none that may be taken."""
        step = self._router.after(route, error, clock.monotonic_s())
        if step is None or not running.has_time_for(step.wait_s):
            return None
        if step.wait_s:
            await clock.sleep(step.wait_s)
        attempts = await self._move_on(roll, attempt, error, step)
        if not attempts:
            return None
        self._router.begin(step, len(attempts), clock.monotonic_s())
        return attempts, step

    async def _converse(self, running: Work, attempt: Attempt) -> ImageResult:
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

    async def _exchange(self, running: Work, attempt: Attempt, limit_s: float) -> ImageResult:
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
        self, roll: Roll, attempt: Attempt, error: ImageError, step: Route
    ) -> Sequence[Attempt]:
        """Return attempts at another deployment; none where they got no row: nothing is sent."""
        plan = attempt.plan
        first, *parts = further = self._enter(roll, step, plan.call.n, plan.start)
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
        self, call: ImageCall, options: CallOptions, route: Route, trace: Trace
    ) -> tuple[Roll, Sequence[Attempt], Route]:
        """Write the call down (commit 1) at the first deployment that there is room for.

        A provider whose budget is full is passed over; every other refusal is the caller's answer.
        """
        verdicts = trace.unwritten_verdicts()
        while True:
            roll = Roll(call, self._tools.spool.owner)
            attempts = self._enter(roll, route, call.n)
            self._router.begin(route, len(attempts), clock.monotonic_s())
            try:
                group = route.plan.deployment.group
                await self._admit(call, options, attempts, verdicts, group=group)
            except BaseException as error:
                self._router.cancel(route, len(attempts))
                route = _passed_over(route, error)
            else:
                return roll, attempts, route

    def _enter(self, roll: Roll, route: Route, count: int, start: int = 0) -> tuple[Attempt, ...]:
        """Return attempts at the route's deployment, each with what is to be set aside for it."""
        attempts = roll.enter(route.plan, count, start)
        for attempt in attempts:
            attempt.reserve(dearest_e10(attempt.plan, (route.plan, *route.left), self._settings))
        return attempts

    async def _admit(
        self,
        call: ImageCall,
        options: CallOptions,
        attempts: Sequence[Attempt],
        verdicts: tuple[VerdictRecord, ...],
        *,
        group: str,
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
            fingerprint=options.attach.fingerprint if options.attach else None,
            idempotency_key=(options.attach.scoped_key or None) if options.attach else None,
        )
        first, *parts = (attempt.record for attempt in attempts)
        admit = Admit(record, first, tuple(parts), account.limits, call.n, verdicts)
        await self._tools.ledger.commit(admit)


def end_user_of(call: ImageCall, options: CallOptions) -> str:
    """Return the person behind the caller, as far as the caller says; "" where it does not."""
    given = options.end_user or call.safety_identifier or call.user or ""
    return identifier(given) if given else ""


def _may_log(account: Account) -> bool:
    """Return whether a prompt may go to the sinks where the operator wants them: a team decides."""
    return account.team_id is None or account.prompt_storage == "text"


def _with_guardrails(options: CallOptions, guard: GuardedCall) -> CallOptions:
    """Return the options by whose terms only calls are joined that met the same guardrails."""
    if options.attach is None or not guard.names:
        return options
    text = with_guardrails(options.attach.fingerprint, [*guard.names, guard.end_user])
    terms = msgspec.structs.replace(options.attach, fingerprint=text)
    return msgspec.structs.replace(options, attach=terms)


def _passed_over(route: Route, error: BaseException) -> Route:
    """Return the route without the provider whose budget is full; raises every other refusal."""
    if isinstance(error, ConflictError):
        raise key_taken() from error
    if not isinstance(error, LedgerError):
        raise error
    plans = (route.plan, *route.left)
    left = without_provider(plans, error) if isinstance(error, BudgetDeniedError) else ()
    if not left:
        raise told(error) from error
    return msgspec.structs.replace(route, plan=left[0], left=tuple(left[1:]))


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
