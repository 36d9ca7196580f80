"""Large bodies take turns, and none is lost, broken or left hanging by its wait."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from imagegate.transport.gate import BodyGate, Slot
from imagegate.transport.pacing import PIECE_BYTES, PLAIN_BYTES, PacedBody

BODY = bytes(range(256)) * 8192  # 2 MiB
SMALL = b"x" * PLAIN_BYTES

Scene = Callable[[aiohttp.ClientResponse, BodyGate], Awaitable[None]]


@asynccontextmanager
async def answering(body: bytes, *, promised: int | None = None) -> AsyncIterator[str]:
    """Serve `body` to every request; close after it where more was `promised` (bytes)."""
    length = len(body) if promised is None else promised
    head = b"HTTP/1.1 200 OK\r\n"
    head += b"Content-Length: %d\r\n\r\n" % length if length else b"Connection: close\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head + body)
            if length != len(body):
                break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def read(body: PacedBody) -> bytes:
    return b"".join([chunk async for chunk in body])


def play(scene: Scene, body: bytes, *, promised: int | None = None) -> None:
    async def run() -> None:
        gate = BodyGate(slots=1)
        async with answering(body, promised=promised) as url, aiohttp.ClientSession() as session:
            async with session.get(url) as response:
                await scene(response, gate)
            if promised is None:  # the connection is as good as before
                async with session.get(url) as again:
                    assert await read(PacedBody(again, gate)) == body
        assert gate.try_acquire(Slot())

    asyncio.run(run())


async def full(gate: BodyGate) -> Slot:
    slot = Slot()
    await gate.acquire(slot)
    return slot


async def waiting(body: PacedBody) -> "asyncio.Task[bytes]":
    """Return the reading of a body that has come as far as it gets without a turn."""
    task = asyncio.create_task(read(body))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()
    return task


@pytest.mark.parametrize("promised", [None, 0], ids=["known length", "until the end"])
def test_a_large_body_waits_for_its_turn_and_is_whole(promised: int | None) -> None:
    async def scene(response: aiohttp.ClientResponse, gate: BodyGate) -> None:
        other = await full(gate)
        task = await waiting(PacedBody(response, gate))
        gate.release(other)
        assert await task == BODY

    play(scene, BODY, promised=promised)


def test_a_small_body_needs_no_turn() -> None:
    async def scene(response: aiohttp.ClientResponse, gate: BodyGate) -> None:
        other = await full(gate)
        assert await read(PacedBody(response, gate)) == SMALL
        gate.release(other)

    play(scene, SMALL)


def test_a_body_that_breaks_off_while_it_waits_fails_at_its_turn() -> None:
    async def scene(response: aiohttp.ClientResponse, gate: BodyGate) -> None:
        other = await full(gate)
        body = PacedBody(response, gate)
        task = await waiting(body)
        gate.release(other)
        with pytest.raises(aiohttp.ClientPayloadError):
            await task
        body.close()

    play(scene, BODY, promised=len(BODY) + 1)


def test_a_connection_that_is_gone_before_its_turn_fails_without_a_wait() -> None:
    async def scene(response: aiohttp.ClientResponse, gate: BodyGate) -> None:
        other = await full(gate)
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
        with pytest.raises(aiohttp.ClientPayloadError):
            await read(PacedBody(response, gate))
        gate.release(other)

    play(scene, SMALL, promised=len(BODY))


def test_a_reader_who_gives_up_leaves_no_place_taken() -> None:
    async def scene(response: aiohttp.ClientResponse, gate: BodyGate) -> None:
        other = await full(gate)
        task = await waiting(PacedBody(response, gate))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        response.close()
        gate.release(other)

    play(scene, BODY)


def test_pieces_are_bounded() -> None:
    async def scene(response: aiohttp.ClientResponse, gate: BodyGate) -> None:
        sizes = [len(chunk) async for chunk in PacedBody(response, gate)]
        assert max(sizes) <= 2 * PIECE_BYTES + 256 * 1024  # one more read of the loop's

    play(scene, BODY)
