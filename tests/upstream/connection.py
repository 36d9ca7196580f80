"""One HTTP/1.1 connection by hand, because a server library would refuse to misbehave."""

import asyncio
import socket
import struct
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from tests.upstream.answers import Answer
from tests.upstream.bill import Record

HEAD_BYTES_MAX = 1024 * 1024
PIECE_BYTES = 256 * 1024
REASONS = {200: "OK", 307: "Temporary Redirect", 400: "Bad Request", 404: "Not Found"}


@dataclass
class Head:
    """The head of a request, header names in lower case, repeated ones joined by a comma."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]


class Connection:
    """Reads requests and writes answers, broken ones too."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        # With this mark `drain` returns only when the kernel has taken every byte.
        writer.transport.set_write_buffer_limits(high=0)

    async def read_head(self) -> Head | None:
        """Return the next head, None where the peer has ended the connection."""
        try:
            raw = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        request, *lines = raw[:-4].decode("latin-1").split("\r\n")
        method, target, _ = request.split(" ")
        path, _, query = target.partition("?")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            name = name.lower()
            given = headers.get(name)
            headers[name] = value.strip() if given is None else f"{given}, {value.strip()}"
        return Head(method, unquote(path), dict(parse_qsl(query)), headers)

    async def read_body(self, head: Head) -> bytes:
        """Return the whole body of the request."""
        if head.headers.get("expect", "").lower() == "100-continue":
            await self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if head.headers.get("transfer-encoding", "").lower() == "chunked":
            return await self._read_chunked()
        return await self._reader.readexactly(int(head.headers.get("content-length", 0)))

    async def _read_chunked(self) -> bytes:
        parts: list[bytes] = []
        while length := int((await self._reader.readline()).split(b";")[0], 16):
            parts.append(await self._reader.readexactly(length))
            await self._reader.readexactly(2)
        await self._reader.readline()
        return b"".join(parts)

    async def peer_left(self) -> None:
        """Return when the peer has closed the connection."""
        try:
            await self._reader.read(1)
        except ConnectionError:
            return

    async def write_head(self, answer: Answer, number: int) -> None:
        """Send the head, after a 103 where the answer says so."""
        if answer.interim:
            await self._send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n")
        lines = [f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Status')}"]
        lines += [f"content-type: {answer.content_type}", f"x-request-id: req_{number:032x}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        length = f"content-length: {len(answer.body)}"
        lines.append("transfer-encoding: chunked" if answer.chunk_bytes else length)
        await self._send("\r\n".join([*lines, "", ""]).encode())

    async def write_body(self, answer: Answer, start: int, end: int, record: Record) -> None:
        """Send the bytes of the body from `start` to `end`."""
        piece_bytes = answer.chunk_bytes or PIECE_BYTES
        for at in range(start, end, piece_bytes):
            piece = answer.body[at : min(at + piece_bytes, end)]
            framed = b"%x\r\n%b\r\n" % (len(piece), piece) if answer.chunk_bytes else piece
            await self._send(framed)
            record.sent_bytes += len(piece)

    async def write_end(self, answer: Answer) -> None:
        """Send what ends the body."""
        if answer.chunk_bytes:
            await self._send(b"0\r\n\r\n")

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def reset(self) -> None:
        """Break the connection: the peer sees a reset, not an end."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def close(self) -> None:
        """End the connection in good order."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return
