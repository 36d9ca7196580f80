"""`stream: true`: OpenAI's events, whatever the model does, and honest endings."""

import base64

import pytest

from tests.gateway import pictures
from tests.gateway.running import Part, RunningGateway
from tests.upstream.fake import FakeUpstream

PARTIAL_FIELDS = {
    "type",
    "b64_json",
    "partial_image_index",
    "created_at",
    "size",
    "quality",
    "background",
    "output_format",
}


def test_partial_images_and_a_completed_event(gateway: RunningGateway) -> None:
    answer = gateway.generate(stream=True, partial_images=2)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    *partials, (name, completed) = answer.events
    assert name == completed["type"] == "image_generation.completed"
    assert base64.b64decode(completed["b64_json"]).startswith(b"\x89PNG")
    assert completed["usage"]["total_tokens"] > 0
    assert completed["imagegate"]["call_id"] == answer.headers["x-imagegate-call-id"]
    assert float(completed["imagegate"]["cost"]) > 0
    assert completed["imagegate"]["attempts"] == 1
    assert {name for name, _ in partials} <= {"image_generation.partial_image"}
    for _, partial in partials:
        assert set(partial) >= PARTIAL_FIELDS


def test_an_edit_streams_under_its_own_names(gateway: RunningGateway) -> None:
    answer = gateway.edit(
        Part("model", "img"),
        Part("prompt", "a"),
        Part("stream", "true"),
        Part("image", pictures.picture(), "a.png"),
    )
    assert [name for name, _ in answer.events] == ["image_edit.completed"]


def test_a_model_that_answers_json_gives_one_completed_event(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply("json_for_stream")
    assert [name for name, _ in gateway.generate(stream=True).events] == [
        "image_generation.completed"
    ]


def test_several_images_share_the_usage(gateway: RunningGateway) -> None:
    events = [event for _, event in gateway.generate(stream=True, n=3).events]
    assert len(events) == 3
    whole = gateway.generate(n=3).json()["usage"]
    assert sum(event["usage"]["output_tokens"] for event in events) == whole["output_tokens"]
    assert all(event["usage"]["input_tokens"] > 0 for event in events)


def test_a_refusal_before_the_first_event_keeps_its_status(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply("status:moderation")
    answer = gateway.generate(stream=True)
    assert (answer.status, answer.error["code"]) == (400, "moderation_blocked")
    assert gateway.generate(stream=True, n=0).status == 400


@pytest.mark.parametrize("mode", ["cut_stream", "stream_error"])
def test_a_failure_after_the_first_event_is_one_error_event(
    mode: str, gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply(mode)
    answer = gateway.generate(stream=True, partial_images=2)
    if answer.status != 200:  # the upstream failed before its first event
        assert answer.error["code"]
        return
    name, event = answer.events[-1]
    assert name == event["type"] == "error"
    assert set(event["error"]) >= {"message", "type", "param", "code"}
    assert not [name for name, _ in answer.events if name.endswith("completed")]
