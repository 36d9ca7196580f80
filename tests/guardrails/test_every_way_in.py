"""Every way in x every mode: the guardrail sees it. Without the guardrail each of these fails."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import imagegate
from imagegate.config.load import load_settings
from tests.gateway.running import RunningGateway
from tests.guardrails.conftest import Start
from tests.guardrails.ways import ROWS, House, Row, Told
from tests.upstream.fake import FakeUpstream

BAD = "a forbiddenword in the snow"
GUARDRAIL = """
  - guardrail_name: no-words
    litellm_params:
      guardrail: words
      mode: {mode}
      default_on: {default_on}
      blocked_words: [{{keyword: forbiddenword, name: secret-project}}]
"""
MODES = ("pre_call", "during_call", "post_call", "logging_only")
BY_ROW = pytest.mark.parametrize("row", ROWS, ids=str)


def kind_for(row: Row, mode: str) -> str:
    """Return the class that minds what stands at the row's place, or what was made of it."""
    if row.place == "text":
        return "Word"
    if mode == "post_call":
        return "Made"
    is_relayed = row.name.startswith("responses")  # where a mask is one image among others
    return "Mask" if row.place == "mask" and not is_relayed else "Picture"


@BY_ROW
@pytest.mark.parametrize("mode", MODES)
def test_it_is_seen(row: Row, mode: str, tmp_path: Path, upstream: FakeUpstream) -> None:
    kind = kind_for(row, mode)
    with House(tmp_path, upstream, kind=kind, mode=mode, is_on=True) as house:
        told = row.ask(house, row.place)
        event = house.event()
        bought = house.bought
    assert event["guardrails"][-1] == "ours:deny"
    if mode == "logging_only":
        assert told == Told("", has_image=True)
        return
    assert told == Told("content_policy_violation", has_image=False)
    assert event["code"] == "content_policy_violation"
    assert event["ending"] == ("refused" if mode == "pre_call" else "failed")
    assert (bought > 0) is (mode != "pre_call")
    files = [file for file in (tmp_path / "data" / "images").rglob("*") if file.is_file()]
    assert all("held" in file.parts for file in files)


@BY_ROW
def test_without_the_guardrail_it_passes(row: Row, tmp_path: Path, upstream: FakeUpstream) -> None:
    kind, modes = kind_for(row, "pre_call"), "[pre_call, during_call, post_call]"
    with House(tmp_path, upstream, kind=kind, mode=modes, is_on=False) as house:
        assert row.ask(house, row.place) == Told("", has_image=True)
        event = house.event()
        assert house.bought > 0
    assert "guardrails" not in event


@pytest.mark.parametrize("is_named", [False, True])
def test_the_refusal_names_the_guardrail_and_never_the_word(
    start: Start, upstream: FakeUpstream, is_named: bool
) -> None:
    gateway = start(GUARDRAIL.format(mode="pre_call", default_on=not is_named))
    answer = gateway.generate(prompt=BAD, **({"guardrails": ["no-words"]} if is_named else {}))
    assert answer.status == 400
    assert "'no-words'" in answer.error["message"]
    assert "(secret-project)" in answer.error["message"]
    assert "forbiddenword" not in answer.body.decode()
    assert answer.error["imagegate"]["guardrails"] == ["no-words:deny:secret-project"]
    assert answer.headers["x-imagegate-guardrails"] == '["no-words:deny:secret-project"]'
    assert answer.headers["x-should-retry"] == "false"
    assert upstream.bill == []


@pytest.mark.parametrize("mode", ["during_call", "post_call"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_refusal_behind_the_purchase_holds_the_image_and_books_it(
    start: Start, upstream: FakeUpstream, tmp_path: Path, mode: str, count: int
) -> None:
    gateway = start(GUARDRAIL.format(mode=mode, default_on=True))
    answer = gateway.generate(prompt=BAD, n=count)
    assert answer.status == 400, answer.body
    assert len(upstream.bill) == 1
    gateway.stop()
    gateway.wait_stopped()
    (event,) = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert event["cost_usd"] > 0
    images = tmp_path / "data" / "images"
    held = [file for file in (images / "held").rglob("*") if file.is_file()]
    assert held
    assert {file for file in images.rglob("*") if file.is_file()} == set(held)


def test_the_sdk_tells_what_was_said(config: Callable[[str], Path]) -> None:
    file = config(GUARDRAIL.format(mode="[pre_call, post_call]", default_on=True))
    with imagegate.Client(config=str(file)) as client:
        response = client.image_generation("a fox", model="img")
        with pytest.raises(imagegate.ContentPolicyViolationError) as caught:
            client.image_generation(BAD, model="img")
    assert response.verdicts == ("no-words:allow", "no-words:allow")
    assert caught.value.verdicts == ("no-words:deny:secret-project",)


def test_what_is_masked_for_the_log_is_not_logged(start: Start, tmp_path: Path) -> None:
    gateway = start(GUARDRAIL.format(mode="logging_only", default_on=True))
    answer = gateway.generate(prompt=BAD)
    assert answer.status == 200, answer.body
    gateway.stop()
    gateway.wait_stopped()
    text = (tmp_path / "calls.jsonl").read_text()
    assert json.loads(text)["guardrails"] == ["no-words:deny:secret-project"]
    assert "forbiddenword" not in text


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


def test_a_preview_names_them_and_asks_none(start: Start) -> None:
    """Nothing is sent, so nothing is refused; what would be met is told beforehand."""
    gateway = start(GUARDRAIL.format(mode="pre_call", default_on=False))
    call = {"model": "other", "prompt": BAD, "guardrails": ["no-words"]}
    answer = gateway.post("/v1/images/preview", call)
    assert (answer.status, answer.json()["guardrails"]) == (200, ["no-words"])
    assert "guardrails" not in answer.json()["deployments"][0]["request"]["body"]
    assert gateway.post("/v1/images/preview", call | {"guardrails": ["x"]}).status == 400
