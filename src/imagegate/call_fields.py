"""A call as JSON: what its caller, those who watch it and webhooks are told. Never an image."""

from collections.abc import Sequence

import msgspec

from imagegate.catalogue.price import format_usd
from imagegate.ledger.records import AssetRecord, AttemptRecord
from imagegate.ledger.review import VerdictRecord
from imagegate.running import Work
from imagegate.stored import StoredCall
from imagegate.types import Json

CALLS_PATH = "/v1/images/calls/"


def summary_fields(stored: StoredCall) -> dict[str, Json]:
    """Return what a list shows of a call."""
    call = stored.call
    return {
        "id": call.id,
        "object": "image.call",
        "operation": call.operation,
        "model": call.model,
        "state": call.state,
        "created_at": call.created_at,
        "finished_at": call.finished_at,
        "delivered_at": call.delivered_at,
        "cost": _usd(stored.cost_e10 if call.state != "running" else None),
        "error_code": call.error_code or None,
        "end_user": call.end_user or None,
        "image_count": len(stored.assets),
        "attempt_count": len(stored.attempts),
    }


def call_fields(stored: StoredCall, work: Work | None = None) -> dict[str, Json]:
    """Return a call with its attempts and where its images are.

    `work` is the call's where it runs in this process; then there is `progress`.
    """
    return summary_fields(stored) | {
        "progress": _progress(work) if work and stored.call.state == "running" else None,
        "attempts": [_attempt(one) for one in stored.attempts],
        "adjustments": msgspec.to_builtins(stored.adjustments),
        "guardrails": verdict_fields(stored.verdicts),
        "held_count": stored.held_count,
        "images": [_image(stored.call.id, *each) for each in enumerate(stored.assets)],
    }


def verdict_fields(said: Sequence[VerdictRecord]) -> list[Json]:
    """Return verdicts as JSON: the names and kinds, never what was found."""
    names = ("guardrail", "mode", "action", "category")
    return [{name: getattr(one, name) for name in names} for one in said]


def _progress(work: Work) -> dict[str, Json]:
    return {
        "phase": "sent" if work.dispatch.is_sent else "waiting",
        "images_asked": work.call.n,
        "partial_images": work.partial_count,
    }


def _attempt(attempt: AttemptRecord) -> dict[str, Json]:
    return {
        "number": attempt.number,
        "deployment": attempt.deployment_id,
        "provider": attempt.provider,
        "upstream_model": attempt.upstream_model,
        "state": attempt.state,
        "dispatched_at": attempt.dispatched_at,
        "ended_at": attempt.ended_at,
        "cost": _usd(attempt.cost_e10),
        "estimate": _usd(attempt.estimate_e10),
        "error_code": attempt.error_code or None,
        "upstream_status": attempt.upstream_status,
        "upstream_request_id": attempt.upstream_request_id or None,
        "upstream_text": attempt.error_text or None,
    }


def _image(call_id: str, index: int, asset: AssetRecord) -> dict[str, Json]:
    return {
        "index": index,
        "media_type": asset.media_type,
        "width": asset.width_px,
        "height": asset.height_px,
        "expires_at": asset.expires_at,
        "path": f"{CALLS_PATH}{call_id}/images/{index}",
    }


def _usd(cost_e10: int | None) -> str:
    return "unknown" if cost_e10 is None else format_usd(cost_e10)
