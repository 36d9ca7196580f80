"""Builds records and commands of a call `name`; what a test is about comes as keywords."""

from typing import Any, Literal

from imagegate.ledger.people import BudgetRecord
from imagegate.ledger.records import (
    Admit,
    AssetRecord,
    AttemptEnd,
    AttemptRecord,
    CallEnd,
    CallRecord,
    Fail,
    Settle,
)

OWNER = "own_1"
CREATED_AT = 1_795_000_000.25
ENDED_AT = CREATED_AT + 12.5


def call(name: str, **changes: Any) -> CallRecord:
    fields: dict[str, Any] = {
        "id": f"call_{name}",
        "operation": "generate",
        "model": "gpt-image-2",
        "created_at": CREATED_AT,
        "owner": OWNER,
    }
    return CallRecord(**fields | changes)


def attempt(name: str, number: int = 1, **changes: Any) -> AttemptRecord:
    fields: dict[str, Any] = {
        "id": f"att_{name}_{number}",
        "call_id": f"call_{name}",
        "number": number,
        "deployment_id": "dep_1",
        "provider": "openai",
        "upstream_model": "gpt-image-2",
        "dispatched_at": CREATED_AT,
        "estimate_e10": 2_110_000_000,
        "owner": OWNER,
    }
    return AttemptRecord(**fields | changes)


def asset(name: str, index: int = 0, **changes: Any) -> AssetRecord:
    fields: dict[str, Any] = {
        "id": f"img_{name}_{index}",
        "call_id": f"call_{name}",
        "attempt_id": f"att_{name}_1",
        "index": index,
        "file": f"{name}.body",
        "offset": 37,
        "length": 1_000,
        "encoding": "base64",
        "media_type": "image/png",
        "created_at": ENDED_AT,
    }
    return AssetRecord(**fields | changes)


def attempt_end(
    name: str,
    state: Literal["settled", "unsent", "refused", "unknown"] = "settled",
    number: int = 1,
    **changes: Any,
) -> AttemptEnd:
    return AttemptEnd(id=f"att_{name}_{number}", state=state, ended_at=ENDED_AT, **changes)


def call_end(
    name: str, state: Literal["done", "failed", "unknown"] = "done", **changes: Any
) -> CallEnd:
    return CallEnd(id=f"call_{name}", state=state, finished_at=ENDED_AT, **changes)


def admit(name: str, **changes: Any) -> Admit:
    return Admit(call(name, **changes), attempt(name))


def budget(subject: str, limit_e10: int, **changes: Any) -> BudgetRecord:
    fields: dict[str, Any] = {
        "id": f"bud_{subject}",
        "subject": subject,
        "name": subject,
        "limit_e10": limit_e10,
        "period_start": CREATED_AT,
        "created_at": CREATED_AT,
    }
    return BudgetRecord(**fields | changes)


def settle(name: str, **changes: Any) -> Settle:
    return Settle(attempt_end(name, **changes), (asset(name),), call_end(name))


def fail(name: str, state: Literal["unsent", "refused", "unknown"], **changes: Any) -> Fail:
    return Fail(
        attempt_end(name, state, **changes),
        call_end(name, "unknown" if state == "unknown" else "failed"),
    )
