"""Who comes first among deployments that can do a call and may be asked."""

import math
from collections.abc import Callable, Mapping, Sequence

from imagegate.config.settings import Strategy
from imagegate.plan import Plan
from imagegate.router.health import Health

Chance = Callable[[], float]
"""Returns a number from 0 up to 1, each as likely as the other."""


def ranked(
    plans: Sequence[Plan],
    health: Mapping[str, Health],
    strategy: Strategy,
    chance: Chance,
    now_s: float,
) -> list[Plan]:
    """Return the plans, best first: by `order`, then by the strategy, then by chance."""
    if len(plans) < 2:
        return list(plans)
    shuffled = _shuffled(plans, chance)
    shuffled.sort(key=lambda plan: _place(plan, health[plan.deployment.id], strategy, now_s))
    return shuffled


def _place(plan: Plan, health: Health, strategy: Strategy, now_s: float) -> tuple[int, float]:
    order = plan.deployment.routing.order
    match strategy:
        case "simple-shuffle":
            return order, 0.0
        case "least-busy":
            return order, float(health.in_flight)
        case "latency-based-routing":
            return order, _seconds(health, now_s)
        case "usage-based-routing":
            return order, float(health.begun(now_s)[1])
        case "cost-based-routing":
            return order, float(plan.price.expected_e10) if plan.price else math.inf


def _seconds(health: Health, now_s: float) -> float:
    """Return what an image takes. Whose speed nobody knows is tried first, by one at a time."""
    known_s = health.seconds_an_image(now_s)
    if known_s is None:
        return math.inf if health.in_flight else 0.0
    return known_s


def _shuffled(plans: Sequence[Plan], chance: Chance) -> list[Plan]:
    """Return the plans in an order by chance; who weighs twice as much is first twice as often."""
    weights = _weights(plans)
    # The least of exponential waits: the same odds as drawing one after the other.
    waits = [-math.log(1.0 - chance()) / weight if weight > 0 else math.inf for weight in weights]
    return [plans[at] for at in sorted(range(len(plans)), key=waits.__getitem__)]


def _weights(plans: Sequence[Plan]) -> list[float]:
    """Return `weight` where one of them has one, else `rpm`, else all the same."""
    routings = [plan.deployment.routing for plan in plans]
    if any(one.weight is not None for one in routings):
        return [one.weight if one.weight is not None else 1.0 for one in routings]
    if any(one.rpm for one in routings):
        return [float(one.rpm or 1) for one in routings]
    return [1.0] * len(plans)
