"""`POST /v1/responses`: the answer as it came, whole or as it comes; and why there is no GET."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from imagegate.errors import ImageError, NotFoundError
from imagegate.gateway.answer import send_answer
from imagegate.gateway.channel import Channel
from imagegate.gateway.errors import error_extra
from imagegate.gateway.events import EventStream
from imagegate.running import RunningCall
from imagegate.types import Blob, PartialImage
from imagegate.wire.json_body import build_json
from imagegate.wire.openai_calls import build_error_event
from imagegate.wire.responses import ANSWER


async def send_response(channel: Channel, running: RunningCall) -> bool:
    """Send the answer of a relayed call; return whether the caller took it to its end.

    Raises the call's `ImageError` as long as no head went out.
    """
    if running.call.stream:
        return await _send_stream(channel, running)
    outcome = await running.wait()
    body = build_json(outcome.result.extra.get(ANSWER, {}))
    return await send_answer(channel, running, outcome, body)


async def refuse_get(request: Request) -> Response:
    """Say why a response cannot be fetched again: its words are passed on, and never kept."""
    raise NotFoundError(
        f"The response {request.path_params['id'][:100]!r} was told once, in the answer to its "
        "POST; its words are not kept here. What it cost, and its images: GET "
        "/v1/images/calls/{id} with the id of the answer's x-imagegate-call-id. Where the request "
        "had store: true, the provider has it, for its own key.",
        param="id",
        code="response_not_kept",
    )


async def _send_stream(channel: Channel, running: RunningCall) -> bool:
    stream = _Relay(channel, running)
    if not await stream.send_partials():
        return False
    try:
        outcome = await running.wait()
    except ImageError as error:
        if not channel.is_head_sent:
            raise
        told = build_error_event(error, error_extra(error, channel.docs_url))
        return await stream.send((told,), more=False)
    if ANSWER in outcome.result.extra:  # asked for events, it answered with JSON
        body = build_json(outcome.result.extra[ANSWER])
        return await send_answer(channel, running, outcome, body)
    return await stream.send_rest()


class _Relay(EventStream):
    """Passes on the upstream's own bytes, as far as they have come."""

    _sent_bytes = 0
    _newest: Blob | None = None

    async def send_partial(self, partial: PartialImage) -> None:
        """Send what has come since the last time."""
        self._newest = partial.blob
        await self._send_up_to(partial.blob, more=True)

    async def send_rest(self) -> bool:
        """Send the end of the stream."""
        if self._newest is None:
            return await self.send((), more=False)
        source = self._newest.source
        size = getattr(source, "size", self._newest.length)
        whole = msgspec.structs.replace(self._newest, length=size)
        return await self._send_up_to(whole, more=False)

    async def _send_up_to(self, blob: Blob, *, more: bool) -> bool:
        fresh = msgspec.structs.replace(
            blob, offset=self._sent_bytes, length=max(0, blob.length - self._sent_bytes)
        )
        self._sent_bytes = max(self._sent_bytes, blob.length)
        return await self.send((fresh,), more=more)
