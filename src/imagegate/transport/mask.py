"""Hides our own credential in what an upstream says back, before anything is kept of it.

Some upstreams repeat the key that they refuse, or the whole request. Patterns find keys that look
like keys; here the very secrets are known that a request carried. Stars take their place one for
one, so that lengths and offsets stay as they were. Token services are upstreams, too.
"""

import json
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import lru_cache
from typing import Self, TypeAlias
from urllib.parse import quote

from imagegate.config.settings import Credential
from imagegate.types import Json

SECRET_CHARS_MIN = 8
"""A shorter one is a word like `none`, which answers hold for other reasons."""

MESSAGE_CHARS_MAX = 300
_GOOGLE = frozenset(("private_key", "private_key_id", "client_secret", "refresh_token"))
_AWS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_web_identity_token")
_SIGNING = ("authorization", "x-amz-security-token")

Spelling: TypeAlias = bytes


class Mask:
    """The secrets of one request, in each spelling in which JSON or a url may repeat them."""

    def __init__(self, credential: Credential, headers: Mapping[str, str]) -> None:
        self._spellings = _spellings((*_own(credential), *_sent(headers)))

    def hide(self, data: bytes) -> bytes:
        """Return `data` with a star for each byte of a secret."""
        for spelling in self._spellings:
            if spelling in data:
                data = data.replace(spelling, b"*" * len(spelling))
        return data

    def hide_in(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return `headers` with masked values."""
        values = "\n".join(headers.values()).encode("utf-8", "surrogateescape")
        if self.hide(values) is values:
            return headers
        return {
            name: self.hide(value.encode("utf-8", "surrogateescape")).decode(
                "utf-8", "surrogateescape"
            )
            for name, value in headers.items()
        }

    def stream(
        self, chunks: AsyncIterator[bytes], *, bytes_max: int | None = None
    ) -> AsyncIterator[bytes]:
        """Return `chunks` masked, also where a secret is cut in two; `bytes_max` from the start.

        Only what may be the beginning of a secret waits for the chunk after it.
        """
        return _Masked(self, chunks, bytes_max) if self._spellings else chunks

    def beginning(self, data: bytes) -> int:
        """Return where a secret may begin that goes on in the next chunk; else the end."""
        return min((_tail(data, spelling) for spelling in self._spellings), default=len(data))


class _Masked:
    """A body's chunks on their way through a mask. A generator would cost more than the search."""

    def __init__(self, mask: Mask, chunks: AsyncIterator[bytes], bytes_max: int | None) -> None:
        self._mask = mask
        self._chunks = chunks
        self._left_bytes = sys.maxsize if bytes_max is None else bytes_max
        self._held = b""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while True:
            try:
                chunk = await self._chunks.__anext__()
            except StopAsyncIteration:
                if not self._held:
                    raise
                held, self._held = self._held, b""
                return held
            if data := self._feed(chunk):
                return data

    def _feed(self, chunk: bytes) -> bytes:
        if self._left_bytes < 0:
            return chunk
        self._left_bytes -= len(chunk)
        data, self._held = self._mask.hide(self._held + chunk), b""
        if self._left_bytes >= 0:
            cut = self._mask.beginning(data)
            if cut < len(data):
                data, self._held = data[:cut], data[cut:]
        return data


def said(text: str, credential: Credential) -> str:
    """Return the first line of what somebody said of a credential: masked, and cut after that."""
    line = text.partition("\n")[0].encode("utf-8", "replace")
    return Mask(credential, {}).hide(line).decode()[:MESSAGE_CHARS_MAX]


def _tail(data: bytes, spelling: Spelling) -> int:
    first = spelling[:1]
    at = data.find(first, max(0, len(data) - len(spelling) + 1))
    while at >= 0 and not spelling.startswith(data[at:]):
        at = data.find(first, at + 1)
    return at if at >= 0 else len(data)


def _own(credential: Credential) -> list[str]:
    own = [credential.secret.reveal()]
    if credential.kind == "google":
        own += _in_account(own[0])
    own += [header.reveal() for header in credential.headers.values()]
    own += [credential.aws[name].reveal() for name in _AWS if name in credential.aws]
    return own


@lru_cache(maxsize=256)  # the same few, once a call
def _in_account(text: str) -> tuple[str, ...]:
    """Return the secrets that stand in an account of Google's."""
    return tuple(_named_secrets(json.loads(text))) if text else ()


def _named_secrets(value: Json) -> Iterable[str]:
    for name, item in value.items() if isinstance(value, dict) else ():
        if isinstance(item, str) and name in _GOOGLE:
            yield item
        yield from _named_secrets(item)


def _sent(headers: Mapping[str, str]) -> list[str]:
    """Return the tokens that were fetched for this request, without the word for their kind."""
    return [headers[name].rpartition(" ")[2] for name in _SIGNING if name in headers]


@lru_cache(maxsize=256)
def _spellings(secrets: tuple[str, ...]) -> tuple[Spelling, ...]:
    """Return all spellings, once each. The same few secrets are asked for with every request."""
    found: dict[Spelling, None] = {}
    for secret in secrets:
        for text in (
            secret,
            secret.rpartition(" ")[2],
            secret.replace("/", "\\/"),
            quote(secret, ""),
        ):
            if len(text) >= SECRET_CHARS_MIN:
                found[text.encode()] = None
    return tuple(found)
