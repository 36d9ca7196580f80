"""Streamed calls: events by `for` and by `async for`, with OpenAI's attributes."""

import asyncio

import pytest

from imagegate import AsyncClient, Client, CompletedEvent, ImageError, PartialImageEvent
from tests.upstream import FakeUpstream


def test_partial_images_then_the_completed_one(upstream: FakeUpstream, client: Client) -> None:
    stream = client.image_generation("a red circle", stream=True, partial_images=2)
    events = list(stream)
    *partials, last = events
    assert isinstance(last, CompletedEvent)
    assert last.type == "image_generation.completed"
    assert last.usage is not None
    assert last.b64_json == stream.response.data[0].b64_json  # type: ignore[union-attr]
    for event in partials:
        assert isinstance(event, PartialImageEvent)
        assert event.type == "image_generation.partial_image"
        assert event.b64_json
        assert event["partial_image_index"] in (0, 1)


def test_a_model_that_does_not_stream_gives_a_completed_event(
    upstream: FakeUpstream, client: Client
) -> None:
    stream = client.image_generation("a red circle", model="dall-e-2", stream=True)
    assert [event.type for event in stream] == ["image_generation.completed"]


def test_the_async_twin(upstream: FakeUpstream) -> None:
    async def follow() -> list[str]:
        async with AsyncClient(model="gpt-image-2", api_base=upstream.v1, api_key="k") as client:
            stream = await client.image_generation("a red circle", stream=True)
            return [event.type async for event in stream]

    assert asyncio.run(follow())[-1] == "image_generation.completed"


def test_an_error_in_the_stream_is_raised(upstream: FakeUpstream, client: Client) -> None:
    upstream.reply("cut_stream")
    with pytest.raises(ImageError) as raised:
        list(client.image_generation("a red circle", stream=True, partial_images=1))
    assert raised.value.fault == "ambiguous"


def test_leaving_early_is_no_error(upstream: FakeUpstream, client: Client) -> None:
    with client.image_generation("a red circle", stream=True, partial_images=2) as stream:
        next(stream)
    assert stream.call_id
