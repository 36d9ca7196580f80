"""What a caller is told where a guardrail does not let a call or its image pass."""

from imagegate.errors import ContentPolicyViolationError, ImageError, OverloadedError
from imagegate.guardrails.subject import Ruling

CODE = "content_policy_violation"
RETRY_S = 5.0


def refused(name: str, ruling: Ruling) -> ImageError:
    """Return the refusal of a request of which nothing was sent."""
    return ContentPolicyViolationError(
        f"The guardrail {name!r} refused this request{_because(ruling)}. Nothing was sent; change "
        "it, a retry gets the same answer.",
        code=CODE,
    )


def held(name: str, ruling: Ruling) -> ImageError:
    """Return the refusal of an image that was made."""
    what = "holds the image for review" if ruling.action == "hold" else "refused the image"
    return ContentPolicyViolationError(
        f"The guardrail {name!r} {what}{_because(ruling)}. It was made and paid for, and is kept "
        "out of reach of callers until an admin releases it; a retry would buy another one.",
        code=CODE,
    )


def unavailable(name: str) -> ImageError:
    """Return why nothing is sent while a guardrail that fails closed gives no verdict."""
    return OverloadedError(
        f"The guardrail {name!r} gave no verdict, and without one nothing is sent here. Send the "
        "request again later.",
        code="guardrail_unavailable",
        retry_after_s=RETRY_S,
    )


def _because(ruling: Ruling) -> str:
    return f" ({ruling.category})" if ruling.category else ""
