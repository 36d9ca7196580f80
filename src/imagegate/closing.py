"""The closing event of a call: made once, when its work is over, for the log and all sinks."""

from typing import Any

from imagegate import clock, telemetry
from imagegate.assets.blobs import raw_bytes
from imagegate.attempt import Attempt
from imagegate.errors import ImageError
from imagegate.running import Outcome, RunningCall, Work
from imagegate.telemetry import CallEvent
from imagegate.trace import NAME_CHARS_MAX, Trace, names, shown, shown_name
from imagegate.types import ImageCall, ImageResult, Usage


def done_event(running: Work, outcome: Outcome) -> CallEvent:
    """Return the event of a call that brought images."""
    deployment, result = outcome.deployment, outcome.result
    usage = result.usage or Usage(0, 0, 0)
    return CallEvent(
        **_asked(running.trace, running.call),
        name=telemetry.CALL_DONE,
        ending="done",
        end_user=running.guard.end_user[:NAME_CHARS_MAX],
        deployment=deployment.id,
        provider=deployment.provider.name,
        upstream_model=deployment.target.upstream_model,
        attempts=outcome.attempts,
        adjustments=names([one.param for one in outcome.adjustments]),
        warnings=len(outcome.warnings),
        images=len(result.images),
        bytes=image_bytes(result),
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost_e10=outcome.cost_e10,
    )


def failed_event(
    running: Work,
    attempt: Attempt,
    error: ImageError,
    *,
    attempts: int,
    cost_e10: int | None,
) -> CallEvent:
    """Return the event of a call that brought nothing to deliver; what it cost may be unknown."""
    deployment = attempt.plan.deployment
    is_unknown = error.fault == "ambiguous"
    return CallEvent(
        **_asked(running.trace, running.call),
        name=telemetry.CALL_UNKNOWN if is_unknown else telemetry.CALL_FAILED,
        ending="unknown" if is_unknown else "failed",
        end_user=running.guard.end_user[:NAME_CHARS_MAX],
        deployment=deployment.id,
        provider=deployment.provider.name,
        upstream_model=deployment.target.upstream_model,
        attempts=attempts,
        cost_e10=cost_e10,
        **_blame(error, running.trace),
    )


def joined_event(trace: Trace, running: RunningCall) -> CallEvent:
    """Return the event of a request that joined a call, whose own event has the images and cost."""
    blame = _blame(running.error, trace) if running.error else {}
    return CallEvent(
        **_asked(trace, running.call, call_id=running.id),
        name=telemetry.CALL_JOINED,
        ending="joined",
        cost_e10=0,
        **blame,
    )


def refused_event(trace: Trace, call: ImageCall | None, error: ImageError) -> CallEvent:
    """Return the event of a request of which nothing was sent; `call` is None where unread."""
    return CallEvent(
        **_asked(trace, call),
        name=telemetry.CALL_REFUSED,
        ending="refused",
        cost_e10=0,
        **_blame(error, trace),
    )


def image_bytes(result: ImageResult) -> int:
    """Return how many bytes the images of a result have together."""
    return sum(raw_bytes(image.blob) for image in result.images if image.blob)


def _blame(error: ImageError, trace: Trace) -> dict[str, Any]:
    """Return what went wrong. What is wrong with a request is told in its caller's own words, so
    it is left to code and field, unless prompts are logged anyway."""
    may_quote = error.fault != "call" or trace.logged_prompt is not None
    param = error.param or ""
    is_ours = param in ImageCall.__struct_fields__ or param.startswith("x-imagegate-")
    return {
        "code": error.code,
        "fault": error.fault,
        "status": error.http_status,
        "param": param if is_ours else "",
        "reason": shown(error.message) if may_quote else "",
    }


def _asked(trace: Trace, call: ImageCall | None, call_id: str = "") -> dict[str, Any]:
    """Return what is known of every request, whatever became of it."""
    return {
        "call_id": call_id or trace.call_id,
        "operation": call.operation if call else "",
        "model": shown_name(call.model) if call else "",
        "images_asked": call.n if call else 0,
        "key_id": trace.key_id,
        "team_id": trace.team_id,
        "tags": names(trace.tags),
        "started_s": trace.started_s,
        "duration_s": max(0.0, clock.now_s() - trace.started_s),
        "first_partial_s": trace.first_partial_s,
        "phases_s": {**trace.phases_s},  # other threads read it, and steps may follow
        "verdicts": tuple(trace.verdicts),
        "prompt": None if trace.logged_prompt is None else shown(trace.logged_prompt),
        "trace": trace.context,
        "parent_span_id": trace.parent_span_id,
        "spans": tuple(trace.spans),
    }
