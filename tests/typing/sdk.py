"""Read by mypy strict and pyright strict, never run: what the SDK's calls return."""

from collections.abc import Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Any, assert_type

from imagegate import (
    AsyncClient,
    Client,
    ImageResponse,
    ImageStream,
    aimage_generation,
    image_edit,
    image_generation,
    image_variation,
)

assert_type(image_generation("a", model="gpt-image-2", n=1, seed=7), ImageResponse)
assert_type(image_generation("a", "my-group", stream=True), ImageStream)
assert_type(image_edit(Path("a.png"), "b", mask=b"..."), ImageResponse)
assert_type(image_edit(["a.png", ("b.png", b"...", "image/png")], "b"), ImageResponse)
assert_type(image_variation("a.png", n=2), ImageResponse)
assert_type(Client().image_edit("a.png", "b", stream=True), ImageStream)
image_generation(7)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
image_generation("a", n="2")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def follow() -> None:
    """Async calls and their events."""
    coroutine = assert_type(AsyncClient().image_generation("a"), Coroutine[Any, Any, ImageResponse])
    assert_type(await coroutine, ImageResponse)
    response = await aimage_generation("a")
    assert_type(response.cost_usd, Decimal | None)
    assert_type(response.images[0].save("a.png"), Path)
    assert_type(response.data[0].b64_json, str)
    async for event in await aimage_generation("a", stream=True):
        assert_type(event.b64_json, str)
