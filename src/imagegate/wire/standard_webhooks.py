"""Standard Webhooks: secrets, and the headers that sign a message.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

SECRET_PREFIX = "whsec_"  # noqa: S105 - what a secret begins with
SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64


def read_secret(text: str) -> bytes:
    """Return the key of a secret. Raises `ValueError`, whose words do not quote it.

    A short one is refused, for whoever guesses it can tell a receiver anything.
    """
    shape = f"{SECRET_PREFIX} and the base64 of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes"
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if text.startswith(SECRET_PREFIX) and SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        return key
    raise ValueError(f"a webhook's secret is {shape}, random ones: openssl rand -base64 32")


def write_secret(key: bytes) -> str:
    """Return the text of a key."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def derive_key(root: bytes, holder: str) -> bytes:
    """Return the key of one holder, from which no other's follows."""
    return hmac.new(root, f"webhooks of {holder}".encode(), hashlib.sha256).digest()


def sign(keys: Sequence[bytes], message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """Return the headers of a message that is sent at `at_s`, with a signature by each key."""
    text = f"{message_id}.{at_s}.".encode() + body
    signatures = (base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()) for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{one.decode()}" for one in signatures),
    }
