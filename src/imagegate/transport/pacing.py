"""Reads an answer's body in few large pieces, and in turn with the other large ones.

Small pieces cost the same as large ones, so a large body is left to gather in the kernel between
two reads; one that waits for its turn at the gate is not read at all.
"""

from typing import Self

import aiohttp

from imagegate import clock
from imagegate.transport.gate import BodyGate, Slot

PLAIN_BYTES = 64 * 1024  # a body up to here is read as it comes
ENOUGH_BYTES = 64 * 1024  # a piece of this size is worth its cost
GATHER_S = 0.002


class PacedBody:
    """The pieces of one body. `close` gives its place at the gate back."""

    def __init__(self, response: aiohttp.ClientResponse, gate: BodyGate) -> None:
        self._response = response
        self._gate = gate
        self._slot = Slot()
        self._size = 0
        self._last_bytes = ENOUGH_BYTES

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._size > PLAIN_BYTES:
            await self._gather()
        chunk = await self._response.content.readany()
        if not chunk:
            self.close()
            raise StopAsyncIteration
        self._size += len(chunk)
        self._last_bytes = len(chunk)
        self._slot.is_fresh = True
        return chunk

    def close(self) -> None:
        """Give the place at the gate back; calling it again does nothing."""
        self._gate.release(self._slot)

    async def _gather(self) -> None:
        """Leave the socket alone until it is our turn and the others have had theirs."""
        connection = self._response.connection
        protocol = connection.protocol if connection else None
        if protocol is None:
            return  # all of it has arrived
        protocol.pause_reading()
        try:
            if not self._slot.is_held:
                await self._gate.acquire(self._slot)
            # On a busy loop one round is long enough; on an idle one small pieces need a wait.
            await clock.sleep(GATHER_S if self._last_bytes < ENOUGH_BYTES else 0)
        finally:
            protocol.resume_reading()
