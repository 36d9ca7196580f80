"""The upstream of the benchmark: prebuilt answers, checks each upload by hash, does nothing else.

`python -m bench.upstream` prints its port. It shares its CPU with the load, not with the gateway.
"""

import asyncio
import hashlib
import re
import sys
from typing import cast

import httptools
import uvloop

from bench.measure import keep_memory
from bench.payloads import (
    Order,
    gemini_response,
    json_response,
    read_order,
    recraft_response,
    refusal_response,
    stream_response,
)

# Which API is asked follows from the path; what is none of these is OpenAI's.
_SHAPES = ((b"/gemini/", gemini_response), (b"/recraft/", recraft_response))
_BOUNDARY = re.compile(rb'boundary="?([^";]+)')


class Upstream(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []
        self._path = b""
        self._boundary: bytes | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do what asyncio's do, but do not inherit from them.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    # What httptools calls

    def on_message_begin(self) -> None:
        self._body, self._path, self._boundary = [], b"", None

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        lowered = name.lower()
        if lowered == b"content-type" and (found := _BOUNDARY.search(value)):
            self._boundary = found[1]
        if lowered == b"expect":
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        if self._parser.get_method() == b"GET":
            self._write(refusal_response("only images are made here"))
            return
        body = b"".join(self._body)
        self._body = []
        order = read_order(body)
        if order is None:
            self._write(refusal_response("the prompt holds no order"))
        elif order.upload_sha256 and not self._upload_is_right(body, order):
            self._write(refusal_response("the upload is not what was sent"))
        elif order.hold_s:
            loop = asyncio.get_running_loop()
            loop.call_later(order.hold_s, self._answer, order, self._path)
        else:
            self._answer(order, self._path)

    def _upload_is_right(self, body: bytes, order: Order) -> bool:
        if self._boundary is None:
            return False
        for part in (b"\r\n" + body).split(b"\r\n--" + self._boundary)[1:-1]:
            head_end = part.find(b"\r\n\r\n")
            if b"filename" in part[:head_end]:
                value = memoryview(part)[head_end + 4 :]
                return hashlib.sha256(value).hexdigest() == order.upload_sha256
        return False

    def _answer(self, order: Order, path: bytes) -> None:
        if order.shape == "json":
            build = next((made for start, made in _SHAPES if path.startswith(start)), json_response)
            self._write(build(order.answer_bytes, order.variant))
            return
        event = "image_edit" if b"/edits" in path else "image_generation"
        for piece in stream_response(order.answer_bytes, order.variant, event):
            self._write(piece)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


async def serve() -> None:
    """Serve until standard input ends, that is until the benchmark is gone."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    keep_memory()
    uvloop.run(serve())
