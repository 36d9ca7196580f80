"""Small things that tests of wire/ share: bodies joined, blobs made, answers played back."""

import base64
from collections.abc import Generator, Sequence

from imagegate.types import Blob, Body, Encoded, ImageResult, PartialImage
from imagegate.wire.exchange import Emit, Event, Exchange, NextEvent, Send, UpstreamRequest
from imagegate.wire.exchange import UpstreamResponse as UpstreamResponse
from imagegate.wire.lift import Lift, Lifted
from imagegate.wire.sse import EventScanner

TAG = "blob:0123456789abcdef:"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAYAAABytg0kAAAAEUlEQVR4nGP4z8DwH4QZYAwAR8oH+WdZbrcAAAAA"
    "SUVORK5CYII="
)
PNG64 = base64.b64encode(PNG).decode()


def png() -> Blob:
    return Blob(PNG, 0, len(PNG), media_type="image/png")


def bytes_of(part: bytes | Blob | Encoded) -> bytes:
    if isinstance(part, bytes):
        return part
    blob = part.blob if isinstance(part, Encoded) else part
    assert isinstance(blob.source, bytes)
    stored = blob.source[blob.offset : blob.offset + blob.length]
    raw = base64.b64decode(stored.replace(b"\\", b"")) if blob.encoding == "base64" else stored
    return base64.b64encode(raw) if isinstance(part, Encoded) else raw


def joined(body: Body) -> bytes:
    return b"".join(map(bytes_of, body))


def lifted(document: bytes) -> Lifted:
    scanner = Lift(TAG)
    scanner.feed(document)
    return scanner.finish(document)


def answer(
    body: bytes, status: int = 200, headers: dict[str, str] | None = None
) -> UpstreamResponse:
    return UpstreamResponse(status, headers or {}, lifted(body))


class Played:
    """What one exchange did when it was given these answers."""

    def __init__(self, exchange: Exchange, response: UpstreamResponse, stream: bytes = b"") -> None:
        self.requests: list[UpstreamRequest] = []
        self.partials: list[PartialImage] = []
        scanner = EventScanner(stream, TAG)
        self._events: list[Event] = [*scanner.feed(stream), *scanner.finish()]
        self._response = response
        self.result = self._drive(exchange)

    def _drive(self, exchange: Generator[object, object, ImageResult]) -> ImageResult:
        command = next(exchange)
        while True:
            try:
                command = exchange.send(self._answer(command))
            except StopIteration as end:
                result: ImageResult = end.value
                return result

    def _answer(self, command: object) -> UpstreamResponse | Event | None:
        match command:
            case Send(request):
                self.requests.append(request)
                return self._response
            case NextEvent():
                return self._events.pop(0) if self._events else None
            case Emit(partial):
                self.partials.append(partial)
                return None
        raise AssertionError(command)


def stream_answer() -> UpstreamResponse:
    return UpstreamResponse(200, {"content-type": "text/event-stream"}, lifted(b""), True)


def texts(blobs: Sequence[Blob | None]) -> list[str]:
    return [joined((Encoded(blob),)).decode() for blob in blobs if blob]
