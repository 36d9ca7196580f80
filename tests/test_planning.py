"""What is known of a call's shape changes nothing: each call is planned as if it were the first."""

import datetime
from pathlib import Path

import msgspec
import pytest

from imagegate.call_options import CallOptions
from imagegate.config.settings import Settings
from imagegate.errors import ImageError
from imagegate.ledger.people import Account, Permissions
from imagegate.plan import Plan
from imagegate.planning import Planning
from imagegate.types import Blob, ImageCall, Json
from tests.config.files import load

CONFIG = """\
model_list:
  - model_name: img
    litellm_params: {model: openai/gpt-image-2, api_key: sk-test-a}
  - model_name: img
    litellm_params: {model: openai/gpt-image-1, api_key: sk-test-b, user: ours}
  - model_name: img
    model_info: {mode: image_generation}
    litellm_params: {model: openai/mine, api_base: "http://localhost:1", api_key: sk-test-c}
  - model_name: gemini/*
    litellm_params: {model: gemini/*, api_key: test-g}
router_settings: {model_group_alias: {alias: img}}
"""
DAY_S = 24 * 3600
ANYONE = CallOptions()
OF_A_SIZE = Account(permissions=(("key k", Permissions(size_px_max=1024 * 1024)),))

BASE = ImageCall(
    id="call_1",
    operation="generate",
    model="img",
    prompt="a fox",
    size="1536x1024",
    quality="hd",
    user="ada",
)
CHANGES: tuple[dict[str, Json], ...] = (
    {"id": "call_2"},
    {"operation": "edit"},
    {"operation": "variation"},
    {"model": "alias"},
    {"model": "gemini/gemini-3.1-flash-image"},
    {"model": "nobody"},
    {"prompt": ""},
    {"prompt": "  "},
    {"prompt": "a cat that looks at the fox"},
    {"prompt": "ein Füchschen"},
    {"prompt": "a" * 33_000},
    {"n": 2},
    {"n": 11},
    {"size": None},
    {"size": "auto"},
    {"size": "1x1"},
    {"quality": None},
    {"quality": "best"},
    {"background": "transparent"},
    {"output_format": "webp"},
    {"output_format": "webp", "output_compression": 50},
    {"moderation": "low"},
    {"style": "vivid"},
    {"seed": 1},
    {"negative_prompt": "a dog"},
    {"response_format": "url"},
    {"complexity": "low"},
    {"svg": {"author": "x"}},
    {"svg": {}},
    {"user": None},
    {"safety_identifier": "someone"},
    {"stream": True, "partial_images": 2},
    {"images": (Blob(b"", 0, 0, media_type="image/png"),)},
    {"extra": {"seed": 1}},
    {"extra": {"unknown": [1]}},
)
OPTIONS = (
    CallOptions(adjust="strict"),
    CallOptions(account=OF_A_SIZE),
    CallOptions(max_cost_e10=1),
)


def planned(planning: Planning, call: ImageCall, options: CallOptions) -> tuple[Plan, ...] | str:
    """Return the plans of a call, or why there are none."""
    try:
        return planning.plans_of(call, options, call.model)
    except ImageError as error:
        return error.message


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load(tmp_path_factory.mktemp("planning"), CONFIG)


def check_alike(
    settings: Settings, first: tuple[ImageCall, CallOptions], then: tuple[ImageCall, CallOptions]
) -> None:
    """Plan one call after another; the second has to be planned as if it were the first."""
    experienced = Planning(settings)
    planned(experienced, *first)
    assert planned(experienced, *then) == planned(Planning(settings), *then)


@pytest.mark.parametrize("change", CHANGES, ids=",".join)
def test_another_call_is_planned_as_if_it_were_the_first(
    configuration: Settings, change: dict[str, Json]
) -> None:
    other = msgspec.structs.replace(BASE, **change)
    check_alike(configuration, (BASE, ANYONE), (other, ANYONE))
    check_alike(configuration, (other, ANYONE), (BASE, ANYONE))


@pytest.mark.parametrize("options", OPTIONS)
def test_other_options_are_heeded(configuration: Settings, options: CallOptions) -> None:
    check_alike(configuration, (BASE, ANYONE), (BASE, options))
    check_alike(configuration, (BASE, options), (BASE, ANYONE))


def test_a_shape_is_planned_once(configuration: Settings) -> None:
    planning = Planning(configuration)
    first, again = (planning.plans_of(BASE, ANYONE, "img") for _ in range(2))
    assert first[0].adjustments
    assert again[0].adjustments is first[0].adjustments


def test_nobody_gets_another_ones_words(configuration: Settings) -> None:
    planning = Planning(configuration)
    ada = ImageCall(id="call_1", operation="generate", model="img", prompt="a fox", user="ada")
    bob = ImageCall(id="call_2", operation="generate", model="img", prompt="a cat")
    planned(planning, ada, ANYONE)
    found = planned(planning, bob, ANYONE)
    assert not isinstance(found, str)
    assert [(one.call.id, one.call.prompt, one.call.user) for one in found] == [
        ("call_2", "a cat", None),
        ("call_2", "a cat", "ours"),
        ("call_2", "a cat", None),
    ]


def test_a_model_ends_while_the_gateway_runs(tmp_path: Path) -> None:
    ending = load(tmp_path, CONFIG.replace("openai/gpt-image-1,", "openai/dall-e-3,"))
    deployment = ending.deployments[1]
    assert deployment.model
    assert deployment.model.shutdown
    last_day = datetime.datetime.combine(
        deployment.model.shutdown, datetime.time(), datetime.UTC
    ) - datetime.timedelta(days=1)
    begins_s = last_day.timestamp()
    times = iter((begins_s, begins_s + DAY_S - 1, begins_s + DAY_S))
    planning = Planning(ending, lambda: next(times))
    call = ImageCall(id="call_1", operation="generate", model="img", prompt="a fox")
    told = [planning.plans_of(call, ANYONE, "img")[1].warnings[0] for _ in range(3)]
    assert ["in 1 day" in one for one in told] == [True, True, False]
    assert "was shut down" in told[2]
