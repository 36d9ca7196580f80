"""An upstream without a network: it draws the prompt and answers as OpenAI would.

For trying things out and for users' own tests: the `sandbox` field of a request makes it slow or
makes it fail in each way that a real upstream can (`sandbox_orders.py` lists them). Nothing that
it makes was bought.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

import msgspec
from msgspec import Struct

from imagegate import clock
from imagegate.assets.blobs import body_bytes, body_chunks
from imagegate.assets.transform import Drawing, DrawRequest, InputImageError, Worker, WorkerError
from imagegate.transport.sandbox_answers import (
    FAILURES,
    Failure,
    events,
    headers,
    json_pieces,
    resolved_quality,
)
from imagegate.transport.sandbox_orders import Order, OrderError, parse_order
from imagegate.wire.exchange import UpstreamRequest

BODY_BYTES_MAX = 512 * 1024 * 1024
SILENCE_S_MAX = 3600.0
NOT_AN_IMAGE = b"The sandbox was told to answer with something that is not an image."


class SandboxAnswer(Struct, frozen=True):
    """Status, headers (names in lower case) and body; the body may break off with an `OSError`."""

    status: int
    headers: dict[str, str]
    chunks: AsyncIterator[bytes]


class SandboxUpstream:
    """The sandbox: a worker that draws, behind the face of an upstream. Call `aclose` when done."""

    def __init__(
        self,
        *,
        sleep: Callable[[float], Awaitable[None]] = clock.sleep,
        now_s: Callable[[], float] = clock.now_s,
    ) -> None:
        self._sleep = sleep
        self._now_s = now_s
        self._worker = Worker()

    async def send(self, request: UpstreamRequest) -> SandboxAnswer:
        """Answer one request. A body that was told to break raises from its iterator."""
        try:
            order = parse_order(_body_of(request))
            return await self._fill(order, _event_prefix(request.url))
        except OrderError as error:
            refusal = Failure.of_request(error.message, param=error.param, code=error.code)
        except InputImageError as error:
            refusal = Failure.of_input(str(error))
        except WorkerError as error:
            refusal = Failure.of_server(str(error))
        return _refuse(refusal)

    async def aclose(self) -> None:
        """End the worker."""
        await self._worker.aclose()

    async def _fill(self, order: Order, prefix: str) -> SandboxAnswer:
        delay_s, fail = order.sandbox.delay_s, order.sandbox.fail
        if fail in FAILURES or not order.stream:
            await self._pause(SILENCE_S_MAX if fail == "timeout" else delay_s)
            delay_s = 0.0
        if fail in FAILURES:
            return _refuse(FAILURES[fail])
        drawings = await self._draw_all(order)
        created = int(self._now_s())
        kind = "text/event-stream" if order.stream else "application/json"
        frames = (
            events(order, drawings, created, prefix)
            if order.stream
            else iter([json_pieces(order, drawings, created)])
        )
        chunks = self._paced(_spoiled(list(frames), fail), delay_s, is_dropped=fail == "drop")
        return SandboxAnswer(200, headers(order, kind), chunks)

    async def _pause(self, seconds: float) -> None:
        if seconds:
            await self._sleep(seconds)

    async def _draw_all(self, order: Order) -> list[Drawing]:
        if order.sandbox.fail == "empty":
            return []
        drawings = [await self._worker.draw(request) for request in _draw_requests(order)]
        if order.sandbox.fail == "invalid_image":
            return [msgspec.structs.replace(drawing, image=NOT_AN_IMAGE) for drawing in drawings]
        return drawings

    async def _paced(
        self, frames: Sequence[Iterator[bytes]], delay_s: float, *, is_dropped: bool
    ) -> AsyncIterator[bytes]:
        """Yield the frames, the delay spread over them as a real stream would."""
        for frame in frames:
            await self._pause(delay_s / len(frames))
            for piece in frame:
                yield piece
        if is_dropped:
            raise ConnectionResetError("the sandbox was told to drop the connection")


def _body_of(request: UpstreamRequest) -> bytes:
    if body_bytes(request.body) > BODY_BYTES_MAX:
        raise OrderError(f"The request is larger than {BODY_BYTES_MAX} bytes.")
    return b"".join(body_chunks(request.body))


def _event_prefix(url: str) -> str:
    return "image_edit" if url.endswith("/edits") else "image_generation"


def _refuse(failure: Failure) -> SandboxAnswer:
    head = {"content-type": "application/json", **failure.headers}
    return SandboxAnswer(failure.status, head, _one(failure.body))


async def _one(chunk: bytes) -> AsyncIterator[bytes]:
    yield chunk


def _spoiled(frames: list[Iterator[bytes]], fail: str | None) -> list[Iterator[bytes]]:
    """Return the frames without the end that the failure takes away."""
    match fail:
        case "cut_stream":
            return frames[:-1]
        case "half_body" | "drop":
            whole = b"".join(frames[-1])
            return [*frames[:-1], iter([whole[: len(whole) // 2]])]
        case _:
            return frames


def _draw_requests(order: Order) -> list[DrawRequest]:
    width, height = order.pixels
    request = DrawRequest(
        prompt=order.prompt,
        model=order.model,
        width_px=width,
        height_px=height,
        quality=resolved_quality(order),
        background=order.background,
        output_format=order.output_format,
        compression=order.output_compression,
        count=order.n,
        partial_count=order.partial_images if order.stream else 0,
        frame_count=order.frame_count,
        frame_duration_ms=order.frame_duration_ms,
        images=tuple(image.read() for image in order.images),
        mask=order.mask.read() if order.mask else None,
    )
    return [msgspec.structs.replace(request, index=index) for index in range(order.n)]
