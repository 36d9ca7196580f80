"""Drives an exchange: takes the adapter's commands, and has a conversation carry them out."""

from collections.abc import Callable, Generator
from typing import Protocol, TypeVar

from imagegate.errors import ImageError, UpstreamFailedError
from imagegate.types import PartialImage
from imagegate.wire.exchange import (
    Answer,
    Command,
    Emit,
    Event,
    NextEvent,
    Send,
    UpstreamRequest,
    UpstreamResponse,
    Wait,
)

COMMANDS_MAX = 100_000  # no upstream keeps us for longer than this many steps


Result = TypeVar("Result")


class Conversation(Protocol):
    """The far side of an exchange: live on a socket, or replayed from a log."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send a request and return its answer; raises an `ImageError` with its fault."""
        ...

    async def next_event(self) -> Event | None:
        """Return the next event of the open stream, or None at its end."""
        ...

    async def wait(self, seconds: float) -> None:
        """Let `seconds` pass, if anybody waits at all."""
        ...


async def run(
    exchange: Generator[Command, Answer, Result],
    conversation: Conversation,
    on_partial: Callable[[PartialImage], None],
) -> Result:
    """Run the exchange to its end and return its result.

    A transport fault is thrown into the generator where it waits; what it raises is raised here.
    """
    answer: Answer = None
    fault: ImageError | None = None
    for _ in range(COMMANDS_MAX):
        try:
            command = exchange.throw(fault) if fault else exchange.send(answer)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        try:
            answer, fault = await _carry_out(command, conversation, on_partial), None
        except ImageError as error:
            fault = error
    raise UpstreamFailedError(f"the upstream kept the exchange for {COMMANDS_MAX} steps")


async def _carry_out(
    command: Command, conversation: Conversation, on_partial: Callable[[PartialImage], None]
) -> Answer:
    match command:
        case Send(request):
            return await conversation.send(request)
        case NextEvent():
            return await conversation.next_event()
        case Wait(seconds):
            await conversation.wait(seconds)
        case Emit(partial):
            on_partial(partial)
    return None
