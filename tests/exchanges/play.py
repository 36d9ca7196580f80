"""Plays a recorded conversation to an adapter, and keeps what it sent and what came out."""

import base64
from collections import deque
from collections.abc import Iterator

import msgspec

from imagegate.assets.spool import body_chunks, read_bytes
from imagegate.errors import ImageError
from imagegate.types import Blob, Image, ImageResult, Json, PartialImage
from imagegate.wire.exchange import (
    Answer,
    Emit,
    Event,
    Exchange,
    NextEvent,
    Send,
    UpstreamRequest,
    UpstreamResponse,
)
from imagegate.wire.json_body import DataUrl
from imagegate.wire.lift import Base64, Lift
from imagegate.wire.sse import EventScanner
from tests.exchanges.case import Response

TAG = "blob:0123456789abcdef:"
CHUNK_BYTES = 61  # small and odd, so that strings and lines are cut in all places


class Played:
    """One exchange with its recorded answers. `result` or `error` is what it ended with."""

    def __init__(self, exchange: Exchange, responses: list[Response]) -> None:
        self.requests: list[UpstreamRequest] = []
        self.partials: list[PartialImage] = []
        self.result: ImageResult | None = None
        self.error: ImageError | None = None
        self._responses = deque(responses)
        self._events: deque[Event] = deque()
        try:
            self.result = self._drive(exchange)
        except ImageError as error:
            self.error = error

    @property
    def unused(self) -> int:
        """How many recorded responses nobody asked for."""
        return len(self._responses)

    def _drive(self, exchange: Exchange) -> ImageResult:
        answer: Answer = None
        while True:
            try:
                command = exchange.send(answer)
            except StopIteration as stop:
                result: ImageResult = stop.value
                return result
            match command:
                case Send(request):
                    answer = self._respond(request)
                case NextEvent():
                    answer = self._events.popleft() if self._events else None
                case Emit(partial):
                    self.partials.append(partial)
                    answer = None
                case _:  # a wait before a poll takes no time here
                    answer = None

    def _respond(self, request: UpstreamRequest) -> UpstreamResponse:
        assert self._responses, f"{request.method} {request.url} has no recorded response"
        self.requests.append(request)
        response = self._responses.popleft()
        body = response.body.encode()
        if response.is_event_stream and request.events:
            self._events.extend(_events(body))
            empty = Lift(TAG).finish(b"")
            return UpstreamResponse(200, response.headers, empty, is_event_stream=True)
        lift = Lift(TAG)
        for chunk in _chunks(body):
            lift.feed(chunk)
        return UpstreamResponse(response.status, response.headers, lift.finish(body))


def _events(body: bytes) -> Iterator[Event]:
    scanner = EventScanner(body, TAG)
    for chunk in _chunks(body):
        yield from scanner.feed(chunk)
    yield from scanner.finish()


def _chunks(body: bytes) -> Iterator[bytes]:
    return (body[start : start + CHUNK_BYTES] for start in range(0, len(body), CHUNK_BYTES))


def body_of(request: UpstreamRequest) -> bytes:
    """Return the whole body that a request sends."""
    return b"".join(body_chunks(request.body))


def plain_result(result: ImageResult) -> dict[str, Json]:
    """Return a result as a file has it: images in base64, empty fields left out."""
    fields = {name: getattr(result, name) for name in ImageResult.__struct_fields__}
    # The upstream's own JSON, handed on as it is; `usage` is what we make of it.
    del fields["raw_usage"]
    fields["extra"] = _plain_json(fields["extra"])
    fields["images"] = [_plain_image(image) for image in result.images]
    fields["usage"] = None if result.usage is None else msgspec.to_builtins(result.usage)
    return {name: value for name, value in fields.items() if value}


def _plain_json(value: Json) -> Json:
    """Return JSON with each image in it as the text that stands for it."""
    if isinstance(value, Base64 | DataUrl):
        return _base64(value.blob)
    if isinstance(value, dict):
        return {name: _plain_json(item) for name, item in value.items() if item is not None}
    return [_plain_json(item) for item in value] if isinstance(value, list) else value


def plain_partial(partial: PartialImage) -> dict[str, Json]:
    """Return a partial image as a file has it."""
    fields = {name: getattr(partial, name) for name in PartialImage.__struct_fields__}
    fields["base64"] = _base64(fields.pop("blob"))
    return {name: value for name, value in fields.items() if value is not None}


def _plain_image(image: Image) -> dict[str, Json]:
    fields = {
        "base64": _base64(image.blob) if image.blob else None,
        "url": image.url,
        "revised_prompt": image.revised_prompt,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _base64(blob: Blob) -> str:
    return base64.b64encode(read_bytes(blob)).decode()
