"""Commit 1: a call and what is set aside for it are written down before anything is sent."""

from collections.abc import Sequence

import msgspec

from imagegate import clock
from imagegate.attach import key_taken
from imagegate.attempt import Attempt
from imagegate.call_options import CallOptions, end_user_of
from imagegate.config.settings import Settings
from imagegate.errors import ImageError
from imagegate.fan_out import Roll
from imagegate.ledger.records import (
    Admit,
    BudgetDeniedError,
    CallRecord,
    ConflictError,
    LedgerError,
    Redispatch,
)
from imagegate.reserve import (
    dearest_e10,
    stored_prompt,
    tags_json,
    told,
    without_provider,
)
from imagegate.router.route import Route, Router
from imagegate.settle import Settlement, Tools
from imagegate.trace import Trace
from imagegate.turns import Turn, elsewhere
from imagegate.types import ImageCall


class Admission:
    """Gives calls and attempts their rows; without one, nothing is sent."""

    def __init__(
        self, settings: Settings, tools: Tools, router: Router, settlement: Settlement
    ) -> None:
        self._settings = settings
        self._tools = tools
        self._router = router
        self._settlement = settlement

    async def admit(
        self, call: ImageCall, options: CallOptions, turn: Turn | Route, trace: Trace
    ) -> tuple[Roll, Sequence[Attempt], Route]:
        """Write the call down (commit 1) at the first deployment that a budget has room for.

        The route of a `turn` is begun, and ended where this raises; a route alone waits yet. A
        provider whose budget is full is passed over; every other refusal is the caller's answer.
        """
        is_begun = isinstance(turn, Turn)
        route = turn.route if isinstance(turn, Turn) else turn
        verdicts = trace.unwritten_verdicts()
        while True:
            roll = Roll(call, self._tools.spool.owner)
            attempts = self._enter(roll, route, call.n)
            try:
                record = self._record(call, options, route.plan.deployment.group)
                first, *parts = [attempt.record for attempt in attempts]
                limits = options.account.limits
                await self._tools.ledger.commit(
                    Admit(record, first, tuple(parts), limits, call.n, verdicts)
                )
            except BaseException as error:
                if is_begun:
                    self._router.cancel(route, len(attempts))
                route = _passed_over(route, error)
                if is_begun:
                    self._router.begin(route, route.plan.requests, clock.monotonic_s())
            else:
                return roll, attempts, route

    async def readmit(
        self, roll: Roll, attempt: Attempt, error: ImageError, step: Route
    ) -> Sequence[Attempt]:
        """Return attempts at another deployment; none where they got no row: nothing is sent."""
        plan = attempt.plan
        first, *parts = further = self._enter(roll, step, plan.call.n, plan.start)
        records = tuple(part.record for part in parts)
        ended = attempt.failed(error, is_replaced=True)
        try:
            await self._tools.ledger.commit(Redispatch(first.record, ended, records))
        except LedgerError:
            roll.strike(further)
            return ()
        roll.replace(attempt, error)
        self._settlement.keep_evidence(attempt, error)
        self._tools.spool.journal.end(attempt.id)
        return further

    async def move(
        self, roll: Roll, attempts: Sequence[Attempt], route: Route
    ) -> Sequence[Attempt]:
        """Return attempts where there is a place, which may be elsewhere than was written down.

        The route is begun for as many requests as these are.
        """
        placed: list[Attempt] = []
        for attempt in attempts:
            if attempt.plan.deployment.id == route.plan.deployment.id:
                placed.append(attempt)
            else:
                moved = await self.readmit(roll, attempt, elsewhere(route), route)
                placed.extend(moved or [attempt])
        surplus = len(placed) - route.plan.requests
        self._router.begin(route, max(surplus, 0), clock.monotonic_s())
        self._router.cancel(route, max(-surplus, 0))
        return placed

    def _enter(self, roll: Roll, route: Route, count: int, start: int = 0) -> tuple[Attempt, ...]:
        """Return attempts at the route's deployment, each with what is to be set aside for it."""
        plans, settings = (route.plan, *route.left), self._settings
        parts = route.plan.split(count, start)
        return tuple([roll.enter(part, dearest_e10(part, plans, settings)) for part in parts])

    def _record(self, call: ImageCall, options: CallOptions, group: str) -> CallRecord:
        account, attach = options.account, options.attach
        return CallRecord(
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
            fingerprint=attach.fingerprint if attach else None,
            idempotency_key=(attach.scoped_key or None) if attach else None,
        )


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
