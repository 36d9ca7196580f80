"""The router's settings: from LiteLLM's two sections and the deployments' own keys."""

from collections.abc import Mapping, Sequence
from typing import get_args

from imagegate.config.faults import Faults, nearest
from imagegate.config.patterns import matches
from imagegate.config.schema import ConfigFile, DeploymentParams
from imagegate.config.settings import (
    OverrideSettings,
    QueueSettings,
    RouterSettings,
    Routing,
    Strategy,
)

RETRIES = 2  # LiteLLM's default
_STRATEGIES: dict[str, Strategy] = {
    **{name: name for name in get_args(Strategy)},
    "usage-based-routing-v2": "usage-based-routing",
    "provider-budget-routing": "simple-shuffle",
}


def routing_of(params: DeploymentParams, config: ConfigFile) -> Routing:
    """Return how a deployment takes part in its group."""
    default = config.router_settings.default_max_parallel_requests
    return Routing(
        order=params.order,
        weight=params.weight,
        rpm=params.rpm,
        ipm=params.ipm,
        max_in_flight=params.max_in_flight or params.max_parallel_requests or default,
        tags=tuple(params.tags),
        cooldown_s=params.cooldown_time,
    )


def router_settings(config: ConfigFile, known: frozenset[str], faults: Faults) -> RouterSettings:
    """Return the router's settings; a fallback to a group that is not among `known` is a fault."""
    router, common = config.router_settings, config.litellm_settings
    retries = router.num_retries if router.num_retries is not None else common.num_retries
    fails = router.allowed_fails if router.allowed_fails is not None else common.allowed_fails
    retries = RETRIES if retries is None else retries
    asked = config.overrides.num_retries_max
    found = RouterSettings(
        strategy=_STRATEGIES[router.routing_strategy],
        retries_max=retries,
        retries_asked_max=retries if asked is None else asked,
        retry_after_s=router.retry_after,
        fails_max=RouterSettings().fails_max if fails is None else fails,
        cooldown_s=router.cooldown_time,
        fallbacks=_tuples(router.fallbacks or common.fallbacks or {}),
        default_fallbacks=tuple(router.default_fallbacks or common.default_fallbacks or ()),
        policy_fallbacks=_tuples(
            router.content_policy_fallbacks or common.content_policy_fallbacks or {}
        ),
        is_tag_filtered=router.enable_tag_filtering,
        buys_twice=frozenset(router.may_buy_twice),
    )
    _check(found, config, known, faults)
    return found


def queue_settings(config: ConfigFile) -> QueueSettings:
    """Return how many calls run at once, and how many wait."""
    given = config.general_settings
    limits = (given.global_max_parallel_requests, given.max_in_flight_requests_per_worker)
    return QueueSettings(
        calls_max=min((limit for limit in limits if limit is not None), default=None),
        key_calls_max=given.max_parallel_requests,
        waiting_max=given.max_queued_requests_per_worker,
        wait_s_max=given.admission_queue_timeout_seconds,
    )


def override_settings(config: ConfigFile) -> OverrideSettings:
    """Return what a request may say of its routing."""
    given = config.overrides
    return OverrideSettings(
        timeout_s_max=given.timeout_max,
        may_fall_back=given.fallbacks,
    )


def _tuples(given: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    return {group: tuple(groups) for group, groups in given.items()}


def _check(
    found: RouterSettings, config: ConfigFile, known: frozenset[str], faults: Faults
) -> None:
    for key, groups in (
        ("fallbacks", [*found.fallbacks, *_targets(found.fallbacks)]),
        ("default_fallbacks", [*found.default_fallbacks]),
        ("content_policy_fallbacks", [*found.policy_fallbacks, *_targets(found.policy_fallbacks)]),
        ("may_buy_twice", config.router_settings.may_buy_twice),
    ):
        section = "router_settings"
        if getattr(config.router_settings, key) is None:
            section = "litellm_settings"
        for group in dict.fromkeys(groups):
            if not matches(known, group):
                near = nearest(group, known)
                meant = (
                    f"did you mean {near!r}?" if near else f"there are {', '.join(sorted(known))}"
                )
                faults.add((section, key), f"there is no model group {group!r}; {meant}")


def _targets(fallbacks: Mapping[str, Sequence[str]]) -> list[str]:
    return [group for groups in fallbacks.values() for group in groups]
