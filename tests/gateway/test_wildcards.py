"""A group that stands for all models of a provider: calls, the list, keys, and wrong names."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagegate.config.load import load_settings
from tests.gateway.admin.conftest import MASTER_KEY, Operator
from tests.gateway.running import RunningGateway
from tests.upstream.fake import FakeUpstream

CONFIG = """
model_list:
  - model_name: own/*
    model_info: {{id: own}}
    litellm_params:
      {{model: openai/*, api_base: "{upstream}", api_key: sk-test-1, guardrails: no-cats}}
  - {{model_name: "openai/*", params: {{model: sandbox/*}}}}
  - {{model_name: spare, params: {{model: sandbox/gpt-image-2}}}}
router_settings: {{model_group_alias: {{fast: own/gpt-image-2}}, fallbacks: [{{"own/*": [spare]}}]}}
guardrails:
  - guardrail_name: no-cats
    litellm_params: {{guardrail: words, mode: pre_call, blocked_words: [{{keyword: cat}}]}}
general_settings: {{master_key: {key}}}
assets: {{folder: {folder}}}
database_url: sqlite:///{folder}.db
attach_s: 0
"""


@pytest.fixture
def operator(upstream: FakeUpstream, tmp_path: Path) -> Iterator[Operator]:
    file = tmp_path / "config.yaml"
    folder = tmp_path / "data"
    file.write_text(CONFIG.format(upstream=upstream.v1, folder=folder, key=MASTER_KEY))
    with RunningGateway(load_settings(str(file))) as gateway:
        yield Operator(gateway)


@pytest.mark.parametrize("model", ["own/gpt-image-2", "own/gpt-image-1.5", "fast"])
def test_a_name_reaches_the_upstream_without_its_group(
    model: str, operator: Operator, upstream: FakeUpstream
) -> None:
    answer = operator.generate(model=model)
    assert (answer.status, answer.headers["x-imagegate-deployment"]) == (200, "own")
    asked = {"fast": "own/gpt-image-2"}.get(model, model)
    assert upstream.calls[0].field_of("model") == asked.partition("/")[2]
    [call] = operator.get("/admin/calls")["data"]
    assert call["model"] == asked


def test_azures_paths_take_a_name_with_a_slash(operator: Operator, upstream: FakeUpstream) -> None:
    path = "/openai/deployments/own/gpt-image-2/images/generations"
    answer = operator.ask("POST", path, {"prompt": "a fox"})
    assert answer.status == 200
    assert upstream.calls[0].field_of("model") == "gpt-image-2"


def test_known_models_are_listed(operator: Operator) -> None:
    names = [one["id"] for one in operator.get("/v1/models")["data"]]
    assert "openai/gpt-image-2" in names
    assert {"spare", "fast"} <= set(names)
    assert not any("*" in name for name in names)
    assert operator.get("/v1/models/openai/gpt-image-2")["owned_by"] == "sandbox"
    assert operator.get("/v1/models/own/whatever")["id"] == "own/whatever"


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("opnai/gpt-image-2", "Did you mean 'openai/gpt-image-2'"),
        ("other/thing", "names like own/*, openai/*"),
        ("own/../x", "No model 'own/../x' is served here"),
        ("openai/*", "No model 'openai/*' is served here"),
    ],
)
def test_a_name_that_no_group_has_is_told_with_what_there_is(
    model: str, told: str, operator: Operator, upstream: FakeUpstream
) -> None:
    answer = operator.generate(model=model)
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert told in answer.error["message"]
    assert upstream.bill == []


def test_a_model_that_the_upstream_does_not_know_is_the_callers(
    operator: Operator, upstream: FakeUpstream
) -> None:
    """It named it. The others' models stay as well as they were, however often it asks."""
    upstream.always("status:model_not_found")
    for _ in range(12):
        answer = operator.generate(model="own/gpt-image-9")
        assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert answer.error["param"] == "model"
    assert "Did you mean 'openai/gpt-image-2'" in answer.error["message"]
    assert answer.error["imagegate"]["finding"]["rule"] == "imagegate.wildcard_model"
    assert answer.error["imagegate"]["attempts"][0]["state"] == "refused"
    assert answer.headers["x-should-retry"] == "false"
    upstream.always("ok")
    assert operator.generate(model="own/gpt-image-2").status == 200


def test_a_fault_of_the_deployment_falls_back_by_the_pattern(
    operator: Operator, upstream: FakeUpstream
) -> None:
    upstream.always("status:insufficient_quota")
    answer = operator.generate(model="own/gpt-image-2")
    assert answer.status == 200
    assert answer.headers["x-imagegate-deployment"].startswith("spare-")


def test_a_keys_models_may_be_a_pattern(operator: Operator, upstream: FakeUpstream) -> None:
    holder = operator.holder(permissions={"models": ["own/gpt-image-2*"]})
    assert holder.generate(model="own/gpt-image-2").status == 200
    assert holder.generate(model="fast").status == 200
    refused = holder.generate(model="own/gpt-image-1.5")
    assert (refused.status, refused.error["code"]) == (403, "not_allowed")
    assert "own/gpt-image-2*" in refused.error["message"]
    assert holder.generate(model="openai/gpt-image-2").status == 403
    assert [one["id"] for one in holder.get("/v1/models")["data"]] == ["fast"]


def test_guardrails_of_the_entry_hold_for_each_of_its_models(
    operator: Operator, upstream: FakeUpstream
) -> None:
    answer = operator.generate(model="own/gpt-image-2", prompt="a cat")
    assert (answer.status, answer.error["code"]) == (400, "content_policy_violation")
    assert operator.generate(model="openai/gpt-image-2", prompt="a cat").status == 200
    assert upstream.bill == []


def test_what_is_tried_makes_no_metrics_of_its_own(operator: Operator) -> None:
    """Callers choose the names: a thousand of them are one series."""
    for number in range(3):
        operator.generate(model=f"own/made-up-{number}")
    page = operator.ask("GET", "/metrics").body.decode()
    assert "made-up" not in page
    assert 'model="other"' in page
