"""uvicorn's HTTP protocol with the limits that it lacks: the size of a request's head, its time."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 32 * 1024
HEAD_S_MAX = 30.0
_TOO_LARGE = (
    b'{"error":{"message":"The request line and headers have more than 32768 bytes.",'
    b'"type":"invalid_request_error","param":null,"code":"headers_too_large"}}'
)
_ANSWER = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
    b"x-should-retry: false\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s"
) % (len(_TOO_LARGE), _TOO_LARGE)


class GatewayProtocol(HttpToolsProtocol):
    """Closes a connection whose head is too large or does not come to its end in time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_head_open = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock: a connection that says nothing is not kept."""
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        super().connection_lost(exc)
        self._stop_clock()

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head only; the piece in which a head ends is not counted."""
        was_open = self._is_head_open
        super().data_received(data)
        if self._is_head_open:
            self._start_clock()
            if was_open:
                self._count(len(data))

    def on_message_begin(self) -> None:
        """Count anew."""
        super().on_message_begin()
        self._is_head_open = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Stop counting."""
        self._is_head_open = False
        self._stop_clock()
        super().on_headers_complete()

    def _count(self, size_bytes: int) -> None:
        self._head_bytes += size_bytes
        if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.transport.write(_ANSWER)
            self.transport.close()

    def _start_clock(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(HEAD_S_MAX, self.transport.close)

    def _stop_clock(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
