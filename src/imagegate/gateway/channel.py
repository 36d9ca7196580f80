"""One request's connection: what goes out to the caller, and whether the caller is still there."""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from starlette.types import Send

from imagegate.gateway.connection import Connection
from imagegate.types import Json

SEND_IDLE_S = 120.0
LIST_BYTES_MAX = 4096
Headers: TypeAlias = list[tuple[bytes, bytes]]


class CallerLeftError(Exception):
    """The caller closed the connection or stopped reading; nobody is left to answer to."""


class Channel:
    """Sends head and body. `is_head_sent` says whether a status can still be chosen.

    `docs_url` is where errors that are told here send their reader.
    """

    __slots__ = ("_connection", "_send", "docs_url", "is_head_sent")

    def __init__(self, connection: Connection, send: Send, docs_url: str) -> None:
        self._connection = connection
        self._send = send
        self.docs_url = docs_url
        self.is_head_sent = False

    async def send_head(self, status: int, headers: Headers) -> None:
        """Send status and headers, once."""
        self.is_head_sent = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def send_whole(self, status: int, headers: Headers, body: bytes) -> bool:
        """Send a small answer, its length among the headers; return whether the caller was there.

        Raises as `send_chunks` does.
        """
        if self._connection.write_answer(status, headers, body):
            self.is_head_sent = True
            return True
        await self.send_head(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self._send_chunk(body, more=False)
        return not self.has_left

    async def send_chunks(self, chunks: Iterable[bytes], *, more: bool) -> bool:
        """Send `chunks`; with `more` the body goes on after them.

        Return False, and stop, where the caller left before the last of them was handed over.
        Raises `CallerLeftError` where the caller took nothing for `SEND_IDLE_S`.
        """
        previous: bytes | None = None
        for chunk in chunks:
            if previous is not None:
                await self._send_chunk(previous, more=True)
            if self.has_left:
                return False
            previous = chunk
        await self._send_chunk(previous or b"", more=more)
        return True

    async def _send_chunk(self, chunk: bytes, *, more: bool) -> None:
        sending = self._send({"type": "http.response.body", "body": chunk, "more_body": more})
        if not self._connection.is_full:
            return await sending
        try:
            async with asyncio.timeout(SEND_IDLE_S):
                await sending
        except TimeoutError as error:
            raise CallerLeftError from error

    @property
    def has_left(self) -> bool:
        """Whether the caller has closed the connection."""
        return self._connection.is_lost

    async def left(self) -> None:
        """Return when the caller has closed the connection."""
        left = asyncio.Event()
        self.watch(left.set)
        await left.wait()

    def watch(self, tell: Callable[[], object]) -> None:
        """Call `tell` when the caller closes the connection, at once where it has done so."""
        if self.has_left:
            tell()
        else:
            self._connection.on_lost.add(tell)

    def close(self) -> None:
        """Tell nobody any more: the next request on the connection is another's."""
        self._connection.on_lost.clear()


def ascii_list(items: Sequence[Json]) -> bytes:
    """Return as many items as fit into a header, as an ASCII JSON list."""
    kept: list[str] = []
    room = LIST_BYTES_MAX - 2
    for item in items:
        text = json.dumps(item, ensure_ascii=True, separators=(",", ":"))
        room -= len(text) + 1
        if room < 0:
            break
        kept.append(text)
    return f"[{','.join(kept)}]".encode()
