"""The finding for an error of our own tree: what its upstream said, else what we say ourselves."""

import datetime
import functools
import json

from imagegate import clock
from imagegate.diagnosis.explain import as_operators, explain
from imagegate.diagnosis.observation import Observation
from imagegate.errors import (
    UPSTREAM_TEXT_BYTES_MAX,
    Finding,
    ImageError,
    NotFoundError,
    UpstreamWords,
)


def finding_for(error: ImageError) -> Finding:
    """Return what `error` means to whoever called the provider: here, imagegate's own user."""
    return _finding_of(error, today_of())


def finding_for_caller(error: ImageError, today: datetime.date | None = None) -> Finding:
    """Return what `error`, of the day `today`, means to a caller of the gateway.

    To the provider the gateway is the caller; what is wrong with its deployments is its operator's.
    """
    finding = _finding_of(error, today or today_of())
    if finding.owner != "caller" or error.owner != "operator":
        return finding
    return as_operators(finding)


def observe(error: ImageError, today: datetime.date | None = None) -> Observation:
    """Return what is known of a failure; the last attempt names the provider and its model."""
    today = today or today_of()
    if error.upstream is None or isinstance(error, NotFoundError):
        return _own_words(error.http_status, _own_body(error), today)
    last = error.attempts[-1] if error.attempts else None
    provider = last.provider if last else error.llm_provider
    model = last.model if last else error.model
    return Observation(
        status=error.upstream.status,
        headers=_headers(error.upstream),
        body=error.upstream.text,
        provider=provider,
        sent={"model": model} if model else {},
        today=today,
    )


def _finding_of(error: ImageError, today: datetime.date) -> Finding:
    seen = observe(error, today)
    if seen.provider != "imagegate" or len(seen.body) > UPSTREAM_TEXT_BYTES_MAX:
        return explain(seen)
    return _own_finding(seen.status, seen.body, today)


# A flood of refusals says the same thing again and again.
@functools.lru_cache(maxsize=256)
def _own_finding(status: int, body: str, today: datetime.date) -> Finding:
    return explain(_own_words(status, body, today))


def _own_words(status: int, body: str, today: datetime.date) -> Observation:
    return Observation(status=status, body=body, provider="imagegate", today=today)


def today_of() -> datetime.date:
    """Return the day that it is now, in UTC."""
    return day_of(clock.now_s())


def day_of(at_s: float) -> datetime.date:
    """Return the day of a time in unix seconds, in UTC."""
    return datetime.datetime.fromtimestamp(at_s, datetime.UTC).date()


def _headers(words: UpstreamWords) -> dict[str, str]:
    return {"x-request-id": words.request_id} if words.request_id.startswith("req_") else {}


def _own_body(error: ImageError) -> str:
    names = ("message", "type", "param", "code")
    return json.dumps({"error": {name: getattr(error, name) for name in names}})
