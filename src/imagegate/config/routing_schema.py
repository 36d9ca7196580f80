"""How calls are routed, how many run at once, and what a request may say of it."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from imagegate.config.fields import (
    Count,
    LiteLLMSection,
    Names,
    Retention,
    Retries,
    Seconds,
    Section,
    Text,
    not_bool,
    one_mapping,
)


class GroupAlias(LiteLLMSection):
    """An alias written as a mapping."""

    model: Text


Fallbacks = Annotated[dict[str, list[Text]], BeforeValidator(one_mapping)]


class RouterSettings(LiteLLMSection):
    """`router_settings`. What is here wins over the same in `litellm_settings`."""

    routing_strategy: Literal[
        "simple-shuffle",
        "least-busy",
        "latency-based-routing",
        "cost-based-routing",
        "usage-based-routing",
        "usage-based-routing-v2",
        "provider-budget-routing",
    ] = "simple-shuffle"
    """How one of several deployments is picked: by chance and weight, by its requests at work, by \
the seconds or the price of an image, by its images in the last minute. A provider whose budget \
is used up is passed over by any of them."""
    num_retries: Retries | None = None
    """Further attempts at a deployment that failed for the moment and bought nothing."""
    retry_after: Retention = 0.0
    """The least wait before such an attempt, in seconds."""
    allowed_fails: Retries | None = None
    """So many failures of a deployment in a minute are borne."""
    cooldown_time: Seconds = 5.0
    """How long a failing deployment rests, in seconds; doubled with each rest in a row."""
    fallbacks: Fallbacks | None = None
    """Model groups that are asked where a group has nothing left, by group."""
    default_fallbacks: list[Text] | None = None
    """Model groups that are asked after any group's own fallbacks."""
    content_policy_fallbacks: Fallbacks | None = None
    """Model groups that are asked where a provider refused a prompt, by group; off by default."""
    enable_tag_filtering: bool = False
    """Requests go to deployments with one of their tags."""
    default_max_parallel_requests: Count | None = None
    """Default of `max_in_flight` in the params."""
    may_buy_twice: Names = []
    """Model groups that go on after a fault behind which an image may have been made and billed: \
the next deployment may buy it again. Both are booked, and told in `x-imagegate-warnings`."""
    model_group_alias: dict[str, str | GroupAlias] = {}
    """Further names of model groups."""
    timeout: Seconds | None = None
    """Default of `timeout` in the params."""


class CallLimits(LiteLLMSection):
    """The part of `general_settings` that says how many calls run at once, and how many wait."""

    global_max_parallel_requests: Count | None = None
    """Calls that one gateway process works on at the same time."""
    max_in_flight_requests_per_worker: Count | None = None
    """The same as `global_max_parallel_requests`; the lower one counts."""
    max_parallel_requests: Count | None = None
    """Calls of one key at the same time; a key's own `calls_in_flight` counts as well."""
    max_queued_requests_per_worker: Annotated[int, BeforeValidator(not_bool), Field(ge=0)] = 100
    """So many calls wait where one of these limits, or `max_in_flight` of all deployments that \
could make them, is reached. 0: none waits, the call is refused at once."""
    admission_queue_timeout_seconds: Seconds = 60.0
    """How long a call waits there at most, in seconds; then it is refused."""


class Overrides(Section):
    """What one request may say of its routing, by body or header."""

    num_retries_max: Retries | None = None
    """Most retries that a request gets, whatever it asks for. Default: `num_retries`."""
    timeout_max: Seconds = 3600.0
    """Longest `timeout` that a request may ask for, in seconds."""
    fallbacks: bool = True
    """Whether requests may name model groups to fall back to, among those that their key may \
use."""
