"""The connection that requests come by: whether its caller is still there, and the way out on it.

It knows what uvicorn keeps of a request; nothing else here does.
"""

from collections.abc import Callable, Sequence

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

CONNECTION = "connection"
"""Its name in the state of each request."""


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

    def write_head(self, status: int, headers: Sequence[tuple[bytes, bytes]], size: int) -> bool:
        """Write the head of an answer of `size` bytes; return whether it was this simple.

        The server's own way looks at each header by two patterns, which costs more than all the
        rest of a small answer. It is for connections that wait, end, or have more to say.
        """
        cycle = self.cycle
        if cycle.default_headers or not cycle.keep_alive or self.is_full or self.is_lost:
            return False
        lines = [b"%b: %b\r\n" % header for header in headers]
        head = b"".join((STATUS_LINE[status], *lines, b"content-length: %d\r\n\r\n" % size))
        if head.count(b"\n") != len(lines) + 3:
            return False  # a value would end its line
        cycle.response_started, cycle.waiting_for_100_continue = True, False
        cycle.chunked_encoding, cycle.expected_content_length = False, size
        cycle.transport.write(head)
        return True
