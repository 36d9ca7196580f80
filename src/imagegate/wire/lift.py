"""The scanner that lifts images out of JSON while it arrives: `Lift` reads, `Lifted` is the result.

Long base64 strings become ranges of the stream (`Blob`), all else is the skeleton: the same JSON
in which each of them is replaced by a tag. The tag holds chance that was made outside, so nobody
who writes the JSON can forge one. A 6 MB body costs a few `bytes.find`, never a parse.
"""

import re
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from imagegate.errors import UPSTREAM_TEXT_BYTES_MAX, UpstreamEmptyError
from imagegate.types import Blob, Json
from imagegate.wire.base64_check import Base64Check

T = TypeVar("T")

LONG = 512
"""Strings up to this many bytes are never lifted."""
SMALL = 4096
"""A document up to this many bytes is its own skeleton."""
HEAD = 16 * 1024
"""So much of a string decides whether it is base64; decoding checks the rest, later."""
TAIL_OF_KEY = 96
DEPTH_MAX = 64

_SLASH, _BACKSLASH, _QUOTE = b'/\\"'
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BETWEEN = frozenset((b':"', b',"', b': "', b', "'))
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_DATA_URL = re.compile(rb"data:([\w.+\\/-]*)(?:;[\w.+=-]+)*?;base64,", re.IGNORECASE)
# Words of people are not lifted, even where they happen to look like base64.
_KEPT_KEY = re.compile(rb'"(?:\w*prompt|message|text)"\s*:\s*"$')


class LiftError(ValueError):
    """The document is beyond a bound: `reason` is `skeleton` (bytes), `depth` or `string`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Base64:
    """The type of a field whose JSON string is base64; `blob` names its bytes."""

    __slots__ = ("blob",)

    def __init__(self, blob: Blob) -> None:
        self.blob = blob

    def __repr__(self) -> str:
        return repr(self.blob)


class Lifted(Struct, frozen=True):
    """A document without its images: `skeleton` is its JSON, in which tag + index is a blob."""

    skeleton: bytes
    blobs: tuple[Blob, ...] = ()
    tag: str = ""

    def blob(self, text: str) -> Blob | None:
        """Return the blob that the string `text` of the skeleton stands for, or None."""
        if not self.tag or not text.startswith(self.tag):
            return None
        index = text[len(self.tag) :]
        known = index.isdecimal() and index.isascii() and int(index) < len(self.blobs)
        return self.blobs[int(index)] if known else None

    def decode(self, shape: type[T]) -> T:
        """Return the document as `shape`; each `Base64` field takes any string, long or short.

        Lenient: unknown fields are passed over. Raises `UpstreamEmptyError`
        (`upstream_invalid_image`) where the document is not of that shape.
        """
        try:
            return msgspec.json.decode(
                self.skeleton, type=shape, strict=False, dec_hook=self._decode_blob
            )
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
            raise UpstreamEmptyError(
                f"The upstream's answer is not what its API promises ({fault}). "
                "It may have been billed; look at the upstream's own log.",
                code="upstream_invalid_image",
            ) from fault

    def json(self) -> Json:
        """Return the document with tags for blobs; None where it is no JSON."""
        try:
            return msgspec.json.decode(self.skeleton)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    def text(self) -> str:
        """Return the first 8 KiB of the skeleton for humans, each blob as its size."""
        text = self.skeleton[:UPSTREAM_TEXT_BYTES_MAX].decode("utf-8", "replace")
        if not self.blobs:
            return text
        return re.sub(re.escape(self.tag) + r"\d+", self._show, text)

    def _show(self, found: re.Match[str]) -> str:
        blob = self.blob(found.group())
        return f"<image {blob.length} bytes>" if blob else found.group()

    def _decode_blob(self, shape: type, value: Any) -> Base64:
        if shape is not Base64 or not isinstance(value, str):
            raise TypeError(f"Expected a string of base64, got {type(value).__name__}")
        return Base64(self.blob(value) or blob_of_text(value))


def blob_of_text(text: str) -> Blob:
    """Return a blob over a short base64 string or base64 data URL; the media type is kept."""
    raw = text.encode("utf-8", "surrogatepass")
    prefix = _DATA_URL.match(raw)
    start = prefix.end() if prefix else 0
    media_type = prefix.group(1).decode("ascii", "replace").lower() if prefix else ""
    return Blob(raw, start, len(raw) - start, encoding="base64", media_type=media_type)


class _Range(Struct):
    """Where a lifted string's base64 lies in the stream, and what was seen in it."""

    offset: int
    media_type: str
    check: Base64Check | None
    length: int = 0
    backslashes: int = 0
    slashes: int = 0
    ends_in_backslash: bool = False

    def note(self, chunk: bytes, at: int, stop: int) -> None:
        """Look at the next part of the string, `chunk[at:stop]`."""
        if at == stop:
            return
        if self.check is not None:
            self.check.feed(chunk, at, stop)
        if self.ends_in_backslash and chunk[at] == _SLASH:
            self.slashes += 1
        self.ends_in_backslash = chunk[stop - 1] == _BACKSLASH
        if chunk.find(b"\\", at, stop) >= 0:
            self.backslashes += chunk.count(b"\\", at, stop)
            self.slashes += chunk.count(b"\\/", at, stop)

    def to_blob(self, source: object) -> Blob:
        """Return the blob. Any escape but `\\/` stays in it, so that decoding refuses it."""
        escaped = 0 < self.backslashes == self.slashes
        sound = self.check is not None and self.check.is_sound
        return Blob(source, self.offset, self.length, "base64", escaped, self.media_type, sound)


def is_plain(document: bytes | bytearray, depth_max: int = DEPTH_MAX) -> bool:
    """Whether a document is its own skeleton: small, and never too deep by its brackets."""
    return len(document) <= SMALL and document.count(b"[") + document.count(b"{") <= depth_max


class Lift:
    """Scans one document, chunk by chunk; what comes out does not depend on the cuts.

    `tag` replaces a lifted string in the skeleton; `offset` is the position of the first byte in
    the stream. The bounds are in bytes and levels. `checks`: decode the blobs as they come.
    """

    def __init__(
        self,
        tag: str,
        *,
        offset: int = 0,
        skeleton_bytes_max: int = 1024 * 1024,
        depth_max: int = DEPTH_MAX,
        checks: bool = False,
    ) -> None:
        self._tag = tag
        self._position = offset
        self._skeleton_bytes_max = skeleton_bytes_max
        self._depth_max = depth_max
        self._checks = checks
        self._held: bytearray | None = bytearray()
        self._out = bytearray()
        self._ranges: list[_Range] = []
        self._depth = 0
        self._in_string = False
        self._start = 0  # of the string's content, in the skeleton
        self._start_at = 0  # the same, in the stream
        self._undecided = False
        self._holds_quote = False
        self._lifting: _Range | None = None
        self._escape_open = False
        self._failed = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the document.

        Raises `LiftError`, once, when a bound is crossed; what follows is ignored then, and
        `finish` returns the first 8 KiB, for humans.
        """
        if self._failed or not chunk:
            return
        try:
            self._take(chunk)
        except LiftError:
            self._failed = True
            raise

    def seek(self, position: int) -> None:
        """Say that the next byte to be fed lies at `position` of the stream."""
        self._flush()
        self._position = position

    def finish(self, source: object) -> Lifted:
        """Return the result; `source` is where the blobs' bytes can be read. Never raises."""
        if self._held is not None:
            return Lifted(bytes(self._held), (), self._tag)
        if self._failed:
            del self._out[UPSTREAM_TEXT_BYTES_MAX:]
        if self._lifting is not None:
            self._lifting.length = self._position - self._lifting.offset
        blobs = tuple(found.to_blob(source) for found in self._ranges)
        return Lifted(bytes(self._out), blobs, self._tag)

    def _take(self, chunk: bytes) -> None:
        if self._held is not None:
            self._held += chunk
            if is_plain(self._held, self._depth_max):
                return
            self._flush()
        else:
            self._scan(chunk)

    def _flush(self) -> None:
        held, self._held = self._held, None
        if held:
            self._scan(bytes(held))

    def _scan(self, chunk: bytes) -> None:
        at = 0
        while at < len(chunk):
            at = self._inside(chunk, at) if self._in_string else self._outside(chunk, at)
        self._position += len(chunk)
        if len(self._out) > self._skeleton_bytes_max + HEAD * self._undecided:
            raise LiftError(
                "skeleton", f"more than {self._skeleton_bytes_max} bytes of JSON besides images"
            )

    def _outside(self, chunk: bytes, at: int) -> int:
        """Copy up to and with the next quote; return where to go on."""
        stop = chunk.find(b'"', at) + 1 or len(chunk)
        part = chunk[at:stop]
        self._out += part
        if part not in _BETWEEN:
            self._count_levels(part)
        if part.endswith(b'"'):
            self._in_string = self._undecided = True
            self._holds_quote = False
            self._start = len(self._out)
            self._start_at = self._position + stop
        return stop

    def _count_levels(self, part: bytes) -> None:
        for bracket in part.translate(None, _NOT_BRACKETS):
            self._depth += 1 if bracket in b"[{" else -1
            if self._depth > self._depth_max:
                raise LiftError("depth", f"JSON nested deeper than {self._depth_max} levels")

    def _inside(self, chunk: bytes, at: int) -> int:
        """Keep or pass over the string's content up to its end; return where to go on."""
        if self._start_at == self._position + at:
            end = chunk.find(b'"', at, at + LONG)
            if end >= 0 and chunk[end - 1] != _BACKSLASH:  # most strings: short, whole, plain
                self._out += chunk[at : end + 1]
                self._in_string = self._undecided = False
                return end + 1
        end = self._find_end(chunk, at)
        stop = len(chunk) if end < 0 else end
        if self._undecided:
            at = self._keep_head(chunk, at, stop, ended=end >= 0)
        if self._lifting is not None:
            self._refuse_quote()
            self._lifting.note(chunk, at, stop)
        else:
            self._out += chunk[at:stop]
        if end < 0:
            return stop
        self._close(self._position + end)
        return end + 1

    def _refuse_quote(self) -> None:
        # Text that starts as 16 KiB of base64 is no text; stepping over a million quotes of it
        # would hold up everybody else.
        if self._holds_quote:
            raise LiftError("string", "a base64 string holds an escaped quote")

    def _find_end(self, chunk: bytes, at: int) -> int:
        """Return the index of the closing quote, -1 where it is not in this chunk."""
        if self._escape_open:
            self._escape_open = False
            self._holds_quote |= chunk[at] == _QUOTE
            at += 1
        while True:
            end = chunk.find(b'"', at)
            stop = len(chunk) if end < 0 else end
            start = stop
            while start > at and chunk[start - 1] == _BACKSLASH:
                start -= 1
            is_escaped = (stop - start) % 2 == 1
            if end < 0:
                self._escape_open = is_escaped
            if end < 0 or not is_escaped:
                return end
            self._holds_quote = True
            at = end + 1

    def _keep_head(self, chunk: bytes, at: int, stop: int, *, ended: bool) -> int:
        """Copy the string's head; decide once it is whole. Return where the rest starts."""
        cut = min(stop, at + HEAD - (len(self._out) - self._start))
        self._out += chunk[at:cut]
        is_cut = len(self._out) - self._start >= HEAD
        if ended or is_cut:
            self._undecided = False
            self._decide()
        return cut

    def _decide(self) -> None:
        """Lift the string whose head stands at the end of the skeleton, if it is base64."""
        if len(self._out) - self._start <= LONG:
            return
        head = bytes(self._out[self._start :])
        prefix = _DATA_URL.match(head)
        data = head[prefix.end() :] if prefix else head
        if not _is_base64(data) or self._is_text():
            return
        media_type = (
            prefix.group(1).replace(b"\\", b"").decode("ascii", "replace") if prefix else ""
        )
        self._lifting = _Range(
            self._start_at + len(head) - len(data),
            media_type.lower(),
            Base64Check() if self._checks else None,
        )
        self._lifting.note(data, 0, len(data))
        del self._out[self._start :]
        self._out += f"{self._tag}{len(self._ranges)}".encode()
        self._ranges.append(self._lifting)

    def _is_text(self) -> bool:
        before = self._out[max(0, self._start - TAIL_OF_KEY) : self._start]
        return _KEPT_KEY.search(before) is not None

    def _close(self, position: int) -> None:
        self._in_string = False
        self._out += b'"'
        if self._lifting is not None:
            self._lifting.length = position - self._lifting.offset
            self._lifting = None


def lift_whole(document: bytes, tag: str) -> Lifted:
    """Return a document that is in memory lifted, its blobs decoded once.

    One beyond a bound is no answer of an image API; its start stays readable.
    """
    if is_plain(document):
        return Lifted(document, (), tag)
    scanner = Lift(tag, checks=True)
    with suppress(LiftError):
        scanner.feed(document)
    return scanner.finish(document)


def _is_base64(head: bytes) -> bool:
    """Whether `head`, the start of a JSON string, is base64 so far (`\\/` allowed)."""
    if b"\\" in head:
        head = head.replace(b"\\/", b"/").removesuffix(b"\\")
    return bool(head) and not head.rstrip(b"=").translate(None, _ALPHABET)
