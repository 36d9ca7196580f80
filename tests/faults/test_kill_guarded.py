"""kill -9 between an image and its guardrail's verdict: the image is kept, and shown to nobody."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.process import GatewayProcess
from tests.faults.test_kill import ask
from tests.sinks.receivers import PostServer
from tests.upstream.fake import FakeUpstream

CONFIG = """
sinks: [{{kind: webhook, url: "{told}"}}]
guardrails:
  - guardrail_name: slow
    litellm_params:
      {{guardrail: http, mode: post_call, default_on: true, api_base: "{url}", deadline_s: 100}}
"""


def guarded(
    folder: Path, upstream: FakeUpstream, service: PostServer, told: PostServer
) -> GatewayProcess:
    process = GatewayProcess(folder, upstream.v1)
    with (folder / "config.yaml").open("a") as file:
        file.write(CONFIG.format(url=service.url, told=told.url))
    return process


@pytest.fixture
def told() -> Iterator[PostServer]:
    """Return what receives closing events."""
    with PostServer() as server:
        yield server


def the_event(told: PostServer) -> dict[str, object]:
    """Return the only closing event, whichever process told of it."""
    (event,) = [json.loads(line) for one in told.wait() for line in one.body.splitlines()]
    return dict(event)


def test_what_nobody_had_looked_at_stays_held(
    upstream: FakeUpstream, tmp_path: Path, told: PostServer
) -> None:
    with PostServer(hangs=True) as service:
        with guarded(tmp_path, upstream, service, told) as gateway:
            caller = threading.Thread(target=ask, args=(gateway, "[picture=medium]", set()))
            caller.start()
            service.wait()
            gateway.kill()
            caller.join()
        with guarded(tmp_path, upstream, service, told) as gateway:
            gateway.wait_settled()
            ((file,),) = gateway.rows("SELECT file FROM assets")
            assert file.startswith("held/")
            assert gateway.rows("SELECT state, error_code FROM attempts") == [
                ("settled", "guardrail_unchecked")
            ]
            sent = {sha for record in upstream.bill for sha in record.answered_sha256}
            assert gateway.kept_sha256() == sent
            ((call_id,),) = gateway.rows("SELECT id FROM calls")
            status, call = gateway.get(f"/v1/images/calls/{call_id}")
            assert (status, call["error"]["code"]) == (200, "content_policy_violation")
            assert (call["images"], call["held_count"]) == ([], 1)
            event = the_event(told)
            assert (event["call_id"], event["ending"]) == (call_id, "failed")
            assert (event["code"], event["images"]) == ("guardrail_unchecked", 0)
            assert event["cost_usd"] != 0


def test_a_recovered_call_has_one_closing_event(
    upstream: FakeUpstream, tmp_path: Path, told: PostServer
) -> None:
    """A call whose process died is told of by the next: no receiver misses what it may cost."""
    upstream.reply("hold")
    with guarded(tmp_path, upstream, told, told) as gateway:
        caller = threading.Thread(target=ask, args=(gateway, "a fox", set()))
        caller.start()
        upstream.wait_held()
        gateway.kill()
        caller.join()
    assert told.posted == []
    with guarded(tmp_path, upstream, told, told) as gateway:
        event = the_event(told)
        ((call_id,),) = gateway.rows("SELECT id FROM calls")
    assert (event["call_id"], event["event"], event["ending"]) == (
        call_id,
        "call.unknown",
        "unknown",
    )
    assert (event["model"], event["attempts"], event["cost_usd"]) == ("img", 1, "unknown")
