"""Checks an image that an upstream sent, once: base64, header, end; no pixel is decoded."""

import msgspec

from imagegate.assets.blobs import head_and_tail, raw_bytes, read_bytes, read_chunks
from imagegate.errors import UpstreamEmptyError
from imagegate.types import Blob
from imagegate.wire.image_header import sniff

KNOWN_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/svg+xml")
SMALL_BYTES_MAX = 64 * 1024
ADVICE = "It may have been billed: do not send it again before you have looked."


def check_answer_blob(blob: Blob) -> Blob:
    """Return the blob with media type and size in px filled in from its own bytes.

    Raises `UpstreamEmptyError` (`upstream_invalid_image`) where it is not base64, not an image,
    or breaks off before its end: an ambiguous fault, never a success.
    """
    try:
        head, tail, size_bytes = _ends(blob)
    except ValueError as error:
        raise _invalid(f"its base64 is broken ({error})") from error
    header = sniff(head, tail, size_bytes=size_bytes)
    if header is None or header.media_type not in KNOWN_TYPES:
        found = header.media_type if header else "no image format that we know"
        raise _invalid(f"it is {found}, {blob.length} bytes")
    if not header.complete:
        raise _invalid(f"the {header.media_type} breaks off before its end")
    return msgspec.structs.replace(
        blob,
        media_type=header.media_type,
        width_px=header.width_px,
        height_px=header.height_px,
    )


def _ends(blob: Blob) -> tuple[bytes, bytes, int]:
    """Return the first and last raw bytes and the size in bytes; every byte is decoded once.

    Raises `ValueError` where stored base64 is not base64.
    """
    if blob.length <= SMALL_BYTES_MAX:
        whole = read_bytes(blob)
        return whole, whole, len(whole)
    if blob.encoding == "base64" and not blob.sound:
        for _ in read_chunks(blob):  # decodes, keeps nothing
            pass
    return *head_and_tail(blob), raw_bytes(blob)


def _invalid(reason: str) -> UpstreamEmptyError:
    return UpstreamEmptyError(
        f"The upstream answered with something that is not a whole image: {reason}. {ADVICE}",
        code="upstream_invalid_image",
    )
