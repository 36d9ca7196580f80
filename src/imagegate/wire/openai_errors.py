"""What OpenAI's Images API says when it says no, and what that means in our tree.

Also for servers that speak the same shape, and for those that nearly do (`{"detail": ...}`,
`{"error": "text"}`, a number as code).
"""

import re
from collections.abc import Mapping

from msgspec import Struct

from imagegate.errors import (
    UPSTREAM_TEXT_BYTES_MAX,
    BadRequestError,
    ContentPolicyViolationError,
    ImageError,
    RateLimitError,
    RequestTooLargeError,
    UpstreamCredentialError,
    UpstreamFailedError,
    UpstreamModelNotFoundError,
    UpstreamTimeoutError,
    UpstreamWords,
)
from imagegate.types import Json
from imagegate.wire.exchange import UpstreamResponse

MODERATION_CODES = frozenset(
    {
        "moderation_blocked",
        "content_policy_violation",
        "content_filter",
        "contentFilter",
        "ResponsibleAIPolicyViolation",
        "image_content_policy_violation",
    }
)
MONEY_CODES = frozenset(
    {
        "billing_hard_limit_reached",
        "billing_limit_user_error",
        "billing_not_active",
        "insufficient_quota",
        "organization_usage_limit_exceeded",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
    }
)
ACCESS_CODES = frozenset(
    {
        "invalid_api_key",
        "account_deactivated",
        "invalid_organization",
        "unsupported_country_region_territory",
    }
)
MODEL_CODES = frozenset({"model_not_found", "DeploymentNotFound", "deployment_not_found"})
RATE_CODES = frozenset({"rate_limit_exceeded", "RateLimitReached", "too_many_requests", "429"})
FAILURE_TYPES = frozenset({"server_error", "image_generation_server_error"})
TIMEOUT_STATUSES = frozenset({408, 504, 524})

_NO_MODEL = re.compile(
    r"^(Unknown model|model .{0,80} not found)"
    r"|\bmodel\b.{0,120}(does not exist|has been deprecated)",
    re.IGNORECASE | re.DOTALL,
)
_UNVERIFIED = re.compile(r"must be verified|Verify Organization", re.IGNORECASE)
_SECRETS = re.compile(r"\b(sk-|AIza|ya29\.|Bearer\s+)[\w*.~+/=-]{3,}", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/\\]{1024,}={0,2}")
_TRY_AGAIN = re.compile(r"try again in (?:(\d+)m(?!s))?(?:([\d.]+)(ms|s))?", re.IGNORECASE)
_BUCKET = re.compile(r"Limit:? ([\d.]+).{0,60}?Requested:? ([\d.]+)", re.IGNORECASE)
_SECONDS_MAX = 24 * 3600.0


class Refusal(Struct, frozen=True):
    """An error body, read. `has_shape` is False where it is no error in an API's own shape."""

    message: str = ""
    type: str = ""
    param: str | None = None
    code: str = ""
    inner_code: str = ""
    categories: tuple[str, ...] = ()
    stage: str = ""
    has_shape: bool = False

    @property
    def codes(self) -> frozenset[str]:
        """All words by which an API may name the kind of a refusal."""
        return frozenset({self.code, self.inner_code, self.type} - {""})


def read_error(response: UpstreamResponse, *, name: str = "The upstream") -> ImageError:
    """Return the error that `response` (status >= 300) means; `name` is how messages call it."""
    refusal = parse_refusal(response.json())
    words = read_words(response)
    return map_refusal(
        refusal, words, name=name, retry_after_s=read_retry_after_s(response.headers)
    )


def read_words(response: UpstreamResponse) -> UpstreamWords:
    """Return what the upstream said, scrubbed, with its own request id."""
    headers = response.headers
    request_id = headers.get("x-request-id") or headers.get("apim-request-id") or ""
    return UpstreamWords(response.status, scrub(response.text()), request_id)


def scrub(text: str) -> str:
    """Return `text` without what looks like a key, a bearer token or an image, at most 8 KiB."""
    text = _BASE64.sub("<base64>", _SECRETS.sub(r"\1***", text))
    return text.encode()[:UPSTREAM_TEXT_BYTES_MAX].decode("utf-8", "ignore")


def parse_refusal(body: Json) -> Refusal:
    """Return what an error body says; an empty `Refusal` where it is in no known shape."""
    if not isinstance(body, dict):
        return Refusal()
    error = body.get("error") or body.get("detail")
    if isinstance(error, dict):
        return _parse_error_object(error)
    if error:
        return Refusal(scrub(str(error)), code=_text(body.get("code")), has_shape=True)
    return Refusal(scrub(_text(body.get("message"))), code=_text(body.get("code")))


def _parse_error_object(error: Mapping[str, Json]) -> Refusal:
    inner = _object(error.get("inner_error") or error.get("innererror"))
    moderation = _object(error.get("moderation_details") or error.get("metadata"))
    categories = moderation.get("categories") or moderation.get("reasons")
    return Refusal(
        message=scrub(_text(error.get("message"))),
        type=_text(error.get("type")),
        param=_text(error.get("param")) or None,
        code=_text(error.get("code")),
        inner_code=_text(inner.get("code")),
        categories=tuple(map(str, categories)) if isinstance(categories, list) else (),
        stage=_text(moderation.get("moderation_stage")),
        has_shape=True,
    )


def map_refusal(
    refusal: Refusal,
    words: UpstreamWords,
    *,
    name: str = "The upstream",
    retry_after_s: float | None = None,
) -> ImageError:
    """Return the error of our tree. Codes go before statuses: OpenAI's 400 may be about money."""
    error = _by_code(refusal, words.status, name) or _by_status(refusal, words.status, name)
    error.upstream = words
    if isinstance(error, RateLimitError) or words.status == 503:
        error.retry_after_s = retry_after_s or _seconds_of(refusal.message)
    return error


def _by_code(refusal: Refusal, status: int, name: str) -> ImageError | None:
    if refusal.codes & MODERATION_CODES or refusal.categories:
        return _moderation(refusal, name)
    if refusal.codes & (MONEY_CODES | ACCESS_CODES) or _UNVERIFIED.search(refusal.message):
        return _credential(refusal, status, name)
    if refusal.codes & MODEL_CODES or (status < 500 and _NO_MODEL.search(refusal.message)):
        return _no_model(refusal, name)
    if status in (200, 429) and refusal.has_shape:
        return _by_stated_kind(refusal, status, name)
    return None


def _by_stated_kind(refusal: Refusal, status: int, name: str) -> ImageError | None:
    """Map what only the body tells: an error within a stream, or a 429 in the API's shape."""
    if status == 429 or refusal.codes & RATE_CODES:
        return _rate_limit(refusal, name)
    if refusal.codes & FAILURE_TYPES or not refusal.type:
        return None
    if refusal.type.endswith(("invalid_request_error", "user_error")):
        return _bad_request(refusal, name)
    return None


def _by_status(refusal: Refusal, status: int, name: str) -> ImageError:
    if 300 <= status < 400:
        return UpstreamCredentialError(
            f"{name} redirects ({status}) and redirects are not followed, because they could "
            "take the credential elsewhere. Set api_base to the address that it leads to.",
            code="upstream_redirected",
        )
    if status in (401, 402, 403):
        return _credential(refusal, status, name)
    if status in (404, 405, 410):
        return _no_model(refusal, name)
    if status in TIMEOUT_STATUSES:
        return UpstreamTimeoutError(
            f"{name} ran out of time ({status}); the image may have been made and billed. "
            f"{refusal.message}".rstrip()
        )
    if status == 413:
        return RequestTooLargeError(f"{name} takes no request as large as this; send less.")
    if 400 <= status < 500 and status != 429 and refusal.has_shape:
        return _bad_request(refusal, name)
    said = refusal.message or "no error in its own shape"
    return UpstreamFailedError(
        f"{name} failed ({status}: {said}). An image may have been made and billed, so it was "
        "not asked again."
    )


def _moderation(refusal: Refusal, name: str) -> ContentPolicyViolationError:
    found = ", ".join(refusal.categories)
    stage = f" at stage {refusal.stage}" if refusal.stage else ""
    detail = f" (categories: {found}{stage})" if found else ""
    code = refusal.code if refusal.code in MODERATION_CODES else "moderation_blocked"
    return ContentPolicyViolationError(
        f"{name} refused it by its content policy{detail}: {_ended(refusal.message)} "
        "Change the prompt or the image; the same request gets the same answer.",
        code=code,
    )


def _credential(refusal: Refusal, status: int, name: str) -> UpstreamCredentialError:
    if refusal.codes & MONEY_CODES or status == 402:
        what, remedy = "the account's money or quota is used up", "Pay or raise the limit there"
    elif _UNVERIFIED.search(refusal.message):
        what, remedy = "the organization is not verified", "Verify it there"
    else:
        what, remedy = "our credential or access was refused", "Check the deployment's credential"
    return UpstreamCredentialError(
        f"{name}: {what} ({status} {refusal.code or refusal.type}): {_ended(refusal.message)} "
        f"{remedy}; "
        "the caller's own key is fine."
    )


def _no_model(refusal: Refusal, name: str) -> UpstreamModelNotFoundError:
    said = refusal.message or "there is nothing at this address; check api_base"
    return UpstreamModelNotFoundError(
        f"{name} does not serve the model or deployment that was named: {_ended(said)} "
        "Check the deployment's model and api_base."
    )


def _ended(said: str) -> str:
    """Return what was said with an end, so that another sentence can follow."""
    return f"{said}." if said and said[-1] not in ".!?…。" else said


def _rate_limit(refusal: Refusal, name: str) -> ImageError:
    bucket = _BUCKET.search(refusal.message)
    if bucket and float(bucket[2]) > float(bucket[1]):
        return UpstreamCredentialError(
            f"{name} can never take this request at this account's rate limit: {refusal.message} "
            "Ask for fewer images or raise the account's tier."
        )
    return RateLimitError(f"{name} asks for a pause: {refusal.message}")


def _bad_request(refusal: Refusal, name: str) -> BadRequestError:
    return BadRequestError(
        f"{name} refused the request: {refusal.message}",
        param=refusal.param,
        code=refusal.code or None,
    )


def read_retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the headers ask for; None where there are none or only a date."""
    for header, per_second in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(headers.get(header, "")) / per_second
        except ValueError:
            continue
        if 0 <= seconds <= _SECONDS_MAX:
            return seconds
    return None


def _seconds_of(message: str) -> float | None:
    """Return the wait that a message like "Please try again in 12s." names, in seconds."""
    found = _TRY_AGAIN.search(message)
    if not found or not (found[1] or found[2]):
        return None
    number = found[2] if found[2] and re.fullmatch(r"\d{1,6}(\.\d+)?", found[2]) else "0"
    return int(found[1] or 0) * 60 + float(number) / (1000 if found[3] == "ms" else 1)


def _text(value: Json) -> str:
    return "" if value is None or isinstance(value, dict | list | bool) else str(value)


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}
