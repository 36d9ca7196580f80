"""Watch an image in the making, with `for` and with `async for`.

Runs without a key on the sandbox; set IMAGEGATE_MODEL=openai/gpt-image-2 for a real one.
"""

import asyncio
import os

from imagegate import CompletedEvent, PartialImageEvent, aimage_generation, image_generation

MODEL = os.environ.get("IMAGEGATE_MODEL", "sandbox/gpt-image-2")


def show(event: PartialImageEvent | CompletedEvent, name: str) -> None:
    """Save what an event brings."""
    if isinstance(event, PartialImageEvent):
        print("preview", event.partial_image_index, event.image.save(f"{name}-preview"))
    else:
        print("done", event.image.save(name), "cost", event.response.cost_usd, "USD")


async def main() -> None:
    """Stream one image from async code."""
    stream = await aimage_generation("a harbour", model=MODEL, stream=True, partial_images=2)
    async for event in stream:
        show(event, "harbour")


for each in image_generation("a lighthouse", model=MODEL, stream=True, partial_images=2):
    show(each, "lighthouse")
asyncio.run(main())
