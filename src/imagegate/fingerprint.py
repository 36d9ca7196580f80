"""What a request asks for, as a short text: two requests are the same where theirs are equal.

Each field that was given stands in it by a digest, so that a difference can be named and nothing
of a prompt is kept. Files count by length and SHA-256; whether the answer is streamed does not.
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache

import msgspec
from msgspec.structs import astuple

from imagegate.assets.blobs import CHUNK_BYTES, read_chunks
from imagegate.types import Blob, FileId, ImageCall, Json

DIGEST_CHARS = 24
_FIELDS = ImageCall.__struct_fields__
_UNCOUNTED = frozenset(("id", "stream", "images", "mask", "markup", "extra"))
_DEFAULTS = {"prompt": "", "n": 1}  # of fields that are never None; they count as not given
# Fields of which everybody sends the same few values; a prompt is never held here.
_REPEATED = frozenset(("operation", "model", "size", "quality", "output_format", "response_format"))
_HOLDER = ""  # no field has this name
_canonical = msgspec.json.Encoder(order="deterministic")


async def fingerprint(call: ImageCall, holder: str) -> str:
    """Return the fingerprint of a call that `holder` makes; large inputs are read in a thread.

    Raises `ValueError` where an input's base64 is none.
    """
    fields = dict(call.extra) | {
        name: value
        for name, value in zip(_FIELDS, astuple(call), strict=True)
        if value is not None and name not in _UNCOUNTED
    }
    for name, default in _DEFAULTS.items():
        if fields[name] == default:
            del fields[name]
    if call.operation != "generate":
        fields |= await _read_inputs(call)
    digests = {_HOLDER: holder}
    for name in sorted(fields):
        digests[name] = (_repeated if name in _REPEATED else digest)(fields[name])
    return msgspec.json.encode(digests).decode()


def with_guardrails(text: str, guardrails: Json) -> str:
    """Return the fingerprint of a call that meets these guardrails.

    Who meets others has not made the same request: what let the image pass there may hold it here.
    """
    fields = {**_read(text), "guardrails": digest(guardrails)}
    return json.dumps(dict(sorted(fields.items())), separators=(",", ":"))


def differing(one: str, other: str) -> tuple[str, ...]:
    """Return the names of the fields in which two fingerprints differ, whoever holds them."""
    ours, theirs = _read(one), _read(other)
    names = sorted((ours.keys() | theirs.keys()) - {_HOLDER})
    return tuple(name for name in names if ours.get(name) != theirs.get(name))


def asked_for(text: str, name: str, value: Json) -> bool:
    """Return whether the fingerprint's call gave the field `name` this very value."""
    return _read(text).get(name) == digest(value)


def digest(value: Json) -> str:
    """Return what stands for a field's value; the same for equal JSON, whatever its order."""
    try:
        canonical = _canonical.encode(value)
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can write and UTF-8 cannot
        canonical = json.dumps(value, sort_keys=True, default=msgspec.to_builtins).encode()
    return hashlib.sha256(canonical).hexdigest()[:DIGEST_CHARS]


@lru_cache(maxsize=1024)
def _repeated(text: str) -> str:
    return digest(text)


async def _read_inputs(call: ImageCall) -> dict[str, Json]:
    inputs = [part for part in (*call.images, call.mask, call.markup) if isinstance(part, Blob)]
    if sum(part.length for part in inputs) > CHUNK_BYTES:
        return await asyncio.to_thread(_inputs, call)
    return _inputs(call)


def _inputs(call: ImageCall) -> dict[str, Json]:
    found = {"image": [_input(image) for image in call.images]} if call.images else {}
    overlays = {"mask": call.mask, "markup": call.markup}
    return found | {name: _input(part) for name, part in overlays.items() if part is not None}


def _input(part: Blob | FileId) -> Json:
    if isinstance(part, FileId):
        return part.id
    sha256 = hashlib.sha256()
    length = 0
    for chunk in read_chunks(part):
        sha256.update(chunk)
        length += len(chunk)
    return [length, sha256.hexdigest()]


def _read(text: str) -> Mapping[str, str]:
    fields: dict[str, str] = json.loads(text)
    return fields
