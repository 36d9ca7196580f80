"""Answers that come later: the 202 of a call, its progress as events, and taking it back."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from imagegate import clock
from imagegate.assets.spool import body_chunks
from imagegate.attach import ledger_away
from imagegate.call_fields import CALLS_PATH, call_fields
from imagegate.errors import BadRequestError, ImageError
from imagegate.gateway.calls import POLL_AFTER_S, find_call
from imagegate.gateway.channel import Channel
from imagegate.gateway.errors import JSON_TYPE, error_extra
from imagegate.gateway.prefer import Preference
from imagegate.gateway.waiting import POLL_S, wait_ended
from imagegate.ledger import Ledger
from imagegate.ledger.records import LedgerError
from imagegate.running import Work
from imagegate.runtime.assemble import Runtime
from imagegate.runtime.snapshot import Snapshot
from imagegate.stored import StoredCall, error_of, read_stored
from imagegate.types import Json
from imagegate.wire.openai_calls import KEEPALIVE, build_partial_event, error_fields

if TYPE_CHECKING:
    from imagegate.gateway.app import Gateway

KEEPALIVE_S = 15.0
WATCH_S_MAX = 3600.0
CANCEL_S_MAX = 30.0


async def send_accepted(
    channel: Channel, snapshot: Snapshot, call_id: str, preference: Preference
) -> None:
    """Tell a caller that its call is under way, and where it will find the answer."""
    fields: dict[str, Json] = {"id": call_id, "object": "image.call", "state": "running"}
    with suppress(ImageError):  # it is under way, whatever the ledger can tell of it now
        stored = await _read(snapshot.tools.ledger, call_id)
        fields = call_fields(stored, snapshot.pipeline.desk.works.get(call_id))
    head = [
        JSON_TYPE,
        (b"location", f"{CALLS_PATH}{call_id}".encode()),
        (b"retry-after", b"%d" % POLL_AFTER_S),
        (b"x-imagegate-call-id", call_id.encode()),
        (b"x-litellm-call-id", call_id.encode()),
        *preference.applied,
    ]
    await channel.send_whole(202, head, msgspec.json.encode(fields))


async def get_events(request: Request) -> Response:
    """Return a call as events: its state, partial images if there are any, and how it ended."""
    stored = await find_call(request, request.path_params["id"])
    work = request.app.state.gateway.runtime.pipeline.desk.works.get(stored.call.id)
    if work is not None:
        work.check_watchers()  # as long as there is a status to say it by
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    events = _events(request.app.state.gateway, stored)
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def cancel_call(request: Request) -> Response:
    """Take a call back that was not sent yet. Raises a 409 that says why it is too late."""
    runtime: Runtime = request.app.state.gateway.runtime
    stored = await find_call(request, request.path_params["id"])
    call_id, state = stored.call.id, stored.call.state
    work = runtime.pipeline.desk.works.get(call_id)
    if state != "running":
        raise _too_late(call_id, f"It has ended ({state})")
    if work is None:
        raise _too_late(call_id, "It is in the hands of another process of this gateway")
    if work.has_ended or not work.dispatch.cancel():
        raise _too_late(call_id, "It was sent, and what was sent is bought and kept")
    await wait_ended(request.app.state.gateway, call_id, CANCEL_S_MAX)
    return JSONResponse(call_fields(await _read(runtime.tools.ledger, call_id)))


async def _events(gateway: "Gateway", stored: StoredCall) -> AsyncIterator[bytes]:
    """Yield frames until the call has ended, wherever it runs."""
    runtime = gateway.runtime
    work = runtime.pipeline.desk.works.get(stored.call.id)
    if stored.call.state == "running":
        frames = _watch(runtime, stored, work) if work else _follow(gateway, stored)
        async for frame in frames:
            yield frame
        stored = await _read(runtime.tools.ledger, stored.call.id)
    yield _closing_event(runtime, stored)


async def _watch(runtime: Runtime, stored: StoredCall, work: Work) -> AsyncIterator[bytes]:
    """Yield the state of a call of this process, and what changes in it until its end."""
    watcher, was_sent = work.watch(), work.dispatch.is_sent
    try:
        yield _state_event(stored, work)
        while True:
            partial = await watcher.next_partial(KEEPALIVE_S)
            if partial is not None:
                frame = build_partial_event(work.call, partial, created=int(clock.now_s()))
                for chunk in body_chunks(frame):
                    yield chunk
            elif watcher.has_ended:
                return
            elif work.dispatch.is_sent != was_sent:
                was_sent = work.dispatch.is_sent
                yield _state_event(await _read(runtime.tools.ledger, work.id), work)
            else:
                yield KEEPALIVE
    finally:
        watcher.release()


async def _follow(gateway: "Gateway", stored: StoredCall) -> AsyncIterator[bytes]:
    """Yield the state of a call of another process, and signs of life until it, or we, end."""
    yield _state_event(stored, None)
    speak_at_s = clock.monotonic_s() + KEEPALIVE_S
    give_up_at_s = clock.monotonic_s() + WATCH_S_MAX
    while (await _read(gateway.runtime.tools.ledger, stored.call.id)).call.state == "running":
        await clock.sleep(POLL_S)
        now_s = clock.monotonic_s()
        if gateway.traffic.stage == "draining" or now_s >= give_up_at_s:
            return
        if now_s >= speak_at_s:
            speak_at_s = now_s + KEEPALIVE_S
            yield KEEPALIVE


async def _read(ledger: Ledger, call_id: str) -> StoredCall:
    try:
        call = await ledger.get_call(call_id)
        assert call is not None, "rows of calls stay"
        return await read_stored(ledger, call)
    except LedgerError as error:
        raise ledger_away(error) from error


def _state_event(stored: StoredCall, work: Work | None) -> bytes:
    return _frame(stored, call_fields(stored, work))


def _closing_event(runtime: Runtime, stored: StoredCall) -> bytes:
    error = None if stored.call.state == "running" else error_of(stored)
    docs_url = runtime.settings.server.docs_url
    told = error_fields(error, error_extra(error, docs_url)) if error else {}
    return _frame(stored, call_fields(stored) | told)


def _frame(stored: StoredCall, fields: dict[str, Json]) -> bytes:
    name = f"image.call.{stored.call.state}"
    data = msgspec.json.encode({"type": name, **fields})
    return f"event: {name}\ndata: ".encode() + data + b"\n\n"


def _too_late(call_id: str, reason: str) -> ImageError:
    error = BadRequestError(
        f"The call is not taken back. {reason}: see {CALLS_PATH}{call_id} for what comes of it.",
        code="call_not_cancellable",
        http_status=409,
    )
    error.call_id = call_id
    return error
