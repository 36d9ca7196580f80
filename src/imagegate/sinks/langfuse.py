"""What Langfuse reads of a span beside OpenTelemetry's own attributes.

https://langfuse.com/integrations/native/opentelemetry - a call is a `generation` with model, usage
and cost; a guardrail is an observation of its own kind.
"""

import datetime

import msgspec

from imagegate.telemetry import OPERATION_NAMES, Attribute, CallEvent, Span

HEADERS = {"x-langfuse-ingestion-version": "4"}
"""Shown at once; without it after some minutes."""

_PREFIX = "langfuse.observation."


def call_attributes(event: CallEvent) -> dict[str, Attribute | tuple[str, ...]]:
    """Return the attributes of a call's span; nothing is told of a cost that is not known."""
    given: dict[str, Attribute | tuple[str, ...] | None] = {
        "langfuse.trace.name": OPERATION_NAMES.get(event.operation),
        "langfuse.trace.tags": event.tags,
        "langfuse.user.id": event.end_user,
        "langfuse.trace.metadata.call_id": event.call_id,
        "langfuse.trace.metadata.key_id": event.key_id,
        "langfuse.trace.metadata.team_id": event.team_id,
        f"{_PREFIX}type": "generation",
        f"{_PREFIX}model.name": event.upstream_model or event.model,
        f"{_PREFIX}input": event.prompt,
        f"{_PREFIX}usage_details": _json(_usage(event)),
        f"{_PREFIX}cost_details": _json(_cost(event)),
        f"{_PREFIX}completion_start_time": _first_partial(event),
        f"{_PREFIX}level": "DEFAULT" if event.is_success else "ERROR",
        f"{_PREFIX}status_message": "" if event.is_success else event.reason or event.code,
    }
    return {name: value for name, value in given.items() if value not in (None, "", ())}


def step_attributes(step: Span) -> dict[str, Attribute]:
    """Return the attributes of a step's span."""
    return {f"{_PREFIX}type": "guardrail"} if step.name == "guardrail" else {}


def _usage(event: CallEvent) -> dict[str, int]:
    total = event.input_tokens + event.output_tokens
    counted = {"input": event.input_tokens, "output": event.output_tokens, "total": total}
    return (counted if total else {}) | {"images": event.images}


def _cost(event: CallEvent) -> dict[str, float]:
    return {} if event.cost_e10 is None else {"total": event.cost_e10 / 10**10}


def _json(values: dict[str, int] | dict[str, float]) -> str:
    return msgspec.json.encode(values).decode() if values else ""


def _first_partial(event: CallEvent) -> str:
    if event.first_partial_s is None:
        return ""
    moment = event.started_s + event.first_partial_s
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).isoformat()
