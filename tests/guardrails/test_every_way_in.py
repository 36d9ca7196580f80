"""Every way in x every mode: the guardrail sees it. Without the guardrail each of these fails."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import imagegate
from imagegate.config.load import load_settings
from tests.gateway import pictures
from tests.gateway.running import Answer, Part, RunningGateway
from tests.guardrails.conftest import Start
from tests.upstream.fake import FakeUpstream

DATA_URL = f"data:image/png;base64,{base64.b64encode(pictures.picture()).decode()}"
BAD = "a forbiddenword in the snow"
GUARDRAIL = """
  - guardrail_name: no-words
    litellm_params:
      guardrail: words
      mode: {mode}
      default_on: {default_on}
      blocked_words: [{{keyword: forbiddenword, name: secret-project}}]
"""


def generate(gateway: RunningGateway, **more: Any) -> Answer:
    return gateway.generate(prompt=BAD, **more)


def stream(gateway: RunningGateway, **more: Any) -> Answer:
    return gateway.generate(prompt=BAD, stream=True, partial_images=2, **more)


def unknown_field(gateway: RunningGateway, **more: Any) -> Answer:
    return gateway.generate(prompt="a fox", model="other", extra_note={"deep": [BAD]}, **more)


def edit_form(gateway: RunningGateway, **more: Any) -> Answer:
    fields = [Part(name, json.dumps(value)) for name, value in more.items()]
    image = Part("image", pictures.picture(), "a.png")
    return gateway.edit(Part("model", "img"), Part("prompt", BAD), image, *fields)


def edit_json(gateway: RunningGateway, **more: Any) -> Answer:
    images = [{"image_url": DATA_URL}]
    call = {"model": "img", "prompt": BAD, "images": images, **more}
    return gateway.post("/v1/images/edits", call)


def azure_path(gateway: RunningGateway, **more: Any) -> Answer:
    call = {"prompt": BAD, **more}
    return gateway.post("/openai/deployments/img/images/generations?api-version=1", call)


def several(gateway: RunningGateway, **more: Any) -> Answer:
    return gateway.generate(prompt=BAD, n=2, **more)


WAYS = [generate, stream, edit_form, edit_json, azure_path, several]
Way = Callable[..., Answer]


@pytest.mark.parametrize("way", [*WAYS, unknown_field])
@pytest.mark.parametrize("is_named", [False, True])
def test_pre_call_refuses_and_nothing_is_sent(
    start: Start, upstream: FakeUpstream, way: Way, is_named: bool
) -> None:
    gateway = start(GUARDRAIL.format(mode="pre_call", default_on=not is_named))
    answer = way(gateway, **({"guardrails": ["no-words"]} if is_named else {}))
    assert answer.status == 400
    assert answer.error["code"] == "content_policy_violation"
    assert "'no-words'" in answer.error["message"]
    assert "(secret-project)" in answer.error["message"]
    assert "forbiddenword" not in answer.body.decode()
    assert answer.error["imagegate"]["guardrails"] == ["no-words:deny:secret-project"]
    assert answer.headers["x-imagegate-guardrails"] == '["no-words:deny:secret-project"]'
    assert answer.headers["x-should-retry"] == "false"
    assert upstream.bill == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["during_call", "post_call"])
def test_a_refusal_behind_the_purchase_holds_the_image_and_books_it(
    start: Start, upstream: FakeUpstream, tmp_path: Path, way: Way, mode: str
) -> None:
    gateway = start(GUARDRAIL.format(mode=mode, default_on=True))
    answer = way(gateway)
    assert answer.status == 400, answer.body
    assert answer.error["code"] == "content_policy_violation"
    assert answer.error["imagegate"]["call_id"]
    assert b"b64_json" not in answer.body
    assert len(upstream.bill) == 1
    gateway.stop()
    gateway.wait_stopped()
    (event,) = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert (event["ending"], event["code"]) == ("failed", "content_policy_violation")
    assert any(said.startswith("no-words:deny") for said in event["guardrails"])
    if event["model"] == "img":
        assert event["cost_usd"] > 0
    images = tmp_path / "data" / "images"
    held = [file for file in (images / "held").rglob("*") if file.is_file()]
    assert held
    assert {file for file in images.rglob("*") if file.is_file()} == set(held)


@pytest.mark.parametrize("way", WAYS)
def test_logging_only_changes_the_log_and_nothing_else(
    start: Start, tmp_path: Path, way: Way
) -> None:
    gateway = start(GUARDRAIL.format(mode="logging_only", default_on=True))
    answer = way(gateway)
    assert answer.status == 200, answer.body
    gateway.stop()
    gateway.wait_stopped()
    text = (tmp_path / "calls.jsonl").read_text()
    assert json.loads(text)["guardrails"] == ["no-words:deny:secret-project"]
    assert "forbiddenword" not in text


@pytest.mark.parametrize("way", WAYS)
def test_without_the_guardrail_all_of_them_pass(start: Start, way: Way) -> None:
    gateway = start(GUARDRAIL.format(mode="[pre_call, during_call, post_call]", default_on=False))
    answer = way(gateway)
    assert answer.status == 200, answer.body
    assert "x-imagegate-guardrails" not in answer.headers


@pytest.mark.parametrize("mode", ["pre_call", "during_call", "post_call"])
@pytest.mark.parametrize("operation", ["generate", "edit"])
def test_the_sdk_with_a_configuration(
    config: Callable[[str], Path], mode: str, operation: str
) -> None:
    file = config(GUARDRAIL.format(mode=mode, default_on=True))
    with imagegate.Client(config=str(file)) as client:
        inputs = [pictures.picture()] * (operation == "edit")
        work = client.image_edit if inputs else client.image_generation
        with pytest.raises(imagegate.ContentPolicyViolationError) as caught:
            work(*inputs, BAD, model="img")  # type: ignore[operator]
    assert caught.value.verdicts == ("no-words:deny:secret-project",)


@pytest.mark.parametrize("names", [["nothing"], "nothing", {"a": 1}, [1]])
def test_a_guardrail_that_is_not_there_is_a_bad_request(start: Start, names: object) -> None:
    gateway = start(GUARDRAIL.format(mode="pre_call", default_on=False))
    answer = gateway.generate(guardrails=names)
    assert (answer.status, answer.error["param"]) == (400, "guardrails")


def test_a_guardrail_of_a_model_group(start: Start) -> None:
    text = GUARDRAIL.format(mode="pre_call", default_on=False) + "      model_groups: [img]\n"
    gateway = start(text)
    assert gateway.generate(prompt=BAD).status == 400
    assert gateway.generate(prompt=BAD, model="other").status == 200


def test_a_guardrail_that_a_deployment_names(
    config: Callable[[str], Path], upstream: FakeUpstream
) -> None:
    file = config(GUARDRAIL.format(mode="pre_call", default_on=False))
    key = "      api_key: sk-test-upstream\n"
    text = file.read_text().replace(key, f"{key}      guardrails: [no-words]\n", 1)
    file.write_text(text)
    with RunningGateway(load_settings(str(file))) as gateway:
        assert gateway.generate(prompt=BAD).status == 400
        assert gateway.generate(prompt=BAD, model="other").status == 200
        assert gateway.generate().status == 200
    assert b"no-words" not in b"".join(record.body for record in upstream.bill)


def test_a_guardrail_of_a_team_and_of_a_key(config: Callable[[str], Path]) -> None:
    text = GUARDRAIL.format(mode="pre_call", default_on=False)
    key = "general_settings: {master_key: sk-0123456789abcdef-test}\n"
    master = {"authorization": "Bearer sk-0123456789abcdef-test"}

    def running(more: str) -> RunningGateway:
        file = config(text + more)
        file.write_text(key + file.read_text())
        return RunningGateway(load_settings(str(file)))

    with running("") as gateway:
        team = gateway.post("/admin/teams", {"name": "red"}, **master).json()
        in_team = gateway.post("/admin/keys", {"name": "a", "team_id": team["id"]}, **master).json()
        alone = gateway.post("/admin/keys", {"name": "a"}, **master).json()
        third = gateway.post("/admin/keys", {"name": "a"}, **master).json()
    with running(f"      teams: ['{team['id']}']\n      keys: ['{alone['id']}']\n") as gateway:
        statuses = [
            gateway.post(
                "/v1/images/generations",
                {"model": "img", "prompt": BAD},
                authorization=f"Bearer {one['key']}",
            ).status
            for one in (in_team, alone, third)
        ]
    assert statuses == [400, 400, 200]


def test_no_partial_image_is_shown_before_the_verdict(start: Start) -> None:
    gateway = start(GUARDRAIL.format(mode="post_call", default_on=True))
    answer = gateway.generate(stream=True, partial_images=2)
    assert [name for name, _ in answer.events] == ["image_generation.completed"]
    assert answer.events[0][1]["imagegate"]["guardrails"] == ["no-words:allow"]


def test_the_names_are_never_sent_upstream(start: Start, upstream: FakeUpstream) -> None:
    gateway = start(GUARDRAIL.format(mode="pre_call", default_on=False))
    answer = gateway.generate(model="other", guardrails=["no-words"])
    assert answer.status == 200
    assert answer.headers["x-imagegate-guardrails"] == '["no-words:allow"]'
    assert b"no-words" not in upstream.bill[-1].body
