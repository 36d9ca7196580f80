"""Signed urls of kept images: who has one may fetch that image until it expires, and no other.

The signature is an HMAC-SHA256 over the asset's id and the time of expiry. Its key is made of the
operator's secret, or drawn once and kept in the data folder, so that urls outlive the process.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

KEY_BYTES = 32
KEY_FILE = "links.key"
PATH = "/v1/images/assets/"
SUFFIXES = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/svg+xml": "svg",
}
_UNKNOWN_SUFFIX = "bin"


class Links:
    """Makes and checks the urls of one data folder."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def path_of(self, asset_id: str, media_type: str, *, expires_at: float) -> str:
        """Return path and query of an image's url, which ends at `expires_at` (unix seconds)."""
        expires = str(int(expires_at))
        suffix = suffix_of(media_type)
        signature = self._sign(asset_id, expires)
        return f"{PATH}{asset_id}.{suffix}?expires={expires}&signature={signature}"

    def is_valid(self, asset_id: str, expires: str, signature: str, *, now_s: float) -> bool:
        """Return whether the signature is ours, for this very asset and time, and the time left."""
        if not (expires.isascii() and expires.isdecimal() and signature.isascii()):
            return False
        is_ours = hmac.compare_digest(signature, self._sign(asset_id, expires))
        return is_ours and int(expires) > now_s

    def _sign(self, asset_id: str, expires: str) -> str:
        # Neither part can hold a line break, so no two pairs make the same text.
        text = f"{asset_id}\n{expires}".encode()
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()


def open_links(folder: str, secret: str = "") -> Links:
    """Return the links of a `secret`, else of a data folder, whose key is drawn where it has none.

    Raises `OSError` where the key cannot be written or read.
    """
    if secret:
        return Links(hashlib.sha256(secret.encode()).digest())
    path = Path(folder) / KEY_FILE
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileExistsError):
        _write_key(path)
    return Links(path.read_bytes())


def suffix_of(media_type: str) -> str:
    """Return what a url of this type ends in, without the dot."""
    return SUFFIXES.get(media_type, _UNKNOWN_SUFFIX)


def _write_key(path: Path) -> None:
    """Write a new key whole or not at all: another process may look at the same moment."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(KEY_BYTES))
    finally:
        os.close(descriptor)
    try:
        os.link(part, path)
    finally:
        part.unlink()
