"""uvicorn's HTTP protocol with the limits that it lacks: the size of a request's head, its time."""

import asyncio
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from imagegate.config.settings import DOCS_URL
from imagegate.errors import ImageError
from imagegate.gateway.connection import CONNECTION, Connection
from imagegate.gateway.errors import error_body, error_headers

HEAD_BYTES_MAX = 32 * 1024
HEAD_S_MAX = 30.0
LINGER_S = 2.0
_TOO_LARGE = ImageError(
    f"The request line and headers have more than {HEAD_BYTES_MAX} bytes.",
    code="headers_too_large",
    http_status=431,
)
_NO_HTTP = ImageError(
    "This is no valid HTTP request: its head breaks the rules, or says in two ways how long the "
    "body is.",
    code="invalid_request",
    http_status=400,
)


class GatewayProtocol(HttpToolsProtocol):
    """Closes a connection whose head is too large or does not come to its end in time.

    `docs_url` is where errors that are told here send their reader.
    """

    docs_url = DOCS_URL

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connection = Connection()
        self.app_state = {**self.app_state, CONNECTION: self._connection}
        self._is_head_open = True
        self._head_bytes = 0
        self._is_refused = False
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock: a connection that says nothing is not kept."""
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock, and tell whose request is at work."""
        super().connection_lost(exc)
        self._stop_clock()
        self._connection.lose()

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head only; the piece in which a head ends is not counted."""
        if self._is_refused:
            return
        was_open = self._is_head_open
        super().data_received(data)
        if self._is_head_open:
            self._start_clock()
            if was_open:
                self._count(len(data))

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's words, not OpenAI's
        """Answer what the parser refused, in the shape of all other errors."""
        self.transport.write(_answer(_NO_HTTP, self.docs_url))
        self.transport.close()

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

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._connection.cycle = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """Hand the first piece on as it is: gathering it would copy every byte twice."""
        cycle = self.cycle
        if cycle.body or cycle.response_complete:
            super().on_body(body)
        else:
            cycle.body = cast("bytearray", body)  # all that is done with it, bytes can do
            super().on_body(b"")

    def _count(self, size_bytes: int) -> None:
        self._head_bytes += size_bytes
        if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self._refuse()

    def _refuse(self) -> None:
        # Closing at once, with bytes still coming in, would reset the connection and take the
        # answer from the client: say that nothing more follows, and read on for a moment.
        self._is_refused = True
        self.transport.write(_answer(_TOO_LARGE, self.docs_url))
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def _start_clock(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(HEAD_S_MAX, self.transport.close)

    def _stop_clock(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def protocol_for(docs_url: str) -> type[GatewayProtocol]:
    """Return the protocol whose errors lead to `docs_url`."""
    return type(GatewayProtocol.__name__, (GatewayProtocol,), {"docs_url": docs_url})


def _answer(error: ImageError, docs_url: str) -> bytes:
    """Return a whole answer for a request that never reached the application."""
    body = error_body(error, docs_url)
    status = HTTPStatus(error.http_status)
    headers = [
        *error_headers(error),
        (b"connection", b"close"),
        (b"content-length", b"%d" % len(body)),
    ]
    lines = b"".join(b"%s: %s\r\n" % header for header in headers)
    return f"HTTP/1.1 {status} {status.phrase}\r\n".encode() + lines + b"\r\n" + body
