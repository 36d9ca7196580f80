"""Entries with a `*`: which names they serve, with what, and what a name can never choose."""

from pathlib import Path

import pytest

from imagegate.candidates import deployments_of, served_names
from imagegate.config.patterns import captured, closest, find, matches
from imagegate.config.settings import Settings
from imagegate.errors import NotFoundError
from tests.config.files import faults_of, load

OPENAI = """\
model_list:
  - model_name: openai/*
    model_info: {id: any}
    litellm_params: {model: openai/*, api_key: sk-test-a, rpm: 60, quality: low}
"""
KEYS = {"OPENAI_API_KEY": "sk-test-o", "GEMINI_API_KEY": "test-g"}


def served(settings: Settings, name: str) -> list[str]:
    """Return where a name leads, `[]` for nowhere."""
    try:
        found = deployments_of(name, settings)
    except NotFoundError:
        return []
    return [f"{one.provider.name}/{one.target.upstream_model}" for one in found]


@pytest.mark.parametrize(
    ("pattern", "name", "part"),
    [
        ("openai/*", "openai/gpt-image-2", "gpt-image-2"),
        ("*", "a", "a"),
        ("flux-*-pro", "flux-2-pro", "2"),
        ("flux-*-pro", "flux-pro", None),
        ("openai/*", "openai/", ""),
        ("aba*ba", "aba", None),
        ("openai/*", "azure/x", None),
        ("gpt-image-2", "gpt-image-2", None),
    ],
)
def test_what_a_pattern_captures(pattern: str, name: str, part: str | None) -> None:
    assert captured(pattern, name) == part


def test_the_closest_pattern_counts() -> None:
    by_pattern = {"*": 1, "openai/*": 2, "openai/gpt-*": 3, "openai/gpt-x": 4}
    names = ("a", "openai/a", "openai/gpt-a", "openai/gpt-x")
    assert [find(by_pattern, name) for name in names] == [1, 2, 3, 4]
    assert closest(("openai/*",), "azure/x") is None
    assert not matches(("gpt-image-2",), "gpt-image")


def test_each_name_is_a_deployment_with_its_own_row(tmp_path: Path) -> None:
    settings = load(tmp_path, OPENAI)
    [found] = deployments_of("openai/gpt-image-1.5", settings)
    assert (found.group, found.pattern, found.id) == ("openai/gpt-image-1.5", "openai/*", "any")
    assert found.model
    assert found.model.id == "openai/gpt-image-1.5"
    assert found.routing.rpm == 60
    assert found.defaults == {"quality": "low"}
    assert found.credential.secret.reveal() == "sk-test-a"
    assert deployments_of("openai/gpt-image-1.5", settings) == (found,)


def test_known_models_are_listed_without_those_that_have_ended(tmp_path: Path) -> None:
    names = served_names(load(tmp_path, OPENAI))
    assert "openai/gpt-image-2" in names
    assert "openai/*" not in names
    assert "openai/dall-e-3" not in names


@pytest.mark.parametrize(
    "name",
    [
        *("openai/*", "openai/", "openai", "gpt-image-2", "azure/gpt-image-2", "openai/azure/x"),
        *(
            "openai/../admin",
            "openai/a b",
            "openai/a?b",
            "openai/a#b",
            "openai/.a",
            "openai/\u00e9",
        ),
        "openai/" + "a" * 300,
    ],
)
def test_what_is_no_name_of_a_model_leads_nowhere(name: str, tmp_path: Path) -> None:
    assert served(load(tmp_path, OPENAI), name) == []


def test_a_name_cannot_choose_the_host(tmp_path: Path) -> None:
    """On Bedrock a name may hold a region, and a region is a host."""
    text = """\
model_list:
  - model_name: bedrock/*
    litellm_params: {model: bedrock/*, aws_region_name: us-west-2}
"""
    env = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    settings = load(tmp_path, text, env)
    assert served(settings, "bedrock/stability.sd3-5-large-v1:0")
    assert served(settings, "bedrock/us-west-2/stability.sd3-5-large-v1:0")
    assert not served(settings, "bedrock/eu-west-1/stability.sd3-5-large-v1:0")


def test_a_name_that_is_written_out_comes_before_a_wildcard(tmp_path: Path) -> None:
    more = """\
  - model_name: openai/gpt-image-2
    litellm_params: {model: sandbox/gpt-image-2}
  - model_name: openai/gpt-image-1*
    litellm_params: {model: sandbox/gpt-image-1*}
"""
    settings = load(tmp_path, OPENAI + more)
    assert served(settings, "openai/gpt-image-2") == ["sandbox/gpt-image-2"]
    assert served(settings, "openai/gpt-image-1.5") == ["sandbox/gpt-image-1.5"]
    assert served(settings, "openai/gpt-image-2.5-flare") == ["openai/gpt-image-2.5-flare"]


def test_a_name_of_ones_own_and_one_model_for_all_names(tmp_path: Path) -> None:
    text = """\
model_list:
  - {model_name: "flux-*", params: {model: black_forest_labs/flux-*, api_key: k}}
  - {model_name: "any-*", params: {model: sandbox/gpt-image-2}}
"""
    settings = load(tmp_path, text)
    assert served(settings, "flux-2-pro") == ["black_forest_labs/flux-2-pro"]
    assert served(settings, "any-thing") == ["sandbox/gpt-image-2"]


def test_a_star_for_all_providers_whose_key_is_set(tmp_path: Path) -> None:
    text = "model_list: [{model_name: '*', litellm_params: {model: '*'}}]\n"
    settings = load(tmp_path, text, KEYS)
    assert served(settings, "gpt-image-2") == ["openai/gpt-image-2"]
    assert served(settings, "openai/gpt-image-2") == ["openai/gpt-image-2"]
    assert served(settings, "gemini/gemini-3-pro-image") == ["gemini/gemini-3-pro-image"]
    assert served(settings, "recraft/recraftv4") == [], "it has no key here"
    assert {"gpt-image-2", "gemini/gemini-3-pro-image"} <= {*served_names(settings)}


def test_a_provider_that_is_written_out_comes_before_the_star(tmp_path: Path) -> None:
    more = "  - {model_name: '*', litellm_params: {model: '*'}}\n"
    settings = load(tmp_path, OPENAI + more, KEYS)
    [found] = deployments_of("openai/gpt-image-2", settings)
    assert found.id == "any"


def test_aliases_fallbacks_and_the_default_may_lead_to_a_wildcards_model(tmp_path: Path) -> None:
    more = """\
router_settings:
  model_group_alias: {fast: openai/gpt-image-2.5-flare}
  default_fallbacks: [openai/gpt-image-2]
  fallbacks: [{"openai/*": [fast]}]
  may_buy_twice: ["openai/*"]
default_model: openai/gpt-image-2
"""
    settings = load(tmp_path, OPENAI + more)
    assert served(settings, "fast") == ["openai/gpt-image-2.5-flare"]
    assert served(settings, "") == ["openai/gpt-image-2"]


@pytest.mark.parametrize(
    ("name", "params", "reason"),
    [
        ("img", "model: openai/*", "its model_name has none"),
        ("a*b*", "model: openai/*", "more than one *"),
        ("*", "model: '*', api_key: sk-test", "belong to one provider"),
        ("anthropic/*", "model: anthropic/*", "'anthropic' is not available"),
    ],
)
def test_what_cannot_be_served_is_skipped(
    name: str, params: str, reason: str, tmp_path: Path
) -> None:
    """It is no fault: an existing file works, and `check` tells of it."""
    entry = f"  - {{model_name: '{name}', litellm_params: {{{params}}}}}\n"
    [skipped] = load(tmp_path, OPENAI + entry).skipped
    assert skipped.name == name
    assert reason in skipped.reason


def test_wildcards_of_chat_models_are_skipped(tmp_path: Path) -> None:
    entry = "  - {model_name: 'c/*', model_info: {mode: chat}, params: {model: 'openai/*'}}\n"
    [skipped] = load(tmp_path, OPENAI + entry).skipped
    assert skipped.reason == "its mode is 'chat', and only images are served here"


def test_a_star_without_any_key_serves_nothing(tmp_path: Path) -> None:
    entry = "  - {model_name: '*', litellm_params: {model: '*'}}\n"
    [note] = load(tmp_path, OPENAI + entry).notes
    assert (note.name, note.line) == ("*", 5)
    assert "OPENAI_API_KEY" in note.text


def test_a_typing_error_is_told(tmp_path: Path) -> None:
    text = "model_list: [{model_name: 'openai/*', params: {model: 'openia/*'}}]\n"
    assert "did you mean 'openai'?" in faults_of(tmp_path, text)


def test_nothing_secret_is_shown(tmp_path: Path) -> None:
    assert "sk-test" not in repr(load(tmp_path, OPENAI, KEYS).deployments)
