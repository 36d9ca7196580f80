"""The closing event of a call that a recovery ended: the process that ran it told nobody."""

import json

from imagegate import telemetry
from imagegate.ledger.answers import read_brought
from imagegate.ledger.records import AssetRecord
from imagegate.settle import Tools
from imagegate.stored import StoredCall, read_stored
from imagegate.telemetry import CallEnding, CallEvent
from imagegate.trace import Trace, names
from imagegate.types import Usage

_NAMES: dict[CallEnding, str] = {
    "done": telemetry.CALL_DONE,
    "failed": telemetry.CALL_FAILED,
    "unknown": telemetry.CALL_UNKNOWN,
}


async def retell(tools: Tools, call_id: str) -> None:
    """Let the sinks know how a call ended, by its rows. Raises `LedgerError`."""
    call = await tools.ledger.get_call(call_id)
    if call is not None and call.state != "running":
        tools.sinks.publish(event_of(await read_stored(tools.ledger, call)))


def event_of(stored: StoredCall) -> CallEvent:
    """Return the closing event of a call that has ended; what was measured of it is gone."""
    call, last = stored.call, stored.attempts[-1]
    ending = _ending(stored)
    usages = [read_brought(one.answer).usage or Usage(0, 0, 0) for one in stored.settled]
    return CallEvent(
        name=_NAMES[ending],
        ending=ending,
        call_id=call.id,
        operation=call.operation,
        model=call.model,
        deployment=last.deployment_id,
        provider=last.provider,
        upstream_model=last.upstream_model,
        key_id=call.key_id or "",
        team_id=call.team_id or "",
        end_user=call.end_user,
        tags=names(json.loads(call.tags)),
        code="" if ending == "done" else last.error_code,
        attempts=len(stored.attempts),
        adjustments=tuple(one.param for one in stored.adjustments),
        images=len(stored.assets),
        bytes=sum(map(_bytes, stored.assets)),
        input_tokens=sum(usage.input_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
        cost_e10=stored.cost_e10,
        started_s=call.created_at,
        duration_s=max(0.0, (call.finished_at or call.created_at) - call.created_at),
        verdicts=tuple(one.verdict for one in stored.verdicts),
        trace=Trace(call.id).context,
    )


def _ending(stored: StoredCall) -> CallEnding:
    match stored.call.state:
        case "done":
            return "done" if stored.settled else "failed"  # a guardrail holds all of it
        case "unknown":
            return "unknown"
    return "failed"


def _bytes(asset: AssetRecord) -> int:
    return asset.length * 3 // 4 if asset.encoding == "base64" else asset.length
