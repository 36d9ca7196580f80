"""Commit 1: a call and its attempts are written down, with what is set aside for them."""

from collections.abc import Sequence

from msgspec.structs import replace

from imagegate import clock
from imagegate.attach import key_taken
from imagegate.attempt import Attempt
from imagegate.call_options import CallOptions, end_user_of
from imagegate.config.settings import Settings
from imagegate.fan_out import Roll
from imagegate.ledger.records import (
    Admit,
    BudgetDeniedError,
    CallRecord,
    ConflictError,
    LedgerError,
)
from imagegate.ledger.review import VerdictRecord
from imagegate.reserve import dearest_e10, stored_prompt, tags_json, told, without_provider
from imagegate.router.route import Route, Router
from imagegate.settle import Tools
from imagegate.trace import Trace
from imagegate.turns import Turn
from imagegate.types import ImageCall


class Admission:
    """Admits calls into the ledger."""

    def __init__(self, settings: Settings, tools: Tools, router: Router) -> None:
        self._settings = settings
        self._tools = tools
        self._router = router

    async def admit(
        self, call: ImageCall, options: CallOptions, turn: Turn | Route, trace: Trace
    ) -> tuple[Roll, Sequence[Attempt], Route]:
        """Write the call down (commit 1) at the first deployment that a budget has room for.

        The route of a `turn` is begun, and ended where this raises; without one it waits yet. A
        provider whose budget is full is passed over; every other refusal is the caller's answer.
        """
        is_begun = isinstance(turn, Turn)
        route = turn.route if isinstance(turn, Turn) else turn
        verdicts = trace.unwritten_verdicts()
        while True:
            roll = Roll(call, self._tools.spool.owner)
            attempts = self.enter(roll, route, call.n)
            try:
                group = route.plan.deployment.group
                await self._admit(call, options, attempts, verdicts, group=group)
            except BaseException as error:
                if is_begun:
                    self._router.cancel(route, len(attempts))
                route = _passed_over(route, error)
                if is_begun:
                    self._router.begin(route, route.plan.requests, clock.monotonic_s())
            else:
                return roll, attempts, route

    def enter(self, roll: Roll, route: Route, count: int, start: int = 0) -> tuple[Attempt, ...]:
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
    return replace(route, plan=left[0], left=tuple(left[1:]))
