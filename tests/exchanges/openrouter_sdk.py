"""The check against OpenRouter's SDK: requests as its client sends them, its types on answers."""

import json
from urllib.parse import urlsplit

import httpx
from openrouter import OpenRouter, components
from openrouter.errors import OpenRouterError
from pydantic import TypeAdapter

from tests.exchanges.case import Case, Response, Turn

CLIENTS = ("openrouter",)
_HEADERS = {
    "HTTP-Referer": "http_referer",
    "X-OpenRouter-Title": "x_open_router_title",
}
_EVENTS: TypeAdapter[object] = TypeAdapter(components.ImageStreamingResponseData)


class Recorder:
    """A transport that keeps the one request it gets and answers with what was recorded."""

    def __init__(self, response: Response) -> None:
        self.request: httpx.Request | None = None
        self._response = response

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.request = request
        answer = self._response
        return httpx.Response(answer.status, headers=answer.headers, content=answer.body.encode())


def check_request(case: Case, turn: Turn) -> None:
    """Assert that the official client sends the recorded request for the same call."""
    sent = _send(case, turn)
    assert sent.method == turn.request.method
    assert str(sent.url) == turn.request.url
    for name in _HEADERS:
        assert sent.headers.get(name) == turn.request.headers.get(name)
    accepted = turn.request.headers.get("accept", "application/json")
    assert sent.headers["accept"] == accepted
    assert _without_defaults(json.loads(sent.content)) == json.loads(turn.request.json or "")


def _send(case: Case, turn: Turn) -> httpx.Request:
    recorder = Recorder(turn.response)
    fields = json.loads(turn.request.json or "")
    named = {
        argument: turn.request.headers[name]
        for name, argument in _HEADERS.items()
        if name in turn.request.headers
    }
    base_url = case.target.base_url
    with httpx.Client(transport=httpx.MockTransport(recorder)) as http:
        client = OpenRouter(api_key="sk-or-test", server_url=base_url, client=http)
        is_chat = urlsplit(turn.request.url).path.endswith("/chat/completions")
        ask = client.chat.send if is_chat else client.images.generate
        try:
            answer = ask(**fields, **named, retries=None)
            if fields.get("stream"):
                list(answer)
        except (OpenRouterError, ValueError):
            assert case.error, "the official client takes this answer for an error"
    assert recorder.request is not None
    return recorder.request


def _without_defaults(fields: dict[str, object]) -> dict[str, object]:
    """Return what was sent without what the client adds to each chat."""
    return {name: value for name, value in fields.items() if (name, value) != ("stream", False)}


def check_answer(case: Case, response: Response) -> None:
    """Assert that a good answer is what the official types say it is."""
    if response.is_event_stream:
        for frame in response.body.split("\n\n"):
            data = frame.partition("data: ")[2]
            if data and data != "[DONE]":
                event = _EVENTS.validate_json(data)
                assert not isinstance(event, components.UnknownImageStreamingResponseData)
        return
    is_chat = case.target.traits.get("surface") == "chat"
    shape = components.ChatResult if is_chat else components.ImageGenerationResponse
    shape.model_validate_json(response.body)
