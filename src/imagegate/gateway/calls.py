"""`GET /v1/images/calls[/{id}[/images/{index}]]`: what became of a call, and its images.

An image that its caller never got is fetched here.
"""

from collections.abc import AsyncIterator, Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from imagegate import clock
from imagegate.assets.spool import body_bytes, body_chunks
from imagegate.attach import ledger_away
from imagegate.call_fields import call_fields, summary_fields
from imagegate.errors import BadRequestError, NotFoundError
from imagegate.fingerprint import asked_for
from imagegate.gateway.assets import send_asset
from imagegate.gateway.errors import docs_url_of, error_extra
from imagegate.gateway.prefer import read_preference
from imagegate.gateway.waiting import wait_ended
from imagegate.gateway.webhooks import webhook_fields
from imagegate.ledger.people import Account
from imagegate.ledger.records import LAST_ID, CallRecord, CallState, LedgerError
from imagegate.linker import Linker
from imagegate.running import Outcome
from imagegate.runtime.assemble import Runtime
from imagegate.stored import Opened, StoredCall, open_stored, read_stored
from imagegate.types import Body, ImageCall, Json
from imagegate.wire.json_body import build_json
from imagegate.wire.openai_answers import answer_fields
from imagegate.wire.openai_calls import error_fields

STATES: tuple[CallState, ...] = ("running", "done", "failed", "unknown")
PAGE_CALLS = 20
PAGE_CALLS_MAX = 100
IMAGE_AGE_S = 3600
POLL_AFTER_S = 2
"""When one who asks for a running call is told to ask again."""


async def list_calls(request: Request) -> Response:
    """Return calls, the newest first: `limit` of them, before the id `before`, in `state`."""
    runtime = _runtime(request)
    query = request.query_params
    limit = _limit(query.get("limit", str(PAGE_CALLS)))
    states = _states(query.get("state"))
    before = query.get("before", LAST_ID)
    try:
        ledger = runtime.tools.ledger
        found = await ledger.newest_calls(states=states, before=before, limit=limit + 1)
        stored = [await read_stored(ledger, call) for call in found[:limit]]
    except LedgerError as error:
        raise ledger_away(error) from error
    rows = [summary_fields(one) for one in stored]
    return JSONResponse({"object": "list", "data": rows, "has_more": len(found) > limit})


async def get_call(request: Request) -> Response:
    """Return one call with its attempts, and how it ended: `result` in OpenAI's shape, or `error`.

    `result=false` leaves the images out; `Prefer: wait=20` waits for the end. Raises
    `NotFoundError`.
    """
    runtime = _runtime(request)
    stored = await _find_ended(request)
    fields = call_fields(stored, runtime.pipeline.desk.works.get(stored.call.id))
    is_relayed = stored.call.operation == "responses"  # its words are not kept
    wants_none = request.query_params.get("result") == "false"
    if runtime.courier is not None and runtime.courier.settings.is_on:
        told = await runtime.courier.of_call(stored.call.id)
        fields["webhooks"] = [webhook_fields(one) for one in told]
    if stored.call.state == "running":
        return JSONResponse(fields, headers={"retry-after": str(POLL_AFTER_S)})
    if is_relayed or wants_none:
        return JSONResponse(fields)
    asked = ImageCall(id=stored.call.id, operation=stored.call.operation, model=stored.call.model)
    opened = await open_stored(stored, runtime.tools.ledger, runtime.tools.store, asked)
    body = build_json(fields | _end(request, stored, opened))
    return _send(body, opened, partial(_hand_over, request, stored.call, opened))


async def get_image(request: Request) -> Response:
    """Return one image of a call, whole or a range of it; `index` counts from 0."""
    stored = await find_call(request, request.path_params["id"])
    index = request.path_params["index"].partition(".")[0]
    if not index.isdecimal() or int(index) >= len(stored.assets):
        raise NotFoundError(
            f"The call {stored.call.id} is {stored.call.state} and has {len(stored.assets)} kept "
            "images; their index counts from 0.",
            code="image_not_found",
        )
    return await send_asset(request, stored.assets[int(index)], IMAGE_AGE_S)


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.gateway.runtime
    return runtime


async def _find_ended(request: Request) -> StoredCall:
    """Return a call, as far as its caller waits when it has ended."""
    call_id = request.path_params["id"]
    stored = await find_call(request, call_id)
    preference = read_preference(request.scope, dict(request.headers.raw))
    if stored.call.state != "running" or preference is None or not preference.wait_s:
        return stored
    try:
        await wait_ended(request.app.state.gateway, call_id, preference.wait_s)
    except LedgerError as error:
        raise ledger_away(error) from error
    return await find_call(request, call_id)


async def find_call(request: Request, call_id: str) -> StoredCall:
    """Return a call that the caller may see. Raises `NotFoundError` for every other."""
    ledger = _runtime(request).tools.ledger
    try:
        call = await ledger.get_call(call_id)
        if call is not None and _may_see(request.state.account, call):
            return await read_stored(ledger, call)
    except LedgerError as error:
        raise ledger_away(error) from error
    raise NotFoundError(f"There is no call {call_id[:100]!r} here.", code="call_not_found")


def _may_see(account: Account, call: CallRecord) -> bool:
    """Return whether a call is the caller's own, or the team's; the operator sees all."""
    if account.role == "admin":
        return True
    is_of_team = account.team_id is not None and account.team_id == call.team_id
    return is_of_team or (account.key_id is not None and account.key_id == call.key_id)


def _end(request: Request, stored: StoredCall, opened: Opened) -> dict[str, Json]:
    end = opened.end
    if not isinstance(end, Outcome):
        return error_fields(end, error_extra(end, docs_url_of(request)))
    result = end.result
    links, settings = _runtime(request).tools.links, _runtime(request).settings
    if links and _asked_for_urls(stored.call):
        base_url = settings.server.public_url or str(request.base_url)
        result = Linker(links, base_url, settings.assets.url_s).with_urls(end, clock.now_s())
    return {"result": answer_fields(result, created=int(stored.call.created_at))}


def _asked_for_urls(call: CallRecord) -> bool:
    return call.fingerprint is not None and asked_for(call.fingerprint, "response_format", "url")


def _hand_over(request: Request, call: CallRecord, opened: Opened) -> None:
    """Note that the key which made the call has its images; anybody else may only have looked."""
    is_own = call.key_id is not None and call.key_id == request.state.account.key_id
    if is_own and call.delivered_at is None and isinstance(opened.end, Outcome):
        _runtime(request).pipeline.desk.hand_over(call.id, call.fingerprint or "")


def _send(body: Body, opened: Opened, sent: Callable[[], None]) -> Response:
    headers = {"content-length": str(body_bytes(body)), "content-type": "application/json"}
    return StreamingResponse(_chunks(body, opened, sent), headers=headers)


async def _chunks(body: Body, opened: Opened, sent: Callable[[], None]) -> AsyncIterator[bytes]:
    try:
        for chunk in body_chunks(body):
            yield chunk
        sent()
    finally:
        opened.close()


def _limit(text: str) -> int:
    if text.isdecimal() and 1 <= int(text[:9]) <= PAGE_CALLS_MAX:
        return int(text)
    raise BadRequestError(f"limit takes 1 to {PAGE_CALLS_MAX}.", param="limit")


def _states(text: str | None) -> tuple[CallState, ...]:
    found = tuple(state for state in STATES if text is None or state == text)
    if not found:
        raise BadRequestError(f"state is one of {', '.join(STATES)}.", param="state")
    return found
