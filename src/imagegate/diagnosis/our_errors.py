"""The finding for an error of our own tree: what its upstream said, else what we say ourselves."""

import datetime
import json

import msgspec

from imagegate import clock
from imagegate.diagnosis.explain import explain
from imagegate.diagnosis.observation import Observation
from imagegate.diagnosis.rules import load_rules
from imagegate.errors import Finding, ImageError, NotFoundError, UpstreamWords


def finding_for(error: ImageError) -> Finding:
    """Return what `error` means to whoever called the provider: here, imagegate's own user."""
    return explain(observe(error))


def finding_for_caller(error: ImageError) -> Finding:
    """Return what `error` means to a caller of the gateway.

    To the provider the gateway is the caller; what is wrong with its deployments is its operator's.
    """
    finding = finding_for(error)
    if finding.owner != "caller" or error.owner != "operator":
        return finding
    operator = load_rules().owner["operator"]
    return msgspec.structs.replace(
        finding, owner="operator", who=operator.who, exit_code=operator.exit_code
    )


def observe(error: ImageError) -> Observation:
    """Return what is known of a failure; the last attempt names the provider and its model."""
    today = today_of()
    if error.upstream is None or isinstance(error, NotFoundError):
        return Observation(
            status=error.http_status, body=_own_body(error), provider="imagegate", today=today
        )
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


def today_of() -> datetime.date:
    """Return the day that it is now, in UTC."""
    return datetime.datetime.fromtimestamp(clock.now_s(), datetime.UTC).date()


def _headers(words: UpstreamWords) -> dict[str, str]:
    return {"x-request-id": words.request_id} if words.request_id.startswith("req_") else {}


def _own_body(error: ImageError) -> str:
    names = ("message", "type", "param", "code")
    return json.dumps({"error": {name: getattr(error, name) for name in names}})
