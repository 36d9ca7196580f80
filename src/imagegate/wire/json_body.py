"""Builds JSON bodies whose images are streamed: `Base64` and `DataUrl` values become blobs."""

import msgspec
from msgspec import Raw

from imagegate.types import Blob, Body, Encoded, Json
from imagegate.wire.lift import Base64

# JSON text never holds this byte raw, so nobody's words can be taken for a place of ours.
_PLACE = b"\0"


class DataUrl:
    """A value that stands in JSON as a `data:` URL of its blob."""

    __slots__ = ("blob",)

    def __init__(self, blob: Blob) -> None:
        self.blob = blob


def build_json(value: Json) -> Body:
    """Return `value` as JSON; each `Base64` or `DataUrl` in it is streamed from its blob."""
    blobs: list[Blob] = []

    def place(item: object) -> Raw:
        if not isinstance(item, Base64 | DataUrl):
            raise NotImplementedError(f"{type(item).__name__} has no place in JSON")
        blobs.append(item.blob)
        prefix = f"data:{item.blob.media_type};base64," if isinstance(item, DataUrl) else ""
        return Raw(b'"' + prefix.encode() + _PLACE + b'"')

    text = msgspec.json.encode(value, enc_hook=place)
    if not blobs:
        return (text,)
    first, *others = text.split(_PLACE)
    body: list[bytes | Blob | Encoded] = [first]
    for blob, text in zip(blobs, others, strict=True):
        body += [Encoded(blob), text]
    return tuple(body)
