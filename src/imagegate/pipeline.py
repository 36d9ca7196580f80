"""The life of one call: admit, route, keep, settle, answer.

Two commits are waited for. The first writes the call and its attempt before anything is sent; the
second (`settle.py`) writes assets, usage and cost before the first byte is delivered.
"""

import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from imagegate import clock, telemetry
from imagegate.admission import Admission
from imagegate.assets.spool import CallSpool
from imagegate.attach import Desk, KeyTakenError
from imagegate.attempt import Attempt, internal_error
from imagegate.call_options import CallOptions, apart_by_guardrails, end_user_of
from imagegate.candidates import group_of
from imagegate.config.settings import Settings
from imagegate.converse import converse
from imagegate.dispatch import cancelled
from imagegate.errors import BadRequestError, ImageError
from imagegate.fan_out import Part, Roll, all_of, conclude
from imagegate.guardrails.guards import GuardedCall
from imagegate.ledger.people import Account
from imagegate.plan import Plan
from imagegate.planning import Planning
from imagegate.router.route import Route, Router, Wishes, staying
from imagegate.running import RunningCall, Work
from imagegate.settle import Settlement, Tools
from imagegate.trace import Trace
from imagegate.turns import Turn, Turns
from imagegate.types import ImageCall, ImageResult

log = logging.getLogger(telemetry.LOGGER)


class Pipeline:
    """Runs calls over one snapshot of the settings."""

    def __init__(self, settings: Settings, tools: Tools, former: "Pipeline | None" = None) -> None:
        """Take over from `former` what outlasts settings: joinable calls, deployments' health."""
        self._settings = settings
        self._tools = tools
        self._planning = Planning(settings)
        self._settlement = Settlement(settings, tools)
        self.router = Router(settings.router, clock.chance)
        self.turns = Turns(settings.queue, self.router)
        self._admission = Admission(settings, tools, self.router, self._settlement)
        self.desk = Desk(settings, tools)
        if former is not None:
            self.desk.take_over(former.desk)
            stay = staying(former._settings.deployments, settings.deployments)
            self.router.take_over(former.router, stay)
            self.turns.take_over(former.turns)

    async def start(self, call: ImageCall, spool: CallSpool, options: CallOptions) -> RunningCall:
        """Plan the call, write it down (commit 1), and let it run by itself.

        A call that was made before is joined instead, by the terms of `options.attach`. Raises an
        `ImageError` where no deployment can do it or the ledger takes nothing; then nothing was
        sent. The caller owns `spool` until this returns.
        """
        trace = options.trace or Trace(call.id)
        trace.belong(options.account.key_id, options.account.team_id)
        trace.tags = options.all_tags
        try:
            call, options, guard = self._guarded(call, options, trace)
            try:
                return await self._join_or_begin(call, spool, options, guard)
            except KeyTakenError:  # its row is there now
                return await self._join_or_begin(call, spool, options, guard)
        except ImageError as error:
            error.verdicts = tuple(str(verdict) for verdict in trace.verdicts)
            self._settlement.tell_refusal(trace, call, error)
            raise

    def _guarded(
        self, call: ImageCall, options: CallOptions, trace: Trace
    ) -> tuple[ImageCall, CallOptions, GuardedCall]:
        end_user, group = end_user_of(call, options), group_of(call.model, self._settings)
        guards = self._tools.guards
        call, guard = guards.choose(call, options.guardrails, trace, end_user, group)
        return call, apart_by_guardrails(options, guard.names, end_user), guard

    async def _join_or_begin(
        self, call: ImageCall, spool: CallSpool, options: CallOptions, guard: GuardedCall
    ) -> RunningCall:
        async with self.desk.place(call, options) as place:
            if place.joined is not None:
                spool.close()
                self._settlement.tell_joined_at_end(place.joined, guard.trace)
                return place.joined
            work = await self._begin(call, spool, options, guard)
            running = work.join(work.call, work.limit_s)
            place.enter(work)
        return running

    async def _begin(
        self, call: ImageCall, spool: CallSpool, options: CallOptions, guard: GuardedCall
    ) -> Work:
        trace = guard.trace
        self._tools.spool.room.take()
        with trace.step("plan"):
            route = self._route(call, options, guard)
        if guard.checks_input:
            call = await guard.check_input(call)
            route = self._route(call, options, guard)  # other words may be, and time has passed
        find = partial(self._route, call, options, guard)
        if options.is_later and self.turns.must_wait(route, options):
            turn: Turn | Route = route  # it is written before it waits: its caller does not
        else:
            turn = await self.turns.take(route, find, options, trace)
        try:
            with trace.step("admit"):
                roll, attempts, route = await self._admission.admit(call, options, turn, trace)
        except BaseException:
            if isinstance(turn, Turn):
                self.turns.end(turn)
            raise
        work = self.desk.works[call.id] = Work(call, spool, self._close, guard)
        work.limit_s = options.timeout_s or route.plan.deployment.timeout_s
        if self._settings.log_prompts and _may_log(options.account):
            trace.logged_prompt = call.prompt
        if isinstance(turn, Turn):
            work.waited_s = turn.waited_s
            make = partial(self._make_in_turn, work, roll, attempts, route, turn)
        else:
            take = partial(self.turns.take, route, find, options.waiting(), trace)
            make = partial(self._wait_and_make, work, roll, attempts, take)
        self._tools.start_task(work.id, self._live(work, roll, attempts[0], make))
        return work

    def _route(self, call: ImageCall, options: CallOptions, guard: GuardedCall) -> Route:
        plan_group = partial(self._plan_group, call, options, guard)
        wishes = Wishes(options.retries_max, options.fallbacks)
        return self.router.start(call.model, plan_group, clock.monotonic_s(), wishes)

    def _plan_group(
        self, call: ImageCall, options: CallOptions, guard: GuardedCall, group: str
    ) -> tuple[Plan, ...]:
        """Return the plans of a group. None falls back to one with further guardrails."""
        if not self._tools.guards.cover(guard, group_of(group, self._settings)):
            raise BadRequestError(
                f"Calls for {group!r} meet guardrails that this call did not meet.",
                param="model",
            )
        return self._planning.plans_of(call, options, group)

    def _close(self, work: Work) -> None:
        self.desk.close(work)
        self._settlement.close(work)

    async def _live(
        self,
        running: Work,
        roll: Roll,
        first: Attempt,
        make: Callable[[], Coroutine[Any, Any, tuple[Part, ...]]],
    ) -> None:
        """Make all parts at once and leave one verdict."""
        guard, settlement = running.guard, self._settlement
        guard.begin(running.call)
        try:
            parts = await make()
            outcome = conclude(running.call, parts, roll, partial=self._settings.partial)
        except ImageError as error:
            # Of all or nothing this is nothing: what was paid for is kept all the same.
            running.keeps_all |= bool(running.unkept)
            running.fail(error)
            await guard.end()
            await self._observe(running, None)
            settlement.tell_failure(running, first, error, roll)
        except Exception as bug:
            settlement.tell_failure(running, first, internal_error(bug), roll)
            raise
        else:
            running.succeed(outcome)
            try:
                if guard.names:
                    await self._observe(running, outcome.result)
            finally:
                settlement.tell(running, outcome)
        finally:
            guard.stop()
            running.finish()

    async def _observe(self, running: Work, result: ImageResult | None) -> None:
        """Let guardrails rule that only look, and write what was ruled since the last commit."""
        await running.guard.observe(running.call, result)
        await self._settlement.record_verdicts(running)

    async def _wait_and_make(
        self,
        running: Work,
        roll: Roll,
        attempts: Sequence[Attempt],
        take: Callable[[], Coroutine[Any, Any, Turn]],
    ) -> tuple[Part, ...]:
        """Make all parts of a call that is written down already when its turn has come."""
        try:
            turn = await running.dispatch.unless_cancelled(take())
        except ImageError as error:
            lost = [await self._settlement.lose(running, one, roll, error) for one in attempts]
            return tuple(lost)
        running.started_at = clock.now_s()
        try:
            attempts = await self._admission.move(roll, attempts, turn.route)
            return await self._make_all(running, roll, attempts, turn.route)
        finally:
            self.turns.end(turn)

    async def _make_in_turn(
        self, running: Work, roll: Roll, attempts: Sequence[Attempt], route: Route, turn: Turn
    ) -> tuple[Part, ...]:
        try:
            return await self._make_all(running, roll, attempts, route)
        finally:
            self.turns.end(turn)

    def _make_all(
        self, running: Work, roll: Roll, attempts: Sequence[Attempt], route: Route
    ) -> Coroutine[Any, Any, tuple[Part, ...]]:
        made = [self._make(running, roll, attempt, route) for attempt in attempts]
        return made[0] if len(made) == 1 else all_of(made)

    async def _make(
        self, running: Work, roll: Roll, attempt: Attempt, route: Route
    ) -> tuple[Part, ...]:
        """Try one deployment after the other for one part, as the faults allow."""
        begun_s = clock.monotonic_s()
        try:
            result = await converse(running, attempt, self._settings, self._tools)
        except ImageError as error:
            self._end_step(route, attempt, error, begun_s)
            running.dispatch.end(attempt.id, error)
            following = await self._go_on(running, roll, attempt, error, route)
            if following is None:
                error = cancelled() if running.dispatch.is_cancelled else error
                return (await self._settlement.lose(running, attempt, roll, error),)
            attempts, route = following
        else:
            self._end_step(route, attempt, None, begun_s)
            refusal = None
            if running.guard.checks_output:
                checked = running.guard.check_output(attempt.plan.call, result, running.spool)
                result, refusal = await checked
            return (await self._settlement.settle(running, attempt, roll, result, refusal),)
        return await self._make_all(running, roll, attempts, route)

    def _end_step(
        self, route: Route, attempt: Attempt, error: ImageError | None, begun_s: float
    ) -> None:
        now_s, images = clock.monotonic_s(), attempt.plan.call.n
        rest_s = self.router.end(route, error, images=images, seconds=now_s - begun_s, now_s=now_s)
        self.turns.look()
        if error is not None and rest_s:
            told = {"deployment": attempt.plan.deployment.id, "rest_s": rest_s, "code": error.code}
            log.warning(telemetry.DEPLOYMENT_RESTS, extra=told)

    async def _go_on(
        self, running: Work, roll: Roll, attempt: Attempt, error: ImageError, route: Route
    ) -> tuple[Sequence[Attempt], Route] | None:
        """Return the attempts of the next step, None where there is none that may be taken."""
        step = self.router.after(route, error, clock.monotonic_s())
        if step is None or not running.has_time_for(step.wait_s):
            return None
        if step.wait_s:
            with suppress(ImageError):
                await running.dispatch.unless_cancelled(clock.sleep(step.wait_s))
        if running.dispatch.is_cancelled:
            return None
        attempts = await self._admission.readmit(roll, attempt, error, step)
        if not attempts:
            return None
        self.router.begin(step, len(attempts), clock.monotonic_s())
        return attempts, step


def _may_log(account: Account) -> bool:
    """Return whether a prompt may go to the sinks where the operator wants them: a team decides."""
    return account.team_id is None or account.prompt_storage == "text"
