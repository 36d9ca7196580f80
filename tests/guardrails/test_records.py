"""What guardrails said stays with the call: names and kinds, never what was found."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.running import Answer, RunningGateway
from tests.guardrails.conftest import Start
from tests.upstream.fake import FakeUpstream

PRIVATE = """
  - guardrail_name: private
    litellm_params:
      guardrail: sensitive
      mode: {mode}
      default_on: true
      entities: {{EMAIL_ADDRESS: {action}}}
"""
PROMPT = "a fox for ann@example.com"
MASKED: dict[str, Any] = {"guardrail": "private", "action": "mask", "category": "EMAIL_ADDRESS"}


def ask(gateway: RunningGateway, **fields: Any) -> Answer:
    call = {"model": "img", "prompt": PROMPT} | fields
    return gateway.post("/v1/images/generations", call, idempotency_key="one")


def recorded(gateway: RunningGateway, call_id: str) -> list[dict[str, Any]]:
    """Return the verdicts of a call, which its owner and the operator are told alike."""
    own = gateway.get(f"/v1/images/calls/{call_id}?result=false").json()["guardrails"]
    assert gateway.get(f"/admin/calls/{call_id}").json()["guardrails"] == own
    return list(own)


def test_a_call_that_passed_tells_what_was_said_of_it(start: Start) -> None:
    gateway = start(PRIVATE.format(mode="[pre_call, post_call]", action="mask"))
    answer = ask(gateway)
    assert answer.status == 200
    allowed = {"guardrail": "private", "mode": "post_call", "action": "allow", "category": ""}
    found = recorded(gateway, answer.headers["x-imagegate-call-id"])
    assert found == [MASKED | {"mode": "pre_call"}, allowed]
    again = ask(gateway)
    assert again.headers["x-imagegate-call-id"] == answer.headers["x-imagegate-call-id"]
    assert again.headers["x-imagegate-guardrails"] == answer.headers["x-imagegate-guardrails"]


def test_a_held_call_tells_it_too_and_so_does_its_replay(start: Start) -> None:
    gateway = start(PRIVATE.format(mode="during_call", action="block"))
    answer = ask(gateway)
    (found,) = recorded(gateway, answer.headers["x-imagegate-call-id"])
    assert (found["mode"], found["action"]) == ("during_call", "deny")
    again = ask(gateway)
    assert again.error["imagegate"]["guardrails"] == ["private:deny:EMAIL_ADDRESS"]


def test_a_verdict_on_a_failed_call_is_there_as_well(start: Start, upstream: FakeUpstream) -> None:
    gateway = start(PRIVATE.format(mode="[pre_call, logging_only]", action="mask"))
    upstream.reply("status:moderation")
    answer = ask(gateway)
    assert answer.error["code"] == "moderation_blocked"
    gateway.stop()
    gateway.wait_stopped()
    gateway = start(PRIVATE.format(mode="pre_call", action="mask"))
    found = recorded(gateway, answer.headers["x-imagegate-call-id"])
    assert [one["mode"] for one in found] == ["pre_call", "logging_only"]


def test_each_verdict_is_written_once_for_all_parts(start: Start, tmp_path: Path) -> None:
    gateway = start(PRIVATE.format(mode="[pre_call, post_call]", action="mask"))
    assert ask(gateway, n=3).status == 200
    gateway.stop()
    gateway.wait_stopped()
    with sqlite3.connect(tmp_path / "data.db") as ledger:
        rows = ledger.execute("SELECT number, mode FROM verdicts ORDER BY number").fetchall()
    ledger.close()
    assert [number for number, _ in rows] == [*range(len(rows))]
    assert [mode for _, mode in rows].count("pre_call") == 1


@pytest.mark.parametrize("mode", ["pre_call", "during_call", "post_call", "logging_only"])
def test_what_was_found_is_in_no_row(start: Start, tmp_path: Path, mode: str) -> None:
    gateway = start(PRIVATE.format(mode=mode, action="block"))
    ask(gateway)
    gateway.stop()
    gateway.wait_stopped()
    for file in tmp_path.glob("data.db*"):
        assert b"ann@example.com" not in file.read_bytes()
