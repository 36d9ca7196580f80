"""Answers that come later: 202, polling, progress, taking a call back."""

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import pytest

from imagegate.cli.app import run
from imagegate.running import WATCHERS_MAX
from tests.gateway.conftest import Start
from tests.gateway.pictures import picture
from tests.gateway.running import WAIT_S_MAX, Answer, Part, RunningGateway
from tests.gateway.test_attach import CALL, ask, leave
from tests.gateway.test_calls import ended, newest
from tests.upstream.fake import FakeUpstream

CALLS = "/v1/images/calls"


def ask_later(gateway: RunningGateway, call: object = CALL, **headers: str) -> Answer:
    return ask(gateway, call, **{"prefer": "respond-async"} | headers)


class Reachable(Protocol):
    """A gateway on this host."""

    port: int


class Feed:
    """The events of a call, read one by one as they come."""

    def __init__(self, gateway: Reachable, call_id: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=WAIT_S_MAX)
        self._connection.request("GET", f"{CALLS}/{call_id}/events")
        self._response = self._connection.getresponse()
        assert self._response.getheader("content-type") == "text/event-stream; charset=utf-8"

    def next(self) -> tuple[str, dict[str, Any]]:
        """Return the next event; comments are passed over."""
        while not (line := self._response.readline()).startswith(b"event: "):
            assert line, "the stream has ended"
        data = self._response.readline().removeprefix(b"data: ")
        return line.decode().removeprefix("event: ").strip(), json.loads(data)

    def rest(self) -> list[str]:
        """Return the names of all further events."""
        lines = self._response.read().decode().splitlines()
        return [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]

    def close(self) -> None:
        self._connection.close()


@contextmanager
def feed(gateway: Reachable, call_id: str) -> Iterator[Feed]:
    opened = Feed(gateway, call_id)
    try:
        yield opened
    finally:
        opened.close()


def test_a_call_is_answered_later(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    upstream.reply("hold")
    told = ask_later(gateway)
    call_id = told.headers["x-imagegate-call-id"]
    assert told.status == 202
    assert told.headers["location"] == f"{CALLS}/{call_id}"
    assert told.headers["preference-applied"] == "respond-async"
    assert int(told.headers["retry-after"]) > 0
    assert (told.json()["id"], told.json()["state"]) == (call_id, "running")
    upstream.wait_held()
    polled = gateway.get(told.headers["location"])
    assert polled.headers["retry-after"] == told.headers["retry-after"]
    progress = {"phase": "sent", "images_asked": 1, "partial_images": 0}
    assert polled.json()["progress"] == progress
    upstream.release()
    call = ended(gateway, call_id)
    assert (call["state"], call["progress"]) == ("done", None)
    assert call["result"]["data"][0]["b64_json"]  # type: ignore[index]
    assert len(upstream.calls) == 1


def test_edits_come_later_too(gateway: RunningGateway) -> None:
    parts = (Part("model", "img"), Part("prompt", "hat"), Part("image", picture(), "a.png"))
    told = gateway.edit(*parts, prefer="respond-async")
    assert told.status == 202
    assert ended(gateway, told.json()["id"])["operation"] == "edit"


def test_who_waits_gets_the_image_that_is_there_in_time(gateway: RunningGateway) -> None:
    answer = ask(gateway, prefer="respond-async, wait=20")
    assert answer.status == 200
    assert answer.json()["data"]


def test_who_waits_in_vain_is_told_where_to_look(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply("hold")
    told = ask(gateway, prefer="wait=1")
    assert (told.status, told.headers["preference-applied"]) == (202, "wait=1")
    upstream.release()
    assert ended(gateway, told.json()["id"])["state"] == "done"


def test_who_polls_may_wait(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    upstream.reply("hold")
    path = ask_later(gateway).headers["location"]
    assert gateway.get(path, prefer="wait=0").json()["state"] == "running"
    with ThreadPoolExecutor(1) as pool:
        polled = pool.submit(gateway.get, path, prefer="wait=20")
        upstream.wait_held()
        gateway.get("/healthz")
        upstream.release()
        assert polled.result().json()["state"] == "done"


def test_what_is_told_is_described(gateway: RunningGateway) -> None:
    told = gateway.get(ask_later(gateway).headers["location"], prefer="wait=20").json()
    schemas = gateway.get("/openapi.json").json()["components"]["schemas"]
    assert set(told) <= set(schemas["Call"]["properties"])


def test_a_failure_while_its_caller_waits_is_the_answer(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply("status:moderation")
    answer = ask(gateway, prefer="respond-async, wait=20")
    assert (answer.status, answer.error["code"]) == (400, "moderation_blocked")


def test_a_failure_later_stands_at_the_call(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply("status:moderation")
    call = ended(gateway, ask_later(gateway).json()["id"])
    assert (call["state"], call["error"]["code"]) == ("failed", "moderation_blocked")  # type: ignore[index]


def test_what_is_wrong_at_once_is_told_at_once(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    assert ask_later(gateway, CALL | {"size": "1x1x1"}).status == 400
    streamed = ask_later(gateway, CALL | {"stream": True})
    assert (streamed.status, streamed.error["param"]) == (400, "stream")
    unreadable = ask(gateway, prefer="wait=soon")
    assert (unreadable.status, unreadable.error["param"]) == (400, "Prefer")
    assert not upstream.calls


def test_other_preferences_change_nothing(gateway: RunningGateway) -> None:
    answer = ask(gateway, prefer="return=representation, handling=lenient")
    assert answer.status == 200
    assert "preference-applied" not in answer.headers


def test_a_key_finds_the_call_that_was_promised(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply("hold")
    first, again = (ask_later(gateway, idempotency_key="one") for _ in range(2))
    assert first.json()["id"] == again.json()["id"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, gateway, idempotency_key="one")
        upstream.wait_held()
        upstream.release()
        assert waiting.result().status == 200
    assert ask_later(gateway, idempotency_key="one").json()["state"] == "done"
    assert len(upstream.calls) == 1


def test_two_promises_are_two_images(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    """Each caller knows where its image will be, so nobody is looking for a lost one."""
    upstream.reply("hold", times=2)
    ids = {ask_later(gateway).json()["id"] for _ in range(2)}
    upstream.wait_held(2)
    upstream.release()
    assert {ended(gateway, call_id)["state"] for call_id in ids} == {"done"}
    ids.add(ask_later(gateway).json()["id"])
    assert len(ids) == 3


def test_what_was_promised_is_kept_though_nothing_is(start: Start) -> None:
    gateway = start(assets=", retention_s: 0")
    told = ask_later(gateway)
    assert ended(gateway, told.json()["id"])["result"]["data"]  # type: ignore[index]


def test_progress_comes_as_events(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    upstream.reply("hold")
    call_id = ask_later(gateway).json()["id"]
    upstream.wait_held()
    with feed(gateway, call_id) as events:
        name, call = events.next()
        assert (name, call["progress"]["phase"]) == ("image.call.running", "sent")
        upstream.release()
        name, call = events.next()
        assert (name, call["id"], call["image_count"]) == ("image.call.done", call_id, 1)
        assert "result" not in call
        assert not events.rest()
    assert gateway.get(call["images"][0]["path"]).status == 200


def test_partial_images_are_for_those_who_watch_too(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    leave(gateway, upstream, CALL | {"stream": True, "partial_images": 1})
    with feed(gateway, newest(gateway)) as events:
        assert events.next()[0] == "image.call.running"
        upstream.release()
        assert events.rest() == ["image_generation.partial_image", "image.call.done"]


def test_a_call_that_has_ended_is_one_event(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply("status:moderation")
    call_id = ask(gateway).headers["x-imagegate-call-id"]
    [(name, call)] = gateway.get(f"{CALLS}/{call_id}/events").events
    assert (name, call["error"]["code"]) == ("image.call.failed", "moderation_blocked")


def test_who_watches_and_leaves_changes_nothing(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply("hold")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, gateway)
        upstream.wait_held()
        with feed(gateway, newest(gateway)) as events:
            events.next()
        upstream.release()
        answer = asked.result()
    assert answer.status == 200
    assert ask(gateway).headers["x-imagegate-call-id"] != answer.headers["x-imagegate-call-id"]


def test_those_who_watch_are_not_too_many(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    upstream.reply("hold")
    call_id = ask_later(gateway).json()["id"]
    path = f"{CALLS}/{call_id}"
    with ExitStack() as stack:
        feeds = [stack.enter_context(feed(gateway, call_id)) for _ in range(WATCHERS_MAX)]
        for events in feeds:
            events.next()
        for refused in (gateway.get(path, prefer="wait=9"), gateway.get(f"{path}/events")):
            assert (refused.status, refused.error["code"]) == (503, "overloaded")
        assert gateway.get(path).status == 200
        upstream.wait_held()
        upstream.release()
        assert {events.rest()[-1] for events in feeds} == {"image.call.done"}


@pytest.fixture
def patient(start: Start, upstream: FakeUpstream) -> RunningGateway:
    """Return a gateway that waits long before it asks again."""
    return start(router="num_retries: 1, retry_after: 10")


def waiting_call(gateway: RunningGateway, upstream: FakeUpstream, **headers: str) -> str:
    """Return the id of a call that nothing of is at an upstream."""
    upstream.reply("status:azure_rate_limit")
    call_id: str = ask_later(gateway, **headers).json()["id"]
    upstream.wait_finished()
    for _ in range(20_000):
        if gateway.get(f"{CALLS}/{call_id}").json()["progress"]["phase"] == "waiting":
            return call_id
    raise TimeoutError(call_id)


def test_a_call_that_waits_is_taken_back(patient: RunningGateway, upstream: FakeUpstream) -> None:
    call_id = waiting_call(patient, upstream)
    with feed(patient, call_id) as events:
        events.next()
        answer = patient.post(f"{CALLS}/{call_id}/cancel", b"")
        name, call = events.next()
    assert (answer.status, answer.json()["state"]) == (200, "failed")
    assert answer.json()["error_code"] == "call_cancelled"
    assert answer.json()["cost"] == "0"
    assert (name, call["error"]["code"]) == ("image.call.failed", "call_cancelled")
    assert len(upstream.calls) == 1


def test_a_call_is_taken_back_from_the_command_line(
    patient: RunningGateway, upstream: FakeUpstream, capsys: pytest.CaptureFixture[str]
) -> None:
    call_id = waiting_call(patient, upstream)
    assert run(["calls", "show", call_id, "--gateway", patient.url]) == 0
    assert "running, waiting" in capsys.readouterr().out
    for code in (0, 2):
        assert run(["calls", "cancel", call_id, "--gateway", patient.url]) == code
    printed = capsys.readouterr()
    assert "call_cancelled" in printed.out
    assert "It has ended (failed)" in " ".join(printed.err.split())


def test_who_waits_for_a_cancelled_call_is_told(
    patient: RunningGateway, upstream: FakeUpstream
) -> None:
    call_id = waiting_call(patient, upstream, idempotency_key="one")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, patient, idempotency_key="one")
        patient.get("/healthz")
        patient.post(f"{CALLS}/{call_id}/cancel", b"")
        answer = asked.result()
    assert (answer.status, answer.error["code"]) == (409, "call_cancelled")


def test_what_was_sent_is_not_taken_back(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    upstream.reply("hold")
    call_id = ask_later(gateway).json()["id"]
    upstream.wait_held()
    refused = gateway.post(f"{CALLS}/{call_id}/cancel", b"")
    assert (refused.status, refused.error["code"]) == (409, "call_not_cancellable")
    upstream.release()
    assert ended(gateway, call_id)["state"] == "done"
    late = gateway.post(f"{CALLS}/{call_id}/cancel", b"")
    assert late.status == 409
    assert "has ended (done)" in late.error["message"]
    assert late.headers["x-imagegate-call-id"] == call_id


@pytest.mark.parametrize("tail", ["", "/events"])
def test_an_unknown_call(tail: str, gateway: RunningGateway) -> None:
    assert gateway.get(f"{CALLS}/call_nope{tail}").status == 404
    assert gateway.post(f"{CALLS}/call_nope/cancel", b"").status == 404
