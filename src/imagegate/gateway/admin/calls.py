"""`/admin/calls`: what was called, by whom, and what it cost."""

import json
from typing import get_args

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imagegate.call_fields import verdict_fields
from imagegate.errors import BadRequestError, NotFoundError
from imagegate.gateway.admin.desk import Desk, page, usd
from imagegate.gateway.admin.table import Page, csv_response
from imagegate.ledger.records import AttemptRecord, CallState
from imagegate.ledger.reports import CallRow, CallsQuestion
from imagegate.types import Json

COLUMNS = (
    "id",
    "operation",
    "model",
    "state",
    "key_id",
    "team_id",
    "end_user",
    "created_at",
    "finished_at",
    "cost_usd",
    "error_code",
)
_STATES: tuple[CallState, ...] = get_args(CallState)


async def list_calls(request: Request) -> Response:
    """Return calls that the caller may see, the newest first; as CSV all of them."""
    desk = Desk(request)
    question = _question(desk)
    if desk.text("format") == "csv":

        async def fetch(cursor: str) -> Page:
            found = await _fetch(desk, msgspec.structs.replace(question, before=cursor))
            return [plain(row) for row in found], _next(found, question.limit)

        return csv_response("calls", COLUMNS, fetch)
    found = await _fetch(desk, question)
    return page([plain(row) for row in found], question.limit, _next(found, question.limit))


async def get_call(request: Request) -> Response:
    """Return one call with its attempts."""
    desk = Desk(request)
    row = await desk.reports.call(desk.id, desk.scope)
    if row is None:
        raise NotFoundError(f"There is no call {desk.id!r}.", code="call_not_found")
    attempts = [_plain_attempt(attempt) for attempt in row.attempts]
    said = await desk.runtime.tools.ledger.verdicts_of(row.call.id)
    more = {
        "prompt": row.call.prompt or None,
        "attempts": attempts,
        "guardrails": verdict_fields(said),
    }
    return JSONResponse(plain(row) | more)


async def _fetch(desk: Desk, question: CallsQuestion) -> tuple[CallRow, ...]:
    return await desk.reports.calls(question, desk.scope)


def _next(found: tuple[CallRow, ...], limit: int) -> str:
    return found[-1].call.id if len(found) == limit else ""


def _question(desk: Desk) -> CallsQuestion:
    state = desk.text("state")
    if state and state not in _STATES:
        raise BadRequestError(f"state is one of {', '.join(_STATES)}.", param="state")
    return CallsQuestion(
        state=next((one for one in _STATES if one == state), None),
        key_id=desk.text("key"),
        team_id=desk.text("team"),
        end_user=desk.text("end_user"),
        before=desk.text("after"),
        limit=desk.limit,
    )


def plain(row: CallRow) -> dict[str, Json]:
    """Return a call as JSON; `cost_usd` is null while it is unknown."""
    call = row.call
    return {
        "object": "call",
        "id": call.id,
        "operation": call.operation,
        "model": call.model,
        "state": call.state,
        "key_id": call.key_id,
        "team_id": call.team_id,
        "end_user": call.end_user,
        "tags": json.loads(call.tags),
        "created_at": call.created_at,
        "finished_at": call.finished_at,
        "cost_usd": usd(row.cost_e10),
        "error_code": call.error_code,
    }


def _plain_attempt(attempt: AttemptRecord) -> Json:
    return {
        "id": attempt.id,
        "number": attempt.number,
        "deployment": attempt.deployment_id,
        "provider": attempt.provider,
        "model": attempt.upstream_model,
        "state": attempt.state,
        "cost_usd": usd(attempt.cost_e10),
        "reserved_usd": usd(attempt.estimate_e10),
        "usage": json.loads(attempt.usage) if attempt.usage else None,
        "price": json.loads(attempt.price),
        "error_code": attempt.error_code,
        "upstream_request_id": attempt.upstream_request_id,
    }
