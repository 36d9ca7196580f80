"""The verbs of an exchange: one conversation with one upstream, written as a generator.

An adapter says `response = yield from send(request)` and never touches a socket. Same call and
same answers give the same requests, byte for byte, so a logged exchange can be replayed.
"""

from collections.abc import Generator, Mapping
from typing import Literal, TypeAlias, TypeVar

from msgspec import Struct

from imagegate.types import Body, ImageResult, Json, PartialImage
from imagegate.wire.lift import Lifted

T = TypeVar("T")


class UpstreamRequest(Struct, frozen=True):
    """One HTTP request. `url` is absolute, without credentials; headers carry none either.

    `events` says that the answer may be an event stream, to be read with `next_event`.
    `seconds_max` bounds this one request where the exchange can go on without its answer (a poll).
    A POST is taken as paid: it is never sent twice.
    """

    method: Literal["GET", "POST", "DELETE"]
    url: str
    body: Body = ()
    headers: Mapping[str, str] = {}
    events: bool = False
    seconds_max: float | None = None


class UpstreamResponse(Struct, frozen=True):
    """Status, headers (names in lower case) and the lifted body, empty for an event stream."""

    status: int
    headers: Mapping[str, str]
    body: Lifted
    is_event_stream: bool = False

    def decode(self, shape: type[T]) -> T:
        """Return the JSON body as `shape`; its `Base64` fields take any string. Lenient on extras.

        Raises `UpstreamEmptyError` (`upstream_invalid_image`) where the body is not that shape.
        """
        return self.body.decode(shape)

    def json(self) -> Json:
        """Return the JSON body with blobs as short placeholders; None where it is no JSON."""
        return self.body.json()

    def text(self) -> str:
        """Return the first 8 KiB of the body, for humans."""
        return self.body.text()


class Event(Struct, frozen=True):
    """One server-sent event: its name (`""` where it has none) and its lifted data.

    The stream up to its end is the first `end` bytes of `source`.
    """

    name: str
    data: Lifted
    source: object = None
    end: int = 0


class Send(Struct, frozen=True):
    """Send a request; the answer is an `UpstreamResponse`."""

    request: UpstreamRequest


class NextEvent(Struct, frozen=True):
    """Wait for the next event of the stream; the answer is an `Event`, or None at its end."""


class Wait(Struct, frozen=True):
    """Wait before a poll."""

    seconds: float


class Emit(Struct, frozen=True):
    """Show a partial image to whoever watches."""

    partial: PartialImage


Command: TypeAlias = Send | NextEvent | Wait | Emit
Answer: TypeAlias = UpstreamResponse | Event | None
Exchange: TypeAlias = Generator[Command, Answer, ImageResult]


def send(request: UpstreamRequest) -> Generator[Command, Answer, UpstreamResponse]:
    """Send `request` and return its response."""
    response = yield Send(request)
    assert isinstance(response, UpstreamResponse)
    return response


def next_event() -> Generator[Command, Answer, Event | None]:
    """Return the next event of the stream, or None when it has ended."""
    event = yield NextEvent()
    assert not isinstance(event, UpstreamResponse)
    return event


def wait(seconds: float) -> Generator[Command, Answer, None]:
    """Let `seconds` pass before the next request."""
    yield Wait(seconds)


def emit(partial: PartialImage) -> Generator[Command, Answer, None]:
    """Hand on a partial image."""
    yield Emit(partial)
