"""Reads an answer's body; a large one waits for its turn among the others.

A body that waits is not read at all: what comes of it stays with the kernel, and then with the
upstream. One that has its turn is read in large pieces, because small ones cost as much each.
Pausing between two pieces, so that they gather in the kernel, was tried: with equal buffers it took
up to 5 % more CPU for plain answers and 5 to 16 % more for event streams.
"""

from typing import Self

import aiohttp

from imagegate.transport.gate import BodyGate, Slot

PLAIN_BYTES = 64 * 1024  # a body up to here needs no turn
PIECE_BYTES = 128 * 1024  # aiohttp buffers up to twice as much


class PacedBody(Slot):
    """The pieces of one body. `close` gives its place at the gate back.

    `announced_bytes` is None where its length was not said.
    """

    def __init__(self, response: aiohttp.ClientResponse, gate: BodyGate) -> None:
        super().__init__()
        self._response = response
        self._gate = gate
        self.announced_bytes = response.content_length
        self._is_large = (self.announced_bytes or 0) > PLAIN_BYTES
        self._size = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._is_large and not self.is_held:
            await self._enter()
        chunk = await self._response.content.readany()
        if not chunk:
            self.close()
            raise StopAsyncIteration
        self._size += len(chunk)
        self._is_large = self._is_large or self._size > PLAIN_BYTES
        self.is_fresh = True
        return chunk

    async def whole(self) -> bytes:
        """Return all of a body that needs no turn."""
        content = self._response.content
        return content.read_nowait() if content.is_eof() else await content.read()

    def close(self) -> None:
        """Give the place at the gate back; calling it again does nothing."""
        self._gate.release(self)

    async def _enter(self) -> None:
        """Take a place at the gate, and leave the socket alone until there is one."""
        if not self._gate.try_acquire(self):
            connection = self._response.connection
            if connection is None or connection.transport is None:
                return  # all that will ever come has arrived
            assert connection.protocol is not None
            connection.protocol.pause_reading()
            try:
                await self._gate.acquire(self)
            finally:
                connection.protocol.resume_reading()
        self._response.content.set_read_chunk_size(PIECE_BYTES)
