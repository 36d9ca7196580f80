"""The exchange of a relayed response: what it looks at, and what a replay needs."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from imagegate.attempt import without_bytes
from imagegate.errors import ImageError, UpstreamFailedError
from imagegate.types import ImageCall, ImageResult
from imagegate.wire.exchange import Emit, Event, NextEvent, Send, UpstreamResponse
from imagegate.wire.lift import Lift
from imagegate.wire.openai_errors import read_error
from imagegate.wire.responses import build_request, exchange, parse_call
from imagegate.wire.sse import EventScanner

PNG64 = "iVBORw0KGgo" + "A" * 4000
ITEM = {"type": "image_generation_call", "result": PNG64, "revised_prompt": "a fox"}
USAGE = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
RESPONSE = {"output": [ITEM], "tool_usage": {"image_gen": USAGE}, "usage": {"input_tokens": 9}}


def call_of(**fields: Any) -> ImageCall:
    body = json.dumps({"model": "text", "input": "a"} | fields).encode()
    lift = Lift("tag")
    lift.feed(body)
    return parse_call(lift.finish(body), "call_1")


def answer(status: int, body: bytes) -> UpstreamResponse:
    lift = Lift("there")
    lift.feed(body)
    return UpstreamResponse(status, {}, lift.finish(body))


def run(call: ImageCall, first: UpstreamResponse, events: Iterable[Event] = ()) -> ImageResult:
    talk = exchange(build_request(call, "https://a.test/v1/responses", {}), read_error)
    left = iter(events)
    command = talk.send(None)
    assert isinstance(command, Send)
    reply: Any = first
    while True:
        try:
            command = talk.send(reply)
        except StopIteration as stop:
            result: ImageResult = stop.value
            return result
        assert isinstance(command, NextEvent | Emit)
        reply = next(left, None) if isinstance(command, NextEvent) else None


def stream(*events: dict[str, Any]) -> list[Event]:
    data = b"".join(f"data: {json.dumps(one)}\r\n\r\n".encode() for one in events)
    scanner = EventScanner(data, "there")
    found = [one for at in range(len(data)) for one in scanner.feed(data[at : at + 1])]
    found += scanner.finish()
    assert found[-1].end >= len(data) - 1
    return found


def test_images_and_tokens_are_seen_in_a_whole_answer() -> None:
    result = run(call_of(), answer(200, json.dumps(RESPONSE).encode()))
    (image,) = result.images
    assert image.blob
    assert image.blob.length == len(PNG64)
    assert image.revised_prompt == "a fox"
    assert result.usage
    assert result.usage.total_tokens == 3


@pytest.mark.parametrize("end", ["response.completed", "response.incomplete", "response.failed"])
def test_images_and_tokens_are_seen_in_a_stream(end: str) -> None:
    events = stream(
        {"type": "response.output_item.done", "item": ITEM},
        {"type": end, "response": RESPONSE},
    )
    head = UpstreamResponse(200, {}, Lift("").finish(b""), is_event_stream=True)
    result = run(call_of(stream=True), head, events)
    assert len(result.images) == 1
    assert result.usage


def test_a_stream_without_its_end_is_ambiguous() -> None:
    head = UpstreamResponse(200, {}, Lift("").finish(b""), is_event_stream=True)
    with pytest.raises(UpstreamFailedError) as caught:
        run(call_of(stream=True), head, stream({"type": "response.created"}))
    assert caught.value.fault == "ambiguous"


def test_a_success_without_json_is_ambiguous() -> None:
    with pytest.raises(UpstreamFailedError):
        run(call_of(), answer(200, b"<html>"))


def test_a_refusal_is_read_as_everywhere() -> None:
    body = b'{"error":{"message":"no","type":"invalid_request_error","code":"x","param":"input"}}'
    with pytest.raises(ImageError) as caught:
        run(call_of(), answer(400, body))
    assert (caught.value.fault, caught.value.param) == ("call", "input")


def test_a_recovery_replays_it_without_the_request() -> None:
    emptied = without_bytes(call_of(input=[{"image_url": f"data:image/png;base64,{PNG64}"}]))
    assert emptied.extra == {}
    result = run(emptied, answer(200, json.dumps(RESPONSE).encode()))
    assert len(result.images) == 1
