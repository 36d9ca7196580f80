"""`POST /v1/diagnose`: whose an error is to fix, from any surface; nothing is sent anywhere.

Of a call that this gateway made, its own stored attempts are read.
"""

import json

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imagegate.diagnosis.explain import explain
from imagegate.diagnosis.observation import Observation
from imagegate.diagnosis.our_errors import day_of, finding_for_caller, today_of
from imagegate.diagnosis.paste import keep_scalars, parse_paste
from imagegate.errors import AttemptReport, BadRequestError, Finding, ImageError
from imagegate.fan_out import gravest
from imagegate.gateway.body import BodyReader
from imagegate.gateway.calls import find_call
from imagegate.gateway.connection import connection_of
from imagegate.gateway.errors import doc_url, docs_url_of
from imagegate.stored import failures_of
from imagegate.types import Json

BODY_BYTES_MAX = 1 << 20


class Failure(Struct, frozen=True, forbid_unknown_fields=True):
    """One failed request, as a caller tells it: `text` as it would be pasted, or its parts.

    `call_id` names a call of this gateway instead, whose attempts are stored here.
    `body` is the answer's, as text or JSON; `sent` the request's fields, of which names and scalars
    are looked at; `provider` the surface, where it is known; `elapsed_s` is in seconds.
    """

    call_id: str = ""
    text: str = ""
    status: int = 0
    headers: dict[str, str] = {}
    body: Json = ""
    url: str = ""
    elapsed_s: float | None = None
    client: str = ""
    sent: dict[str, Json] = {}
    exception: str = ""
    provider: str = ""


async def diagnose(request: Request) -> Response:
    """Return the finding on a pasted text (`text/plain`) or a `Failure` (JSON)."""
    body = await _read_body(request)
    is_text = request.headers.get("content-type", "").startswith("text/plain")
    failure = Failure(text=body.decode("utf-8", "replace")) if is_text else _parse_failure(body)
    if failure.call_id:
        return JSONResponse(await _explain_call(request, failure.call_id))
    return JSONResponse(_told(request, explain(_observe(failure))))


async def _explain_call(request: Request, call_id: str) -> dict[str, Json]:
    """Return what the stored attempts of a call mean; its gravest failure is the verdict."""
    stored = await find_call(request, call_id)
    call = stored.call
    failures = failures_of(stored)
    if not failures:
        raise BadRequestError(
            f"The call {call.id} is {call.state}, and none of its attempts has failed. GET "
            f"/v1/images/calls/{call.id} tells the rest.",
            param="call_id",
            code="nothing_failed",
        )
    day = day_of(call.finished_at or call.created_at)
    findings = {id(error): finding_for_caller(error, day) for error in failures}
    verdict = findings[id(gravest(failures))]
    attempts = [_attempt(error, findings[id(error)]) for error in failures]
    told = {"call": call.id, "state": call.state, "model": call.model, "attempts": attempts}
    return _told(request, verdict) | told


def _attempt(error: ImageError, finding: Finding) -> Json:
    [report] = error.attempts or (AttemptReport(deployment="", state=""),)
    return msgspec.to_builtins(report) | {"finding": finding.fields()}


def _told(request: Request, finding: Finding) -> dict[str, Json]:
    told = {"object": "finding", "doc_url": doc_url(finding, docs_url_of(request))}
    return told | show(finding)


def show(finding: Finding) -> dict[str, Json]:
    """Return a finding as JSON: the stable fields first, then what explains them."""
    others: dict[str, Json] = msgspec.to_builtins(finding)
    return finding.fields() | others


async def _read_body(request: Request) -> bytes:
    connection = connection_of(request.scope)
    reader = BodyReader(connection, dict(request.headers.raw), BODY_BYTES_MAX)
    chunks = []
    while chunk := await reader.next_chunk():
        chunks.append(chunk)
    return b"".join(chunks)


def _parse_failure(body: bytes) -> Failure:
    try:
        return msgspec.json.decode(body, type=Failure)
    except msgspec.MsgspecError as error:
        raise BadRequestError(
            f"This is no failure to diagnose: {error}. Send the pasted text as text/plain, or JSON "
            f"with call_id, with text, or with {', '.join(Failure.__struct_fields__[2:])}.",
            code="invalid_json",
        ) from error


def _observe(failure: Failure) -> Observation:
    today = today_of()
    if failure.text:
        return parse_paste(failure.text, today)
    body = failure.body if isinstance(failure.body, str) else json.dumps(failure.body)
    return Observation(
        status=failure.status,
        headers={name.lower(): value for name, value in failure.headers.items()},
        body=body,
        url=failure.url,
        elapsed_s=failure.elapsed_s,
        client=failure.client,
        sent=keep_scalars(failure.sent),
        exception=failure.exception,
        provider=failure.provider,
        today=today,
    )
