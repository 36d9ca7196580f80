"""What Google's APIs say when they say no (`google.rpc.Status`), and what it means in our tree."""

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from imagegate.errors import (
    ImageError,
    RateLimitError,
    UpstreamFailedError,
    UpstreamUnreachableError,
    UpstreamWords,
)
from imagegate.types import Json
from imagegate.wire import openai_errors
from imagegate.wire.exchange import UpstreamResponse
from imagegate.wire.openai_errors import Refusal

SUPPORT_CODES = {
    "child": ("58061214", "17301594"),
    "celebrity": ("29310472", "15236754"),
    "celebrity or child": ("64151117",),
    "dangerous": ("62263041",),
    "hate": ("57734940", "22137204"),
    "other": ("42876398", "29578790", "74803281"),
    "people": ("39322892",),
    "personal information": ("92201652",),
    "prohibited": ("89371032", "49114662", "72817394"),
    "sexual": ("90789179", "63429089", "43188360"),
    "toxic": ("78610348",),
    "violence": ("61493863", "56562880"),
    "vulgar": ("32635315",),
}
"""Category -> the numbers by which messages of Google's image filters name it."""

_CATEGORY_OF = {number: name for name, numbers in SUPPORT_CODES.items() for number in numbers}
_NUMBER = re.compile(r"\b\d{8}\b")
_BLOCKED = re.compile(
    r"Responsible AI|Support codes?:|sensitive words|safety filter|violates? .{0,40}polic",
    re.IGNORECASE,
)
_BAD_KEY_REASONS = frozenset(
    ("API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "API_KEY_EXPIRED", "CREDENTIALS_MISSING")
)
_BAD_KEY = re.compile(r"API key (not valid|expired|not found)", re.IGNORECASE)
_MONEY_REASONS = frozenset(("BILLING_DISABLED",))
_MONEY = re.compile(r"billing|prepayment credits", re.IGNORECASE)
_NOTHING_LEFT = re.compile(r"PerDay", re.IGNORECASE)
_LIMIT_ZERO = re.compile(r"\blimit: 0\b")
_NOT_BEGUN = re.compile(r"overloaded|high demand", re.IGNORECASE)
_SECONDS = re.compile(r"(\d{1,6}(?:\.\d{1,9})?)s")
_WAIT_S_MAX = 24 * 3600.0


class Status(Struct, frozen=True):
    """An error body, read. `reason` is ErrorInfo's, `wait_s` RetryInfo's, `field` BadRequest's.

    `is_spent` says that a quota is used up for the day, or was never there.
    """

    message: str = ""
    status: str = ""
    reason: str = ""
    field: str = ""
    wait_s: float | None = None
    is_spent: bool = False
    has_shape: bool = False


def read_error(response: UpstreamResponse, *, name: str) -> ImageError:
    """Return the error that `response` (status >= 300) means; `name` is how messages call it."""
    words = openai_errors.read_words(response)
    wait_s = openai_errors.read_retry_after_s(response.headers)
    return map_status(parse_status(response.json()), words, name=name, retry_after_s=wait_s)


def parse_status(body: Json) -> Status:
    """Return what an error body says; also where it is the only entry of a list."""
    if isinstance(body, list) and body:
        body = body[0]
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return Status()
    message, details = _text(error.get("message")), tuple(_details(error.get("details")))
    return Status(
        message=openai_errors.scrub(message),
        status=_text(error.get("status")),
        reason=_first(details, "reason"),
        field=_field(details),
        wait_s=_wait_s(_first(details, "retryDelay")),
        is_spent=any(map(_is_spent, _violations(details))) or bool(_LIMIT_ZERO.search(message)),
        has_shape=True,
    )


def map_status(
    said: Status, words: UpstreamWords, *, name: str, retry_after_s: float | None = None
) -> ImageError:
    """Return the error of our tree. Google names a bad key, money and policy in a 400 as well."""
    if words.status == 503 and said.has_shape and _NOT_BEGUN.search(said.message):
        return UpstreamUnreachableError(
            f"{name} took no request, its model is overloaded: {said.message}",
            retry_after_s=said.wait_s or retry_after_s,
            upstream=words,
        )
    if words.status == 499:
        text = f"{name} ended the request as cancelled; it may have been billed. {said.message}"
        return UpstreamFailedError(text.rstrip(), upstream=words)
    refusal = Refusal(
        message=said.message,
        type=said.status,
        param=_param(said.field),
        inner_code=_meaning(said, words.status),
        categories=support_categories(said.message) if _is_blocked(said, words.status) else (),
        has_shape=said.has_shape,
    )
    error = openai_errors.map_refusal(refusal, words, name=name)
    if isinstance(error, RateLimitError):
        error.retry_after_s = said.wait_s or retry_after_s
    return error


def support_categories(message: str) -> tuple[str, ...]:
    """Return the categories whose support codes stand in `message`, each once."""
    found = (_CATEGORY_OF.get(number) for number in _NUMBER.findall(message))
    return tuple(dict.fromkeys(filter(None, found)))


def _meaning(said: Status, status: int) -> str:
    """Return OpenAI's word for what Google says, `""` where the HTTP status says it all."""
    if said.reason in _MONEY_REASONS or (status in (402, 429) and said.is_spent):
        return "insufficient_quota"
    if said.status == "FAILED_PRECONDITION":
        return "insufficient_quota" if _MONEY.search(said.message) else "invalid_organization"
    if said.reason in _BAD_KEY_REASONS or _BAD_KEY.search(said.message):
        return "invalid_api_key"
    return "moderation_blocked" if _is_blocked(said, status) else ""


def _is_blocked(said: Status, status: int) -> bool:
    return status == 400 and bool(_BLOCKED.search(said.message))


def _param(field: str) -> str | None:
    """Return our name of the field that Google names by its path."""
    last = re.sub(r"(?<!^)([A-Z])", r"_\1", field.rpartition(".")[2]).lower()
    return {"image_config": "size", "aspect_ratio": "size", "image_size": "size"}.get(last) or (
        last if last in ("seed", "prompt") else None
    )


def _details(value: Json) -> Iterator[Mapping[str, Json]]:
    return (
        (part for part in value if isinstance(part, dict)) if isinstance(value, list) else iter(())
    )


def _first(details: tuple[Mapping[str, Json], ...], key: str) -> str:
    return next((_text(part[key]) for part in details if part.get(key)), "")


def _violations(details: tuple[Mapping[str, Json], ...]) -> Iterator[Mapping[str, Json]]:
    for part in details:
        yield from _details(part.get("violations"))


def _is_spent(violation: Mapping[str, Json]) -> bool:
    value = violation.get("quotaValue")
    return bool(_NOTHING_LEFT.search(_text(violation.get("quotaId")))) or str(value) == "0"


def _field(details: tuple[Mapping[str, Json], ...]) -> str:
    found = (bad for part in details for bad in _details(part.get("fieldViolations")))
    return next((_text(bad.get("field")) for bad in found), "")


def _wait_s(text: str) -> float | None:
    found = _SECONDS.fullmatch(text)
    return min(float(found[1]), _WAIT_S_MAX) if found else None


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
