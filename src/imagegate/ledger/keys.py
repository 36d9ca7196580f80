"""Virtual keys: how a secret is made, told apart and compared. Only its hash is kept.

A key reads `sk-ig-<prefix>-<secret>`. The prefix is looked up; the whole is hashed with SHA-256,
which is enough for 256 bits of chance.
"""

import hashlib
import hmac
import re
import secrets

from msgspec import Struct

from imagegate.ledger.people import SecretRecord

KEY_MARK = "sk-ig-"
_PREFIX_BYTES = 6
_SECRET_BYTES = 32
_SHAPE = re.compile(rb"sk-ig-([0-9a-f]{12})-[A-Za-z0-9_-]{43}")


class GivenKey(Struct, frozen=True):
    """A key as somebody sent it. `prefix` is None where it is none of ours by its shape."""

    prefix: str | None
    sha256: str


def new_secret(key_id: str, now_s: float) -> tuple[str, SecretRecord]:
    """Return a new key as its owner gets it, once, and the record that stays here."""
    prefix = secrets.token_hex(_PREFIX_BYTES)
    whole = f"{KEY_MARK}{prefix}-{secrets.token_urlsafe(_SECRET_BYTES)}"
    digest = hashlib.sha256(whole.encode()).hexdigest()
    return whole, SecretRecord(prefix=prefix, key_id=key_id, sha256=digest, created_at=now_s)


def read_key(given: bytes) -> GivenKey:
    """Return by what a key is looked up and compared."""
    match = _SHAPE.fullmatch(given)
    return GivenKey(match[1].decode() if match else None, hashlib.sha256(given).hexdigest())


def is_same(given: GivenKey, sha256: str) -> bool:
    """Return whether `given` has this hash; how long that takes tells nothing."""
    return hmac.compare_digest(given.sha256, sha256)
