"""A small TCP balancer as it stands before gateways: it sends new connections to who is ready.

It knows of HTTP only that `/readyz` is asked for, ten times a second.
"""

import asyncio
import contextlib
import itertools
import threading
from typing import Self

POLL_S = 0.1
WAIT_S_MAX = 60.0


class Balancer:
    """Listens on a free port of loopback, until the `with` block ends; used from any thread."""

    def __init__(self) -> None:
        self.port = 0
        self._ports: set[int] = set()
        self._ready: list[int] = []
        self._turns = itertools.count()
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="balancer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(WAIT_S_MAX)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(WAIT_S_MAX)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S_MAX)
        self._loop.close()

    def add(self, port: int) -> None:
        """Send connections to the gateway at `port`; returns when it is ready."""
        with self._changed:
            self._ports.add(port)
            assert self._changed.wait_for(lambda: port in self._ready, WAIT_S_MAX)

    def wait_unready(self, port: int) -> None:
        """Return when no new connection goes to the gateway at `port`, and forget it."""
        with self._changed:
            assert self._changed.wait_for(lambda: port not in self._ready, WAIT_S_MAX)
            self._ports.discard(port)

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        self._tasks.add(asyncio.create_task(self._watch()))

    async def _stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            ready = [port for port in sorted(self._ports) if await _is_ready(port)]
            with self._changed:
                self._ready = ready
                self._changed.notify_all()
            await asyncio.sleep(POLL_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        ready = self._ready
        port = ready[next(self._turns) % len(ready)]
        there, back = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(_pipe(reader, back), _pipe(there, writer))
        finally:
            back.close()
            writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


async def _is_ready(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b" 200 " in await reader.readline()
    except OSError:
        return False
    finally:
        writer.close()
