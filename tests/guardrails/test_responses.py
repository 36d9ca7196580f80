"""`POST /v1/responses`: guardrails see its input and its images, in every mode, streamed too."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.running import Answer
from tests.gateway.test_responses import (
    PNG64,
    RESPONSE,
    STREAM,
    TOOLS,
    Start,
    event,
    respond,
    start,
)
from tests.sinks.receivers import PostServer

__all__ = ["start"]

BAD = "a forbiddenword"
GUARDRAIL = """
guardrails:
  - guardrail_name: no-words
    litellm_params:
      guardrail: words
      mode: {mode}
      default_on: {default_on}
      blocked_words: [{{keyword: forbiddenword, name: secret-project}}]
"""
HTTP = """
guardrails:
  - guardrail_name: ours
    litellm_params: {{guardrail: http, mode: post_call, default_on: true, api_base: "{url}"}}
"""
JSON = (200, {}, RESPONSE)
EVENTS = (200, {"content-type": "text/event-stream"}, lambda: STREAM)
INPUTS = [BAD, [{"role": "user", "content": [{"type": "input_text", "text": BAD}]}]]


def check_refused(answer: Answer) -> None:
    assert answer.status == 400, answer.body
    assert answer.error["code"] == "content_policy_violation"
    assert answer.error["imagegate"]["guardrails"] == ["no-words:deny:secret-project"]
    assert b"result" not in answer.body


@pytest.mark.parametrize("asked", INPUTS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("mode", ["pre_call", "during_call", "post_call"])
def test_it_is_refused(start: Start, asked: object, stream: bool, mode: str) -> None:
    gateway, surface = start(
        EVENTS if stream else JSON, GUARDRAIL.format(mode=mode, default_on=True)
    )
    check_refused(respond(gateway, input=asked, stream=stream))
    assert len(surface.asked) == (0 if mode == "pre_call" else 1)


def test_it_is_refused_by_name_and_the_name_stays_here(start: Start) -> None:
    gateway, surface = start(JSON, GUARDRAIL.format(mode="pre_call", default_on=False))
    check_refused(respond(gateway, input=BAD, guardrails=["no-words"]))
    assert respond(gateway, guardrails=["no-words"]).status == 200
    assert "guardrails" not in json.loads(surface.asked[-1].body)


def test_what_passes_comes_as_it_came(start: Start) -> None:
    gateway, _ = start(EVENTS, GUARDRAIL.format(mode="post_call", default_on=True))
    answer = respond(gateway, stream=True)
    assert answer.body == b"".join(STREAM)


def said(text: str) -> list[dict[str, object]]:
    """Return an output whose words are `text`, in each place where words may stand."""
    return [
        {"type": "message", "content": [{"type": "output_text", "text": text}]},
        {"type": "message", "content": [{"type": "refusal", "refusal": text}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]},
        {"type": "function_call", "name": "f", "arguments": f'{{"a": "{text}"}}'},
    ]


@pytest.mark.parametrize("item", said(BAD), ids=lambda item: str(next(reversed(item))))
@pytest.mark.parametrize("stream", [False, True])
def test_what_the_model_says_is_seen(start: Start, item: dict[str, object], stream: bool) -> None:
    whole = RESPONSE | {"output": [item]}
    events = [
        event("response.output_item.done", item=item),
        event("response.completed", response=RESPONSE | {"output": []}),
    ]
    streamed = (200, {"content-type": "text/event-stream"}, lambda: events)
    gateway, _ = start(
        streamed if stream else (200, {}, whole),
        GUARDRAIL.format(mode="post_call", default_on=True),
    )
    answer = respond(gateway, stream=stream)
    check_refused(answer)
    assert BAD.encode() not in answer.body


NAMED = [
    {"type": "input_image", "image_url": "https://example.com/a.png"},
    {"type": "input_image", "file_id": "file-1"},
    {"type": "input_file", "file_url": "HTTPS://example.com/a.pdf"},
]


@pytest.mark.parametrize("part", NAMED)
def test_an_image_that_is_only_named_is_refused_where_images_are_looked_at(
    start: Start, service: PostServer, part: object
) -> None:
    service.answer = b'{"action": "allow"}'
    gateway, surface = start(JSON, HTTP.format(url=service.url).replace("post_call", "pre_call"))
    answer = respond(gateway, input=[{"role": "user", "content": [part]}])
    assert answer.status == 400
    assert answer.error["imagegate"]["guardrails"] == ["ours:deny:unseen_input"]
    assert (surface.asked, service.posted) == ([], [])
    content = [{"type": "input_image", "image_url": f"data:image/png;base64,{PNG64}"}]
    assert respond(gateway, input=[{"role": "user", "content": content}]).status == 200
    (posted,) = service.posted
    assert [one["role"] for one in json.loads(posted.body)["images"]] == ["image"]


def test_a_mask_that_is_only_named_is_refused_too(start: Start, service: PostServer) -> None:
    gateway, _ = start(JSON, HTTP.format(url=service.url).replace("post_call", "pre_call"))
    tools = [TOOLS[0] | {"input_image_mask": {"file_id": "file-1"}}]
    assert respond(gateway, tools=tools).error["imagegate"]["guardrails"] == [
        "ours:deny:unseen_input"
    ]


@pytest.fixture
def service() -> Iterator[PostServer]:
    with PostServer() as server:
        yield server


def test_what_cannot_be_blurred_in_its_place_is_held(
    start: Start, service: PostServer, tmp_path: Path
) -> None:
    service.answer = b'{"action": "blur", "category": "face"}'
    gateway, _ = start(JSON, HTTP.format(url=service.url))
    answer = respond(gateway)
    assert (answer.status, answer.error["code"]) == (400, "content_policy_violation")
    assert [one["role"] for one in json.loads(service.posted[0].body)["images"]] == ["output"]
