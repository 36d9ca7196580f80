"""What is set aside for a call, and how a refusal of the ledger is told to the caller."""

import hashlib
import json
from collections.abc import Sequence

from imagegate.call_options import CallOptions
from imagegate.config.settings import Settings
from imagegate.errors import (
    BudgetExceededError,
    ImageError,
    OverloadedError,
    PermissionDeniedError,
)
from imagegate.ledger.people import PromptStorage
from imagegate.ledger.records import (
    BlockedError,
    BudgetDeniedError,
    LedgerError,
    RateDeniedError,
    storable,
)
from imagegate.plan import Plan

LEDGER_RETRY_S = 5.0
PROMPT_BYTES_MAX = 32 * 1024


def dearest_e10(part: Plan, plans: Sequence[Plan], settings: Settings) -> int | None:
    """Return the most that a part may cost wherever it ends up, in 1e-10 USD; None: unknown.

    `plans` are those of the whole call. A deployment without a price counts by the operator's
    ceiling; without one too it is left out, and a budget denies it when its turn comes.
    """
    own = _highest_e10(part, part.call.n, settings)
    if own is None:
        return None
    dearest = max(own, 0)
    for plan in plans:
        if plan is not part:
            dearest = max(dearest, _highest_e10(plan, part.call.n, settings) or 0)
    return dearest


def _highest_e10(plan: Plan, count: int, settings: Settings) -> int | None:
    """Return the most that `count` images of a plan may cost, rounded up."""
    if plan.price is not None:
        return -(-plan.price.highest_e10 * count // plan.call.n)
    if settings.unknown_price == "ceiling":
        return settings.unknown_price_ceiling_e10 * count
    return None


def without_provider(plans: Sequence[Plan], denial: BudgetDeniedError) -> Sequence[Plan]:
    """Return the plans that a provider's full budget leaves; none where another one is full."""
    kind, _, name = denial.subject.partition(":")
    if kind != "provider":
        return ()
    return [plan for plan in plans if plan.deployment.provider.name != name]


def told(error: LedgerError) -> ImageError:
    """Return what a caller is told whose call the ledger did not take."""
    match error:
        case BudgetDeniedError():
            return BudgetExceededError(f"{error} Nothing was sent.")
        case RateDeniedError():
            return OverloadedError(
                f"{error} Nothing was sent; send the request again later.",
                code="rate_limit_exceeded",
                http_status=429,
                retry_after_s=error.retry_after_s,
            )
        case BlockedError():
            return PermissionDeniedError(f"{error} Nothing was sent.")
    return OverloadedError(
        f"The ledger takes nothing at the moment ({error}), so nothing was sent.",
        code="ledger_unavailable",
        retry_after_s=LEDGER_RETRY_S,
    )


def stored_prompt(prompt: str, storage: PromptStorage) -> str:
    """Return what of a prompt the team chose to keep."""
    if storage == "text":
        return storable(prompt, PROMPT_BYTES_MAX)
    if storage == "hash":
        return f"sha256:{hashlib.sha256(prompt.encode('utf-8', 'replace')).hexdigest()}"
    return ""


def tags_json(options: CallOptions) -> str:
    """Return the tags of the key and of the request, each once, as a JSON list."""
    tags = options.all_tags
    return json.dumps([storable(tag) for tag in tags]) if tags else "[]"
