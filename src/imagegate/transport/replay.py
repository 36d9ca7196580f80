"""A conversation out of the journal: what an upstream said before its process died."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress

from msgspec import Struct

from imagegate.assets.blobs import CHUNK_BYTES
from imagegate.assets.journal import Head
from imagegate.assets.spool import SpoolFile
from imagegate.transport.bodies import new_tag
from imagegate.transport.live import LiveConversation
from imagegate.wire.exchange import Event, UpstreamRequest, UpstreamResponse
from imagegate.wire.lift import Lift, LiftError
from imagegate.wire.sse import EventScanner


class LogEnded(Exception):
    """The log ends before the exchange does: what happened to `request` is unknown."""

    def __init__(self, request: UpstreamRequest) -> None:
        super().__init__(f"no answer to {request.method} is in the log")
        self.request = request

    @property
    def may_go_on(self) -> bool:
        """Whether the exchange stopped where it only asks, so that asking again buys nothing."""
        return self.request.method == "GET"


class LoggedAnswer(Struct, frozen=True):
    """One complete answer of the log; `file` holds its body where the head does not."""

    head: Head
    file: SpoolFile | None


class ReplayedConversation:
    """Gives an exchange its logged answers, in order.

    Where the log ends at a GET it goes on with `live`, if there is one; nothing else is ever sent.
    """

    def __init__(
        self, answers: Sequence[LoggedAnswer], live: LiveConversation | None = None
    ) -> None:
        self._answers = deque(answers)
        self._events: deque[Event] = deque()
        self._live = live

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Return the next logged answer, or a live one to a GET. Raises `LogEnded` otherwise."""
        if not self._answers:
            if self._live is None or request.method != "GET":
                raise LogEnded(request)
            return await self._live.send(request)
        answer = self._answers.popleft()
        head = answer.head
        if head.events and answer.file is not None:
            self._events.extend(_events_of(answer.file))
            empty = Lift(new_tag()).finish(b"")
            return UpstreamResponse(head.status, head.headers, empty, is_event_stream=True)
        lift = Lift(new_tag())
        with suppress(LiftError):  # as when it was read first: its start stays readable
            for chunk in _chunks_of(answer.file, head.body or b""):
                lift.feed(chunk)
        body = lift.finish(answer.file or head.body or b"")
        return UpstreamResponse(head.status, head.headers, body)

    async def next_event(self) -> Event | None:
        """Return the next logged event, or None at the stream's end."""
        return self._events.popleft() if self._events else None

    async def wait(self, seconds: float) -> None:
        """Let `seconds` pass once the log is used up: what it tells has passed already."""
        if self._live is not None and not self._answers:
            await self._live.wait(seconds)


def _chunks_of(file: SpoolFile | None, body: bytes) -> Iterator[bytes]:
    if file is None:
        return iter((body,))
    return (file.read_at(start, CHUNK_BYTES) for start in range(0, file.size, CHUNK_BYTES))


def _events_of(file: SpoolFile) -> list[Event]:
    scanner = EventScanner(file, new_tag())
    events = []
    for start in range(0, file.size, CHUNK_BYTES):
        events.extend(scanner.feed(file.read_at(start, CHUNK_BYTES)))
    events.extend(scanner.finish())
    return events
