"""The router's settings: from LiteLLM's two sections and the deployments' own keys."""

from collections.abc import Mapping, Sequence

from imagegate.config.faults import Faults, nearest
from imagegate.config.schema import ConfigFile, DeploymentParams
from imagegate.config.settings import RouterSettings, Routing

RETRIES = 2  # LiteLLM's default


def routing_of(params: DeploymentParams) -> Routing:
    """Return how a deployment takes part in its group."""
    return Routing(
        order=params.order,
        weight=params.weight,
        rpm=params.rpm,
        ipm=params.ipm,
        max_in_flight=params.max_in_flight,
        tags=tuple(params.tags),
        cooldown_s=params.cooldown_time,
    )


def router_settings(config: ConfigFile, known: frozenset[str], faults: Faults) -> RouterSettings:
    """Return the router's settings; a fallback to a group that is not among `known` is a fault."""
    router, common = config.router_settings, config.litellm_settings
    retries = router.num_retries if router.num_retries is not None else common.num_retries
    fails = router.allowed_fails if router.allowed_fails is not None else common.allowed_fails
    found = RouterSettings(
        strategy=router.routing_strategy,
        retries_max=RETRIES if retries is None else retries,
        retry_after_s=router.retry_after,
        fails_max=RouterSettings().fails_max if fails is None else fails,
        cooldown_s=router.cooldown_time,
        fallbacks=_tuples(router.fallbacks or common.fallbacks or {}),
        default_fallbacks=tuple(router.default_fallbacks or common.default_fallbacks or ()),
        policy_fallbacks=_tuples(
            router.content_policy_fallbacks or common.content_policy_fallbacks or {}
        ),
        is_tag_filtered=router.enable_tag_filtering,
    )
    _check(found, config, known, faults)
    return found


def _tuples(given: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    return {group: tuple(groups) for group, groups in given.items()}


def _check(
    found: RouterSettings, config: ConfigFile, known: frozenset[str], faults: Faults
) -> None:
    for key, groups in (
        ("fallbacks", [*found.fallbacks, *_targets(found.fallbacks)]),
        ("default_fallbacks", [*found.default_fallbacks]),
        ("content_policy_fallbacks", [*found.policy_fallbacks, *_targets(found.policy_fallbacks)]),
    ):
        section = "router_settings"
        if getattr(config.router_settings, key) is None:
            section = "litellm_settings"
        for group in dict.fromkeys(groups):
            if group not in known:
                near = nearest(group, known)
                meant = (
                    f"did you mean {near!r}?" if near else f"there are {', '.join(sorted(known))}"
                )
                faults.add((section, key), f"there is no model group {group!r}; {meant}")


def _targets(fallbacks: Mapping[str, Sequence[str]]) -> list[str]:
    return [group for groups in fallbacks.values() for group in groups]
