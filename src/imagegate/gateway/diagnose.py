"""`POST /v1/diagnose`: whose an error is to fix, from any surface; nothing is sent anywhere."""

import datetime
import json

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imagegate import clock
from imagegate.diagnosis.explain import explain
from imagegate.diagnosis.observation import Observation
from imagegate.diagnosis.paste import keep_scalars, parse_paste
from imagegate.errors import BadRequestError, Finding
from imagegate.gateway.body import BodyReader
from imagegate.types import Json

BODY_BYTES_MAX = 1 << 20
_NOT_SHOWN = ("exit_code",)


class Failure(Struct, frozen=True, forbid_unknown_fields=True):
    """One failed request, as a caller tells it: `text` as it would be pasted, or its parts.

    `body` is the answer's, as text or JSON; `sent` the request's fields, of which names and scalars
    are looked at; `provider` the surface, where it is known; `elapsed_s` is in seconds.
    """

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
    return JSONResponse({"object": "finding"} | show(explain(_observe(failure))))


def show(finding: Finding) -> dict[str, Json]:
    """Return a finding as JSON: the stable fields first, then what explains them."""
    others: dict[str, Json] = msgspec.to_builtins(finding)
    return finding.fields() | {
        name: value for name, value in others.items() if name not in _NOT_SHOWN
    }


async def _read_body(request: Request) -> bytes:
    reader = BodyReader(request.receive, dict(request.headers.raw), BODY_BYTES_MAX)
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
            f"with text, or with {', '.join(Failure.__struct_fields__[1:])}.",
            code="invalid_json",
        ) from error


def _observe(failure: Failure) -> Observation:
    today = datetime.datetime.fromtimestamp(clock.now_s(), datetime.UTC).date()
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
