"""Receivers on loopback: a server that keeps what it is sent, and can refuse or hang."""

import asyncio
import threading
from typing import Self

from msgspec import Struct

WAIT_S_MAX = 15.0


class Posted(Struct, frozen=True):
    """One request: its path, its headers (lower case), its body."""

    path: str
    headers: dict[str, str]
    body: bytes


class PostServer:
    """Takes every POST until the `with` block ends. `status` is what it answers; `hangs`: never."""

    def __init__(self, *, status: int = 200, hangs: bool = False) -> None:
        self.status = status
        self.hangs = hangs
        self.posted: list[Posted] = []
        self.answer = b"{}"
        self._came = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._on_loop(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._on_loop(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S_MAX)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait(self, count: int = 1) -> list[Posted]:
        """Return what came, once there are `count` requests."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.posted) >= count, WAIT_S_MAX)
            return list(self.posted)

    def _on_loop(self, work):  # type: ignore[no-untyped-def]
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S_MAX)

    async def _close(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while line := await reader.readline():
                await self._take(line, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _take(
        self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        headers: dict[str, str] = {}
        while (head := (await reader.readline()).strip()) != b"":
            name, _, value = head.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = await _read_body(reader, headers)
        with self._came:
            self.posted.append(Posted(line.split()[1].decode(), headers, body))
            self._came.notify_all()
        if self.hangs:
            await asyncio.Event().wait()
        answer = self.answer
        writer.write(
            b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
            % (self.status, len(answer), answer)
        )
        await writer.drain()


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body
