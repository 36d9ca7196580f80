"""How an error goes out: status, headers and OpenAI's body."""

import logging
import math

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from imagegate import telemetry
from imagegate.config.settings import Settings
from imagegate.diagnosis.our_errors import finding_for_caller
from imagegate.errors import Finding, ImageError
from imagegate.gateway.channel import Headers, ascii_list
from imagegate.types import Json
from imagegate.wire import openai_calls

RETRY_AFTER_S_MAX = 60  # openai-node ignores the header above it
JSON_TYPE = (b"content-type", b"application/json")

logger = logging.getLogger(telemetry.LOGGER)


class InternalError(ImageError):
    """A bug of ours. Nothing of it is told but that it happened; the log has the rest."""

    code = "internal_error"
    owner = "operator"
    type = "server_error"


def internal_error(fault: Exception, call_id: str = "") -> InternalError:
    """Log an exception that nobody expected, and return what the caller is told."""
    logger.error(telemetry.TASK_CRASHED, exc_info=fault, extra={"call_id": call_id})
    error = InternalError(
        "The gateway failed while it handled this request; its log says why. An image may have "
        "been made: look before you send it again."
    )
    error.call_id = call_id or None
    return error


def error_headers(error: ImageError) -> Headers:
    """Return the headers of an error's answer.

    `x-should-retry: false` stops both OpenAI SDKs where a retry is pointless or may buy twice.
    `Retry-After` is in whole seconds, 1 to 60.
    """
    headers: Headers = [JSON_TYPE]
    if not error.should_retry:
        headers.append((b"x-should-retry", b"false"))
    if error.retry_after_s is not None or error.fault == "moment":
        headers.append((b"retry-after", b"%d" % retry_after_s(error)))
    if error.call_id:
        headers.append((b"x-imagegate-call-id", error.call_id.encode()))
    if error.verdicts:
        headers.append((b"x-imagegate-guardrails", ascii_list(error.verdicts)))
    return headers


def retry_after_s(error: ImageError) -> int:
    """Return how long a client is told to wait, in whole seconds, 1 to 60."""
    wait_s = error.retry_after_s
    if wait_s is None or math.isnan(wait_s):
        return 1
    return math.ceil(min(max(wait_s, 1.0), RETRY_AFTER_S_MAX))


def error_body(error: ImageError, docs_url: str) -> bytes:
    """Return OpenAI's body of an error, with the finding in `error.imagegate`."""
    return openai_calls.error_body(error, error_extra(error, docs_url))


def error_extra(error: ImageError, docs_url: str) -> dict[str, Json]:
    """Return what `error.imagegate` holds beside call id and attempts: finding and verdicts."""
    finding = finding_for_caller(error)
    extra: dict[str, Json] = {"finding": finding.fields(), "doc_url": doc_url(finding, docs_url)}
    return {**extra, "guardrails": list(error.verdicts)} if error.verdicts else extra


def doc_url(finding: Finding, docs_url: str) -> str:
    """Return where a finding's rule is explained: its anchor on the page of all findings."""
    return f"{docs_url}#{finding.rule}"


def docs_url_of(request: Request) -> str:
    """Return where the page of all findings is, as this gateway's configuration says."""
    settings: Settings = request.app.state.gateway.runtime.settings
    return settings.server.docs_url


def error_response(error: ImageError, request: Request) -> Response:
    """Return the answer of a Starlette route for `error`."""
    body = error_body(error, docs_url_of(request))
    response = Response(body, status_code=error.http_status)
    for name, value in error_headers(error):
        response.headers[name.decode()] = value.decode()
    return response


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer an error of ours that a Starlette route raised."""
    assert isinstance(error, ImageError)
    return error_response(error, request)


async def answer_bug(request: Request, error: Exception) -> Response:
    """Answer an exception that nobody expected in a Starlette route."""
    return error_response(internal_error(error), request)


async def answer_http(request: Request, error: Exception) -> Response:
    """Answer Starlette's own refusals in OpenAI's shape."""
    assert isinstance(error, HTTPException)
    shown = ImageError(error.detail, code="invalid_request", http_status=error.status_code)
    return error_response(shown, request)
