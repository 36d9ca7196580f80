"""The events of a streamed call, for a `for` and for an `async for`."""

from typing import Self

from imagegate.client.course import Course
from imagegate.client.loop import await_run, run
from imagegate.client.results import CompletedEvent, ImageResponse, PartialImageEvent


class ImageStream:
    """Iterate over it, with `for` or `async for`, to get the events as they come.

    Each is a `PartialImageEvent` or, once an image is finished, a `CompletedEvent`. `response` is
    the whole call's result after the last event. Leaving early (`close`, `aclose`, the end of a
    `with`) ends the wait, not the purchase.
    """

    def __init__(self, course: Course) -> None:
        self._course = course
        self._events = course.events()
        self.response: ImageResponse | None = None

    @property
    def call_id(self) -> str:
        """The id of the call that runs now, or ran last; `""` before it was begun."""
        return self._course.call_id

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> PartialImageEvent | CompletedEvent:
        event = run(self._next())
        if event is None:
            raise StopIteration
        return event

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PartialImageEvent | CompletedEvent:
        event = await await_run(self._next())
        if event is None:
            raise StopAsyncIteration
        return event

    def close(self) -> None:
        """Stop listening."""
        run(self._close())

    async def aclose(self) -> None:
        """Stop listening."""
        await await_run(self._close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _next(self) -> PartialImageEvent | CompletedEvent | None:
        event = await anext(self._events, None)
        if isinstance(event, CompletedEvent):
            self.response = event.response
        return event

    async def _close(self) -> None:
        await self._events.aclose()
