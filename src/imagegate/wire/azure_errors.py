"""How Azure says no: OpenAI's shape, its content filter's, and API Management's. Pure."""

import re
from collections.abc import Mapping

import msgspec

from imagegate.errors import ImageError
from imagegate.types import Json
from imagegate.wire import openai_errors
from imagegate.wire.exchange import UpstreamResponse
from imagegate.wire.openai_errors import Refusal

_WAIT = re.compile(r"(?:retry after|try again in) (\d{1,5}) seconds?", re.IGNORECASE)


def read_error(response: UpstreamResponse, *, name: str) -> ImageError:
    """Return the error of our tree; `name` is how messages call the surface."""
    refusal = parse_refusal(response.json())
    wait_s = openai_errors.read_retry_after_s(response.headers) or _wait_s(refusal.message)
    words = openai_errors.read_words(response)
    return openai_errors.map_refusal(refusal, words, name=name, retry_after_s=wait_s)


def parse_refusal(body: Json) -> Refusal:
    """Return what the body says, with the categories that Azure's filter named."""
    refusal = openai_errors.parse_refusal(body)
    if not isinstance(body, dict):
        return refusal
    if not refusal.has_shape and "statusCode" in body:  # API Management, without `error`
        return msgspec.structs.replace(refusal, has_shape=True)
    categories = refusal.categories or _filtered(body.get("error"))
    return msgspec.structs.replace(refusal, categories=categories)


def _filtered(error: Json) -> tuple[str, ...]:
    """Return the categories that were filtered; the keys are spelled in two ways each."""
    inner = _first(error, "inner_error", "innererror")
    results = _first(inner, "content_filter_results", "content_filter_result")
    return tuple(
        name.replace("-", "_")
        for name, result in results.items()
        if isinstance(result, dict) and (result.get("filtered") or result.get("detected"))
    )


def _first(value: Json, *names: str) -> Mapping[str, Json]:
    found = (value.get(name) for name in names) if isinstance(value, dict) else ()
    return next((part for part in found if isinstance(part, dict)), {})


def _wait_s(message: str) -> float | None:
    found = _WAIT.search(message)
    return float(found[1]) if found else None
