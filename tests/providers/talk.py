"""Calls, targets and answers for the tests of adapters, and one way to run an exchange."""

import json
from collections.abc import Mapping

import msgspec

from imagegate.assets.blobs import body_chunks
from imagegate.types import Blob, ImageCall, ImageResult, Json
from imagegate.wire.exchange import Exchange, Send, UpstreamRequest, UpstreamResponse
from imagegate.wire.lift import Lifted

PNG = Blob(b"\x89PNG", 0, 4, media_type="image/png")
CALL = ImageCall(id="call_1", operation="generate", model="m", prompt="a red circle")
SUCCESS = {"created": 1, "data": [{"b64_json": "QUJD"}]}


def call(**fields: Json) -> ImageCall:
    return msgspec.structs.replace(CALL, **fields)


def edit_call(**fields: Json) -> ImageCall:
    return call(**({"operation": "edit", "images": (PNG,)} | fields))


def answer(status: int, body: Json, headers: Mapping[str, str] | None = None) -> UpstreamResponse:
    text = body if isinstance(body, str) else json.dumps(body)
    return UpstreamResponse(status, headers or {}, Lifted(text.encode()))


def request_of(exchange: Exchange) -> UpstreamRequest:
    command = next(exchange)
    assert isinstance(command, Send)
    return command.request


def talk(exchange: Exchange, response: UpstreamResponse) -> tuple[UpstreamRequest, ImageResult]:
    """Return what was sent, and what came of `response`; raises what the adapter raises."""
    request = request_of(exchange)
    try:
        exchange.send(response)
    except StopIteration as stop:
        return request, stop.value
    raise AssertionError("the exchange goes on")


def body_of(request: UpstreamRequest) -> bytes:
    return b"".join(body_chunks(request.body))
