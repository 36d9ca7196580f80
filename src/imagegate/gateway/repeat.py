"""Whether a request was made before: what its head says of it, and what it asks for."""

from collections.abc import Mapping

from imagegate.call_options import AttachTerms
from imagegate.errors import BadRequestError
from imagegate.fingerprint import fingerprint
from imagegate.ledger.people import Account
from imagegate.types import ImageCall

KEY_CHARS_MAX = 255


async def attach_terms(
    call: ImageCall, headers: Mapping[bytes, bytes], account: Account
) -> AttachTerms:
    """Return by what terms a call may join one that was made before.

    A team shares its idempotency keys; without one, only the same key of ours meets itself.

    Raises `BadRequestError` whose `param` is the header, where a value means nothing.
    """
    return AttachTerms(
        fingerprint=await fingerprint(call, account.key_id or ""),
        holder=account.team_id or account.key_id or "",
        key=_key(headers.get(b"idempotency-key")),
        is_retry=_retry_count(headers.get(b"x-stainless-retry-count", b"")) > 0,
        is_new=_is_new(headers.get(b"x-imagegate-new-call")),
    )


def _key(value: bytes | None) -> str:
    if value is None:
        return ""
    key = value.decode("latin-1").strip()
    if not (0 < len(key) <= KEY_CHARS_MAX and key.isascii() and key.isprintable()):
        raise BadRequestError(
            f"The header Idempotency-Key takes 1 to {KEY_CHARS_MAX} printable ASCII characters.",
            param="Idempotency-Key",
        )
    return key


def _retry_count(value: bytes) -> int:
    return int(value) if value.isdigit() and len(value) < 4 else 0


def _is_new(value: bytes | None) -> bool:
    if value is None:
        return False
    text = value.decode("latin-1").strip().lower()
    if text not in ("true", "false"):
        raise BadRequestError(
            f"The header x-imagegate-new-call is {text[:40]!r}; use 'true' or 'false'.",
            param="x-imagegate-new-call",
        )
    return text == "true"
