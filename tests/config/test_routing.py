"""The router's settings, in LiteLLM's names and places."""

from pathlib import Path

import pytest

from imagegate.config.settings import OverrideSettings, QueueSettings, Routing
from imagegate.errors import ConfigError
from tests.config.files import load

TWO = """\
model_list:
  - model_name: img
    litellm_params:
      model: openai/gpt-image-2
      api_key: sk-test-a
      order: 1
      weight: 3
      rpm: 60
      ipm: 20
      max_in_flight: 8
      tags: [eu, default]
      cooldown_time: 30
  - {model_name: spare, litellm_params: {model: openai/gpt-image-2, api_key: sk-test-b}}
"""


def test_the_keys_of_a_deployment(tmp_path: Path) -> None:
    first, second = load(tmp_path, TWO).deployments
    assert first.routing == Routing(
        order=1,
        weight=3.0,
        rpm=60,
        ipm=20,
        max_in_flight=8,
        tags=("eu", "default"),
        cooldown_s=30.0,
    )
    assert second.routing == Routing()
    assert first.defaults == {}, "none of them is a field of the request"


def test_the_routers_keys(tmp_path: Path) -> None:
    text = """\
router_settings:
  routing_strategy: cost-based-routing
  num_retries: 1
  retry_after: 2
  allowed_fails: 4
  cooldown_time: 7
  fallbacks: [{img: [spare]}]
  default_fallbacks: [spare]
  content_policy_fallbacks: [{img: [spare]}]
  enable_tag_filtering: true
"""
    router = load(tmp_path, TWO + text).router
    assert (router.strategy, router.retries_max, router.retry_after_s) == (
        "cost-based-routing",
        1,
        2.0,
    )
    assert (router.fails_max, router.cooldown_s, router.is_tag_filtered) == (4, 7.0, True)
    assert router.fallbacks == {"img": ("spare",)}
    assert router.default_fallbacks == ("spare",)
    assert router.policy_fallbacks == {"img": ("spare",)}


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("usage-based-routing-v2", "usage-based-routing"),
        ("provider-budget-routing", "simple-shuffle"),
        ("least-busy", "least-busy"),
    ],
)
def test_litellms_strategies(name: str, strategy: str, tmp_path: Path) -> None:
    text = f"router_settings: {{routing_strategy: {name}}}\n"
    assert load(tmp_path, TWO + text).router.strategy == strategy


def test_limits_of_calls_at_once(tmp_path: Path) -> None:
    text = """\
router_settings: {default_max_parallel_requests: 4}
general_settings:
  global_max_parallel_requests: 50
  max_in_flight_requests_per_worker: 40
  max_parallel_requests: 5
  max_queued_requests_per_worker: 0
  admission_queue_timeout_seconds: 7
"""
    settings = load(tmp_path, TWO + text)
    assert settings.queue == QueueSettings(
        calls_max=40, key_calls_max=5, waiting_max=0, wait_s_max=7.0
    )
    assert [one.routing.max_in_flight for one in settings.deployments] == [8, 4]
    assert load(tmp_path, TWO).queue == QueueSettings()


def test_what_a_request_may_override(tmp_path: Path) -> None:
    text = "overrides: {num_retries_max: 4, timeout_max: 90, fallbacks: false}\n"
    settings = load(tmp_path, TWO + text)
    assert (settings.router.retries_max, settings.router.retries_asked_max) == (2, 4)
    assert settings.overrides == OverrideSettings(timeout_s_max=90.0, may_fall_back=False)
    assert load(tmp_path, TWO).router.retries_asked_max == 2


def test_litellm_settings_say_it_too(tmp_path: Path) -> None:
    text = "litellm_settings: {num_retries: 0, fallbacks: [{img: [spare]}], allowed_fails: 1}\n"
    router = load(tmp_path, TWO + text).router
    assert (router.retries_max, router.fails_max) == (0, 1)
    assert router.fallbacks == {"img": ("spare",)}
    both = load(tmp_path, TWO + text + "router_settings: {num_retries: 5}\n").router
    assert both.retries_max == 5


def test_the_defaults(tmp_path: Path) -> None:
    router = load(tmp_path, TWO).router
    assert (router.strategy, router.retries_max) == ("simple-shuffle", 2)
    assert router.policy_fallbacks == {}, "never to a laxer provider unasked"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("router_settings: {fallbacks: [{img: [spar]}]}", "did you mean 'spare'?"),
        ("router_settings: {fallbacks: [{imgs: [spare]}]}", "did you mean 'img'?"),
        ("litellm_settings: {default_fallbacks: [chat]}", "there is no model group 'chat'"),
        ("router_settings: {routing_strategy: fastest}", "simple-shuffle"),
        ("router_settings: {num_retries: -1}", "num_retries"),
        ("router_settings: {may_buy_twice: [im]}", "did you mean 'img'?"),
        ("general_settings: {max_queued_requests_per_worker: -1}", "max_queued"),
        ("overrides: {num_retrys_max: 1}", "did you mean 'num_retries_max'?"),
        ("router_settings: {routing_stratgy: least-busy}", "routing_strategy"),
    ],
)
def test_a_fault_is_told(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="line ") as raised:
        load(tmp_path, TWO + text)
    assert told in raised.value.message
