"""Puts a call on its way: the deployment to ask, and the next one after a fault."""

import contextlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
from msgspec import Struct

from imagegate.config.patterns import find, matches
from imagegate.config.settings import Deployment, RouterSettings
from imagegate.errors import (
    AttemptReport,
    ContentPolicyViolationError,
    ImageError,
    OverloadedError,
)
from imagegate.plan import Plan
from imagegate.router.fault import (
    SOLE_FAILS_MAX,
    earns_rest_at_once,
    is_failure,
    may_go_elsewhere,
    rest_s,
    retry_wait_s,
)
from imagegate.router.health import Health
from imagegate.router.limits import has_place, may_retry, room_in_s
from imagegate.router.strategy import Chance, ranked

Planner = Callable[[str], Sequence[Plan]]
"""Returns a plan for each deployment of a model group; raises an `ImageError` where none can."""

GROUPS_MAX = 8


class Route(Struct, frozen=True, eq=False):
    """Where one part of a call is, and what is left to it.

    `left` are plans of the same group that were not tried, `groups` the fallbacks after it.
    `may_be_laxer`: the operator's way on for a refused prompt may be taken. `retries` were made at
    this deployment; `is_retry`: this step is one of them, after `wait_s`. `is_sole`: nobody else
    could serve the call. `full` are plans that could, had their deployments not as many requests
    as they may: where there are any, the step cannot be taken yet.
    """

    plan: Plan
    left: tuple[Plan, ...]
    groups: tuple[str, ...]
    seen: frozenset[str]
    plan_group: Planner
    may_be_laxer: bool = True
    retries_max: int = 0
    is_sole: bool = False
    retries: int = 0
    wait_s: float = 0.0
    is_retry: bool = False
    full: tuple[Plan, ...] = ()


class Wishes(Struct, frozen=True):
    """What a caller wants of the way; None: the operator's choice. `fallbacks` are groups."""

    retries: int | None = None
    fallbacks: tuple[str, ...] | None = None


_NO_WISHES = Wishes()


class Router:
    """Knows the health of all deployments. `now_s` are monotonic seconds; `chance` draws lots."""

    def __init__(self, settings: RouterSettings, chance: Chance) -> None:
        self.settings = settings
        self.health: defaultdict[str, Health] = defaultdict(Health)
        self._chance = chance

    def take_over(self, former: "Router", stay: Iterable[str]) -> None:
        """Go on with the health of the deployments that stay, by id; shared with calls at work."""
        self.health.update({one: former.health[one] for one in stay if one in former.health})

    def start(
        self, group: str, plan_group: Planner, now_s: float, wishes: Wishes = _NO_WISHES
    ) -> Route:
        """Return the route of a call for `group`: where it goes first, or for whom it must wait.

        Raises `OverloadedError` that names each deployment where none may be asked now or soon,
        and the error of `plan_group` where none can do it.
        """
        plans = plan_group(group)
        group = plans[0].deployment.group  # what was asked for may be an alias
        groups = self._fallbacks(group) if wishes.fallbacks is None else wishes.fallbacks
        found = self._pick(plans, now_s)
        route = Route(
            found[0] if found else plans[0],
            tuple(found[1:] if found else plans),
            groups,
            frozenset((group,)),
            plan_group,
            may_be_laxer=wishes.fallbacks is None,
            retries_max=self._retries_max(wishes),
            is_sole=len(plans) == 1 and not groups,
        )
        if found:
            return route
        return self._fall_back(groups, route, now_s) or self._wait_for(route, now_s)

    def must_wait(self, route: Route, now_s: float) -> bool:
        """Return whether what kept a step from being taken still does, and nothing else."""
        open_to_it = [plan for plan in route.full if not self._wait_s(plan, now_s)]
        return bool(open_to_it) and not any(self._has_place(plan) for plan in open_to_it)

    def after(self, route: Route, error: ImageError, now_s: float) -> Route | None:
        """Return the next step after a fault, None where it is the end.

        Another deployment of the group first, for it can begin at once; then the same again; then
        another group.
        """
        group = route.plan.deployment.group
        if isinstance(error, ContentPolicyViolationError):
            laxer = find(self.settings.policy_fallbacks, group) or ()
            groups = laxer if route.may_be_laxer else ()
            return self._fall_back(groups, route, now_s)
        if not may_go_elsewhere(error, buys_twice=matches(self.settings.buys_twice, group)):
            return None
        found = self._pick(route.left, now_s)
        if found:
            return _moved(route, found)
        again = self._again(route, error)
        return again or self._fall_back(route.groups, route, now_s)

    def begin(self, route: Route, requests: int, now_s: float) -> None:
        """Note that a step is taken by so many requests at the same time; each ends once."""
        health = self.health[route.plan.deployment.id]
        for _ in range(requests):
            health.begin(route, route.plan.call.n // requests or 1, now_s)
        health.retrying += requests * route.is_retry

    def end(
        self, route: Route, error: ImageError | None, *, images: int, seconds: float, now_s: float
    ) -> float:
        """Note how one request of a step ended, which was for `images` and took `seconds`.

        Return the rest in seconds that its deployment begins, 0 for none.
        """
        deployment = route.plan.deployment
        health = self.health[deployment.id]
        health.retrying -= route.is_retry
        if error is None:
            health.succeed(route, images, seconds, now_s)
        elif is_failure(error):
            health.fail(route, error, now_s)
            return self._rest_after(deployment, error, is_sole=route.is_sole, now_s=now_s)
        else:
            health.let_go(route)
        return 0.0

    def cancel(self, route: Route, requests: int) -> None:
        """Note that a step was not taken after all: nothing was sent."""
        health = self.health[route.plan.deployment.id]
        health.retrying -= requests * route.is_retry
        for _ in range(requests):
            health.let_go(route)

    def _rest_after(
        self, deployment: Deployment, error: ImageError, *, is_sole: bool, now_s: float
    ) -> float:
        health = self.health[deployment.id]
        if is_sole:
            is_due = health.fails_in_row > max(SOLE_FAILS_MAX, self.settings.fails_max)
        else:
            is_due = earns_rest_at_once(error) or health.fails(now_s) > self.settings.fails_max
        if not is_due or health.is_resting(now_s):
            return 0.0
        own_s = deployment.routing.cooldown_s
        cooldown_s = self.settings.cooldown_s if own_s is None else own_s
        seconds = rest_s(error, cooldown_s, health.rests_in_row)
        health.rest(now_s + seconds)
        return seconds

    def _pick(self, plans: Sequence[Plan], now_s: float) -> list[Plan]:
        """Return the plans that may be asked now, best first."""
        free = [plan for plan in plans if self._has_place(plan) and not self._wait_s(plan, now_s)]
        return ranked(free, self.health, self.settings.strategy, self._chance, now_s)

    def _full(self, plans: Iterable[Plan], now_s: float) -> tuple[Plan, ...]:
        """Return the plans that could be asked as soon as another call has ended there."""
        return tuple(
            plan for plan in plans if not (self._has_place(plan) or self._wait_s(plan, now_s))
        )

    def _has_place(self, plan: Plan) -> bool:
        deployment = plan.deployment
        return has_place(deployment.routing, self.health[deployment.id], plan.requests)

    def _wait_s(self, plan: Plan, now_s: float) -> float:
        """Return in how many seconds a deployment may be asked, whatever it is doing; 0 for now."""
        health = self.health[plan.deployment.id]
        if health.is_resting(now_s):
            return health.resting_until_s - now_s
        if health.is_half_open and health.is_probed:
            return 1.0
        return room_in_s(plan.deployment.routing, health, plan.call.n, now_s)

    def _wait_for(self, route: Route, now_s: float) -> Route:
        """Return the route that waits for a place. Raises `OverloadedError` where none comes."""
        everywhere = [*route.left, *self._elsewhere(route)]
        full = self._full(everywhere, now_s)
        if not full:
            raise self._unavailable(everywhere, now_s)
        return msgspec.structs.replace(route, full=full)

    def _elsewhere(self, route: Route) -> Iterator[Plan]:
        for group in route.groups[:GROUPS_MAX]:
            if group not in route.seen:
                with contextlib.suppress(ImageError):  # this group cannot do the call
                    yield from route.plan_group(group)

    def _again(self, route: Route, error: ImageError) -> Route | None:
        wait_s = retry_wait_s(
            error,
            route.retries,
            retries_max=route.retries_max,
            at_least_s=self.settings.retry_after_s,
        )
        if wait_s is None or not may_retry(self.health[route.plan.deployment.id]):
            return None
        return msgspec.structs.replace(
            route, retries=route.retries + 1, wait_s=wait_s, is_retry=True
        )

    def _fall_back(self, groups: Sequence[str], route: Route, now_s: float) -> Route | None:
        """Return the first step in the first of `groups` that can do the call now."""
        for at, group in enumerate(groups[:GROUPS_MAX]):
            if group in route.seen:
                continue
            try:
                found = self._pick(route.plan_group(group), now_s)
            except ImageError:
                continue  # this group cannot do the call; what failed before is what is told
            if found:
                route = msgspec.structs.replace(
                    route, groups=tuple(groups[at + 1 :]), seen=route.seen | {group}, is_sole=False
                )
                return _moved(route, found)
        return None

    def _fallbacks(self, group: str) -> tuple[str, ...]:
        settings = self.settings
        return (*(find(settings.fallbacks, group) or ()), *settings.default_fallbacks)

    def _retries_max(self, wishes: Wishes) -> int:
        if wishes.retries is None:
            return self.settings.retries_max
        return min(wishes.retries, self.settings.retries_asked_max)

    def unavailable(self, route: Route, now_s: float) -> OverloadedError:
        """Return why a step cannot be taken now, by all deployments that could serve the call."""
        plans = route.left if route.full else (route.plan, *route.left)
        return self._unavailable([*plans, *self._elsewhere(route)], now_s)

    def _unavailable(self, plans: Sequence[Plan], now_s: float) -> OverloadedError:
        waits = [max(self._wait_s(plan, now_s), 1.0) for plan in plans]
        states = "; ".join(self._state(plan, now_s) for plan in plans)
        error = OverloadedError(
            f"No deployment of {plans[0].deployment.group!r} may be asked now. {states}.",
            code="no_deployment_available",
            retry_after_s=math.ceil(min(waits)),
        )
        error.attempts = tuple(self._report(plan) for plan in plans)
        return error

    def _state(self, plan: Plan, now_s: float) -> str:
        """Return why a deployment is not asked, what it last said, and when it may be."""
        deployment, wait_s = plan.deployment, math.ceil(self._wait_s(plan, now_s))
        health = self.health[deployment.id]
        said = f"; it last said: {health.last_words}" if health.fails_in_row else ""
        if health.is_resting(now_s):
            return (
                f"{deployment.id} rests for {wait_s} s after {health.fails_in_row} failures{said}"
            )
        if health.is_half_open:
            return f"{deployment.id} is being probed, and may be asked in {wait_s} s{said}"
        if wait_s:
            return f"{deployment.id} is at its limits a minute, with room in {wait_s} s"
        return (
            f"{deployment.id} is at its limit at the same time (max_in_flight "
            f"{deployment.routing.max_in_flight}), with room when a request has ended"
        )

    def _report(self, plan: Plan) -> AttemptReport:
        deployment = plan.deployment
        return AttemptReport(
            deployment=deployment.id,
            state="unsent",
            code="no_deployment_available",
            message=self.health[deployment.id].last_words,
            provider=deployment.provider.name,
            model=deployment.target.upstream_model,
        )


def staying(before: Iterable[Deployment], now: Iterable[Deployment]) -> frozenset[str]:
    """Return the ids of deployments that are reached in the same way as before.

    Another place or credential is another deployment: what failed there says nothing here.
    """
    ways = {one.id: _way(one) for one in before}
    return frozenset(one.id for one in now if ways.get(one.id) == _way(one))


def _way(one: Deployment) -> tuple[object, ...]:
    return one.provider.name, one.target, one.credential, one.headers


def _moved(route: Route, found: Sequence[Plan]) -> Route:
    """Return the route at the first of `found`, with the others left to it."""
    return msgspec.structs.replace(
        route, plan=found[0], left=tuple(found[1:]), retries=0, wait_s=0.0, is_retry=False
    )
