"""`GET /v1/images/assets/{id}.{ext}`: a kept image, for whoever has its signed url.

The url is the permission, so no key is asked for. What we serve was made by others: a browser is
told to take it as the type that its bytes have, and to run nothing in it.
"""

import asyncio
import hashlib
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TypeAlias

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from imagegate import clock
from imagegate.assets.blobs import raw_bytes, read_chunks
from imagegate.assets.links import Links, suffix_of
from imagegate.errors import NotFoundError, PermissionDeniedError
from imagegate.ledger.records import AssetRecord
from imagegate.runtime.assemble import Runtime
from imagegate.stored import open_asset
from imagegate.types import Blob

INLINE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif")
"""What a browser may show in place; an SVG can hold scripts, so it is saved."""

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
Span: TypeAlias = tuple[int, int]
"""The first byte, and the one after the last."""


async def get_asset(request: Request) -> Response:
    """Return the image, whole or the one range that was asked for.

    Raises `PermissionDeniedError` for a url that is not ours or has expired, `NotFoundError` for
    an image that is not kept any more.
    """
    runtime: Runtime = request.app.state.gateway.runtime
    asset_id, _, suffix = request.path_params["name"].partition(".")
    expires = request.query_params.get("expires", "")
    _check_link(runtime.tools.links, asset_id, expires, request.query_params.get("signature", ""))
    asset = await runtime.tools.ledger.get_asset(asset_id)
    if asset is None or suffix != suffix_of(asset.media_type):
        raise _gone(asset_id)
    return await send_asset(request, asset, max(0, int(expires) - int(clock.now_s())))


async def send_asset(
    request: Request, asset: AssetRecord, age_s: int, *, may_be_held: bool = False
) -> Response:
    """Return a kept image, or the range of it that was asked for; it may be cached for `age_s`.

    A whole one comes with its SHA-256 (`Repr-Digest`, RFC 9530). Raises `NotFoundError` where its
    file is gone.
    """
    runtime: Runtime = request.app.state.gateway.runtime
    try:
        opened = await open_asset(
            asset, runtime.tools.ledger, runtime.tools.store, may_be_held=may_be_held
        )
    except OSError as error:
        raise _gone(asset.id) from error
    source, blob = opened.file, opened.blob
    headers = _headers(asset, age_s)
    try:
        size = raw_bytes(blob)
        span = _span(request.headers, size, _etag(asset))
        if span == (0, size):
            sha256 = asset.sha256 or await asyncio.to_thread(_sha256, blob)
            headers["repr-digest"] = f"sha-256=:{b64encode(bytes.fromhex(sha256)).decode()}:"
    except BaseException:
        source.close()
        raise
    if span is None or request.method == "HEAD":
        source.close()
    if span is None:
        headers["content-range"] = f"bytes */{size}"
        return Response(status_code=416, headers=headers)
    return _answer(request, blob, size, span, headers)


def _sha256(blob: Blob) -> str:
    sha256 = hashlib.sha256()
    for chunk in read_chunks(blob):
        sha256.update(chunk)
    return sha256.hexdigest()


def _answer(
    request: Request, blob: Blob, size: int, span: Span, headers: dict[str, str]
) -> Response:
    start, end = span
    headers["content-length"] = str(end - start)
    is_part = end - start < size
    if is_part:
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    status = 206 if is_part else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_send(blob, start, end), status_code=status, headers=headers)


def _check_link(links: Links | None, asset_id: str, expires: str, signature: str) -> None:
    now_s = clock.now_s()
    if links is not None and links.is_valid(asset_id, expires, signature, now_s=now_s):
        return
    if links is not None and links.is_valid(asset_id, expires, signature, now_s=0):
        raise PermissionDeniedError(
            "This url has expired; the call's owner can get a new one.", code="url_expired"
        )
    raise PermissionDeniedError(
        "This url's signature does not fit; use the url exactly as it was given.",
        code="invalid_signature",
    )


def _gone(asset_id: str) -> NotFoundError:
    return NotFoundError(f"There is no image {asset_id} any more.", code="image_not_found")


def _headers(asset: AssetRecord, age_s: int) -> dict[str, str]:
    is_inline = asset.media_type in INLINE_TYPES
    name = f"{asset.id}.{suffix_of(asset.media_type)}"
    return {
        "content-type": asset.media_type or "application/octet-stream",
        "content-disposition": f'{"inline" if is_inline else "attachment"}; filename="{name}"',
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox",
        "cross-origin-resource-policy": "cross-origin",
        "referrer-policy": "no-referrer",
        "cache-control": f"private, max-age={age_s}, immutable",
        "accept-ranges": "bytes",
        "etag": _etag(asset),
    }


def _etag(asset: AssetRecord) -> str:
    return f'"{asset.id}"'


def _span(headers: Headers, size: int, etag: str) -> Span | None:
    """Return the bytes that are asked for, None where there are no such bytes.

    What is no single range asks for all, as RFC 9110 has it.
    """
    match = _RANGE.fullmatch(headers.get("range", "").replace(" ", ""))
    if match is None or not any(match.groups()) or headers.get("if-range", etag) != etag:
        return 0, size
    first, last = match.groups()
    if not first:
        count = int(last)
        return (max(0, size - count), size) if count and size else None
    start, end = int(first), min(int(last) + 1, size) if last else size
    if last and int(last) < int(first):
        return 0, size
    return (start, end) if start < size else None


async def _send(blob: Blob, start: int, end: int) -> AsyncIterator[bytes]:
    try:
        for chunk in _cut(read_chunks(blob), start, end):
            yield chunk
    finally:
        blob.source.close()  # type: ignore[attr-defined]


def _cut(chunks: Iterable[bytes], start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes from `start` up to `end` of what `chunks` are together."""
    at = 0
    for chunk in chunks:
        piece = chunk[max(0, start - at) : max(0, end - at)]
        if piece:
            yield piece
        at += len(chunk)
        if at >= end:
            return
