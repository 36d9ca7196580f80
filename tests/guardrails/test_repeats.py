"""The same call again, and calls fetched by id: what a guardrail holds is told, never delivered."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imagegate.config.load import load_settings
from tests.gateway.running import Answer, RunningGateway
from tests.gateway.test_later import feed
from tests.guardrails.conftest import Start
from tests.upstream.fake import FakeUpstream

BAD = {"model": "img", "prompt": "a forbiddenword in the snow"}
PATH = "/v1/images/generations"
GUARDRAIL = """
  - guardrail_name: no-words
    litellm_params:
      guardrail: words
      mode: {mode}
      default_on: {default_on}
      blocked_words: [{{keyword: forbiddenword, name: secret-project}}]
"""
FALLBACK = """
      model_groups: [other]
router_settings: {fallbacks: [{img: [other]}]}
"""
MASTER = {"authorization": "Bearer sk-0123456789abcdef-test"}
MASTER_KEY = "general_settings: {master_key: sk-0123456789abcdef-test}\n"


def ask(gateway: RunningGateway, **headers: str) -> Answer:
    return gateway.post(PATH, BAD, **headers)


def assert_held(gateway: RunningGateway, call_id: str) -> None:
    """Look for the image wherever a call is told of."""
    call = gateway.get(f"/v1/images/calls/{call_id}")
    assert b"b64_json" not in call.body
    assert call.json()["error"]["code"] == "content_policy_violation"
    assert call.json()["images"] == []
    assert gateway.get(f"/v1/images/calls/{call_id}/images/0").status == 404


@pytest.mark.parametrize("mode", ["during_call", "post_call"])
@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_replay_tells_the_refusal_again(
    start: Start, upstream: FakeUpstream, mode: str, is_restarted: bool
) -> None:
    gateway = start(GUARDRAIL.format(mode=mode, default_on=True))
    first = ask(gateway, idempotency_key="one")
    if is_restarted:
        gateway.stop()
        gateway.wait_stopped()
        gateway = start(GUARDRAIL.format(mode=mode, default_on=True))
    again = ask(gateway, idempotency_key="one")
    assert (again.status, again.error["code"]) == (400, "content_policy_violation")
    assert again.error["message"] == first.error["message"]
    call_id = again.headers["x-imagegate-call-id"]
    assert call_id == first.headers["x-imagegate-call-id"]
    assert_held(gateway, call_id)
    assert len(upstream.bill) == 1


def test_a_later_answer_tells_the_refusal(start: Start, upstream: FakeUpstream) -> None:
    gateway = start(GUARDRAIL.format(mode="post_call", default_on=True))
    told = ask(gateway, prefer="respond-async")
    assert told.status == 202
    call_id = told.json()["id"]
    gateway.get(told.headers["location"], prefer="wait=20")
    assert_held(gateway, call_id)
    [*_, (_, call)] = gateway.get(f"/v1/images/calls/{call_id}/events").events
    assert call["error"]["code"] == "content_policy_violation"
    assert call["images"] == []


def test_what_a_guardrail_refuses_at_once_is_answered_at_once(
    start: Start, upstream: FakeUpstream
) -> None:
    gateway = start(GUARDRAIL.format(mode="pre_call", default_on=True))
    answer = ask(gateway, prefer="respond-async")
    assert (answer.status, answer.error["code"]) == (400, "content_policy_violation")
    assert not upstream.bill


def test_a_retry_without_a_key_tells_it_too(start: Start, upstream: FakeUpstream) -> None:
    gateway = start(GUARDRAIL.format(mode="post_call", default_on=True))
    first = ask(gateway)
    again = ask(gateway, x_stainless_retry_count="1")
    assert (again.status, again.error["message"]) == (400, first.error["message"])
    assert len(upstream.bill) == 1


def test_who_meets_other_guardrails_never_joins(
    config: Callable[[str], Path], upstream: FakeUpstream
) -> None:
    """One team, one Idempotency-Key, and a guardrail that only one of its keys meets."""

    def running(text: str) -> RunningGateway:
        file = config(text)
        file.write_text(MASTER_KEY + file.read_text())
        return RunningGateway(load_settings(str(file)))

    text = GUARDRAIL.format(mode="post_call", default_on=False)
    with running(text) as gateway:
        team = gateway.post("/admin/teams", {"name": "red"}, **MASTER).json()["id"]
        free, held = (
            gateway.post("/admin/keys", {"name": name, "team_id": team}, **MASTER).json()
            for name in ("free", "held")
        )
    with running(f"{text}      keys: ['{held['id']}']\n") as gateway:
        bought = ask(gateway, idempotency_key="one", authorization=f"Bearer {free['key']}")
        joined = ask(gateway, idempotency_key="one", authorization=f"Bearer {held['key']}")
        again = ask(gateway, idempotency_key="one", authorization=f"Bearer {free['key']}")
    assert (bought.status, again.status, again.body) == (200, 200, bought.body)
    assert (joined.status, joined.error["code"]) == (422, "idempotency_key_reused")
    assert joined.error["param"] == "guardrails"
    assert len(upstream.bill) == 1


def test_no_call_falls_back_past_a_guardrail(start: Start, upstream: FakeUpstream) -> None:
    text = GUARDRAIL.format(mode="pre_call", default_on=False) + FALLBACK
    gateway = start(text)
    upstream.reply("status:rate_limit")
    assert ask(gateway).status == 429
    assert len(upstream.bill) == 1
    gateway.stop()
    gateway.wait_stopped()
    gateway = start(text.replace("[other]\n", "[official]\n", 1))  # where nobody is led to
    upstream.reply("status:rate_limit")
    assert ask(gateway).status == 200


@pytest.mark.parametrize("mode", ["during_call", "post_call"])
def test_the_events_of_a_held_call_tell_no_image(
    start: Start, upstream: FakeUpstream, mode: str
) -> None:
    gateway = start(GUARDRAIL.format(mode=mode, default_on=True))
    upstream.reply("hold")
    begun = ask(gateway, prefer="respond-async")
    assert begun.status == 202
    call_id = begun.headers["x-imagegate-call-id"]
    with feed(gateway, call_id) as watched:
        upstream.wait_held()
        upstream.release()
        names = watched.rest()
    assert "partial" not in " ".join(names)
    body = gateway.get(f"/v1/images/calls/{call_id}/events").body
    assert b"content_policy_violation" in body
    assert b"b64_json" not in body
    assert_held(gateway, call_id)
