"""The connection that requests come by: whether its caller is still there, and the way out on it.

It knows what uvicorn keeps of a request; nothing else here does.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

CONNECTION = "connection"
"""Its name in the state of each request."""

Piece: TypeAlias = tuple[bytes, bool]
"""A piece of a body, and whether it is the last one."""


def connection_of(scope: Scope) -> "Connection":
    """Return the connection of a request."""
    connection: Connection = scope["state"][CONNECTION]
    return connection


class Connection:
    """A caller's connection, which carries one request after the other until it `is_lost`.

    `on_lost` are told then. `cycle` is the request that is answered now.
    """

    __slots__ = ("cycle", "is_lost", "on_lost")
    cycle: RequestResponseCycle

    def __init__(self) -> None:
        self.is_lost = False
        self.on_lost: set[Callable[[], object]] = set()

    def lose(self) -> None:
        """Tell those who watch it that the caller has closed it."""
        self.is_lost = True
        for tell in tuple(self.on_lost):
            tell()

    @property
    def is_full(self) -> bool:
        """Whether the caller is slow to take what was sent: then the next piece waits for it."""
        return self.cycle.flow.write_paused

    def take_body(self) -> Piece | None:
        """Return what has come of the body, None where it has to be waited for."""
        cycle = self.cycle
        if cycle.waiting_for_100_continue or self.is_lost or not cycle.message_event.is_set():
            return None
        cycle.message_event.clear()
        body, cycle.body = bytes(cycle.body), bytearray()
        self._read_on()
        return body, not cycle.more_body

    async def next_body(self) -> Piece | None:
        """Return the next piece of the body, None where the caller has left."""
        message = await self.cycle.receive()
        if message["type"] != "http.request":
            return None
        self._read_on()
        return message["body"], not message["more_body"]

    def _read_on(self) -> None:
        # Behind so much the server stops reading. It would not begin again at a body's end, and so
        # not notice that the caller leaves: an image that nobody got would count as delivered.
        self.cycle.flow.resume_reading()

    def write_answer(
        self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> bool:
        """Write a whole answer in one go; return False, and do nothing, where it is not so simple.

        The server's own way, which looks at each header by two patterns, costs more than all the
        rest of a small answer. It is left to connections that wait or end.
        """
        cycle = self.cycle
        if cycle.default_headers or not cycle.keep_alive or self.is_full or self.is_lost:
            return False
        lines = b"\r\n".join(map(b": ".join, headers))
        if not lines.count(b"\r") == lines.count(b"\n") == len(headers) - 1:
            return False  # a value would end its line
        cycle.transport.write(
            b"%bcontent-length: %d\r\n%b\r\n\r\n%b" % (STATUS_LINE[status], len(body), lines, body)
        )
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        cycle.on_response()
        return True
