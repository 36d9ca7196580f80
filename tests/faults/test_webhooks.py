"""kill -9 while a call runs whose caller waits for a message: the next process sends it."""

import http.client
import json
from pathlib import Path

from standardwebhooks import Webhook

from imagegate.wire.standard_webhooks import write_secret
from tests.faults.process import WAIT_S_MAX, GatewayProcess
from tests.sinks.receivers import PostServer
from tests.upstream.fake import FakeUpstream

SECRET = write_secret(b"webhooks-of-the-tests-only!!")
CALL = {"model": "img", "prompt": "a fox"}


class HookedProcess(GatewayProcess):
    """A gateway that sends webhooks to this host."""

    def __init__(self, folder: Path, upstream_v1: str) -> None:
        super().__init__(folder, upstream_v1)
        config = folder / "config.yaml"
        text = config.read_text().replace(
            "sk-test-upstream}", "sk-test-upstream, max_in_flight: 1}"
        )
        config.write_text(f"{text}webhooks: {{secret: {SECRET}, allow_hosts: [127.0.0.1]}}\n")

    def ask_later(self, hook: str) -> str:
        """Return the id of a call that `hook` is told of."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S_MAX)
        headers = {"content-type": "application/json", "prefer": "respond-async"}
        headers["x-imagegate-webhook"] = hook
        connection.request("POST", "/v1/images/generations", json.dumps(CALL), headers)
        answer = connection.getresponse()
        told = json.loads(answer.read())
        connection.close()
        assert answer.status == 202, told
        return str(told["id"])

    def secret(self) -> str:
        return str(self.get("/v1/images/webhooks/secret")[1]["secret"])


def test_a_message_outlives_a_kill(upstream: FakeUpstream, tmp_path: Path) -> None:
    upstream.reply("hold")
    with PostServer() as receiver:
        with HookedProcess(tmp_path, upstream.v1) as gateway:
            call_id = gateway.ask_later(receiver.url)
            upstream.wait_held()
            gateway.kill()
        assert not receiver.posted
        with HookedProcess(tmp_path, upstream.v1) as gateway:
            [posted] = receiver.wait()
            message = Webhook(gateway.secret()).verify(posted.body, posted.headers)
    assert (message["type"], message["data"]["id"]) == ("image.call.unknown", call_id)
    assert message["data"]["error"]["code"] == "process_ended"


def test_a_message_that_nobody_took_outlives_a_kill(upstream: FakeUpstream, tmp_path: Path) -> None:
    with PostServer(status=500) as receiver:
        with HookedProcess(tmp_path, upstream.v1) as gateway:
            gateway.ask_later(receiver.url)
            [first] = receiver.wait()
            gateway.kill()
        sent = len(receiver.posted)
        receiver.status = 200
        with HookedProcess(tmp_path, upstream.v1):
            again = receiver.wait(sent + 1)[-1]
    assert again.headers["webhook-id"] == first.headers["webhook-id"]


def test_a_promise_in_the_queue_outlives_a_kill(upstream: FakeUpstream, tmp_path: Path) -> None:
    """Its id stays good, and says that nothing was bought."""
    upstream.reply("hold")
    with PostServer() as receiver:
        with HookedProcess(tmp_path, upstream.v1) as gateway:
            gateway.ask_later(receiver.url)
            upstream.wait_held()
            call_id = gateway.ask_later(receiver.url)
            gateway.kill()
        with HookedProcess(tmp_path, upstream.v1) as gateway:
            messages = [json.loads(posted.body) for posted in receiver.wait(2)]
            status, call = gateway.get(f"/v1/images/calls/{call_id}")
    told = {message["data"]["id"]: message["type"] for message in messages}
    assert told.pop(call_id) == "image.call.failed"
    assert list(told.values()) == ["image.call.unknown"]
    assert (status, call["state"], call["cost"]) == (200, "failed", "0")
    assert call["attempts"][0]["state"] == "unsent"
    assert len(upstream.calls) == 1
