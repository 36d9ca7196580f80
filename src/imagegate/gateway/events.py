"""`stream: true`: a call as OpenAI's event stream, whether or not its model can stream."""

from imagegate import clock
from imagegate.assets.spool import body_chunks
from imagegate.errors import ImageError
from imagegate.gateway.answer import adjustment_list, cost_text, verdict_list
from imagegate.gateway.channel import Channel, Headers
from imagegate.gateway.errors import error_extra
from imagegate.running import Outcome, RunningCall
from imagegate.types import Body, Json, PartialImage
from imagegate.wire.openai_calls import (
    KEEPALIVE,
    build_completed_events,
    build_error_event,
    build_partial_event,
)

HEAD_AFTER_S = 10.0  # until then a failure still has a status of its own
KEEPALIVE_S = 15.0  # proxies cut connections that are silent for longer


async def send_events(channel: Channel, running: RunningCall, *, echo_quality: bool) -> bool:
    """Send partial images as they come and one completed event an image.

    Return whether the caller was there to take the last one. Raises the call's `ImageError` as
    long as no head went out; later it goes out as an `error` event.
    """
    stream = EventStream(channel, running)
    if not await stream.send_partials():
        return False
    try:
        outcome = await running.wait()
    except ImageError as error:
        if not channel.is_head_sent:
            raise
        told = build_error_event(error, error_extra(error, channel.docs_url))
        return await stream.send((told,), more=False)
    return await stream.send_completed(outcome, echo_quality=echo_quality)


class EventStream:
    """The events of one answer; its head goes out with the first of them."""

    def __init__(self, channel: Channel, running: RunningCall) -> None:
        self._channel = channel
        self._running = running
        self._speak_at_s = clock.monotonic_s() + HEAD_AFTER_S

    async def send_partials(self) -> bool:
        """Send partial images until the call has ended; return whether the caller stayed."""
        running = self._running
        while not running.has_hung_up:
            partial = await running.next_partial(self._speak_at_s - clock.monotonic_s())
            if partial is not None:
                await self.send_partial(partial)
            elif running.has_ended:
                return True
            elif clock.monotonic_s() >= self._speak_at_s:
                await self.send((KEEPALIVE,), more=True)
        return False

    async def send_partial(self, partial: PartialImage) -> None:
        """Send one partial image."""
        created = int(clock.now_s())
        await self.send(
            build_partial_event(self._running.call, partial, created=created), more=True
        )

    async def send_completed(self, outcome: Outcome, *, echo_quality: bool) -> bool:
        """Send one completed event an image and end the stream."""
        events = build_completed_events(
            self._running.call,
            outcome.result,
            created=int(clock.now_s()),
            extra={"imagegate": _account(self._running, outcome)},
            echo_quality=echo_quality,
        )
        for event in events[:-1]:
            if not await self.send(event, more=True):
                return False
        return await self.send(events[-1], more=False)

    async def send(self, body: Body, *, more: bool) -> bool:
        """Send a piece of the stream, the head before the first; return whether it was taken."""
        if not self._channel.is_head_sent:
            await self._channel.send_head(200, _stream_headers(self._running))
        is_taken = await self._channel.send_chunks(body_chunks(body), more=more)
        self._speak_at_s = clock.monotonic_s() + KEEPALIVE_S
        return is_taken


def _account(running: RunningCall, outcome: Outcome) -> dict[str, Json]:
    """Return what the headers of a plain answer say; a stream's head is sent too early for it."""
    return {
        "call_id": running.id,
        "cost": cost_text(outcome),
        "attempts": outcome.attempts,
        "adjustments": adjustment_list(outcome.adjustments),
        "warnings": list(outcome.warnings),
        "guardrails": verdict_list(outcome),
    }


def _stream_headers(running: RunningCall) -> Headers:
    call_id = running.id.encode()
    return [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
        (b"x-imagegate-call-id", call_id),
        (b"x-litellm-call-id", call_id),
    ]
