"""The exchange log of a process: append-only records of what was sent out and what came back.

One file instead of a folder an attempt, because a folder costs more than a small call (see
docs/decisions/0001-journal.md). Bodies up to 64 KiB stand in the record, larger ones in a spool
file that the record names. A segment is deleted when none of its attempts is open any more.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct

from imagegate.types import ImageCall
from imagegate.wire.provider import Target

SEGMENT_BYTES = 8 * 1024 * 1024
RECORD_BYTES_MAX = 16 * 1024 * 1024


class Opened(Struct, frozen=True, tag="o", array_like=True):
    """An attempt is about to be sent: what a replay needs, without credentials.

    `is_guarded`: an image that comes must not be shown before a guardrail has let it pass.
    """

    attempt: str
    provider: str
    model: str
    call: ImageCall
    target: Target
    is_guarded: bool = False


class Head(Struct, frozen=True, tag="h", array_like=True):
    """Status and headers arrived. A small body stands here whole; a large one goes to `file`."""

    attempt: str
    number: int
    status: int
    headers: Mapping[str, str]
    events: bool = False
    body: bytes | None = None
    file: str = ""


class Done(Struct, frozen=True, tag="d", array_like=True):
    """The body in the file of answer `number` is complete: `size` bytes."""

    attempt: str
    number: int
    size: int


class Ended(Struct, frozen=True, tag="e", array_like=True):
    """The attempt needs this journal no more: it is in the ledger, and its bytes are in place."""

    attempt: str


Record: TypeAlias = Opened | Head | Done | Ended

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


class Journal:
    """Writes records in order. Synchronous appends: one `write` each, no buffer of our own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open_attempts: dict[str, int] = {}
        self._counts: dict[int, int] = {}
        self._segment = 0
        self._fd = -1
        self._size = 0
        self._start_segment()

    def append(self, record: Record) -> None:
        """Write one record; the first of an attempt must be `Opened`."""
        if isinstance(record, Opened):
            self._admit(record.attempt)
        data = _encoder.encode(record)
        data = len(data).to_bytes(4, "little") + data
        written = os.write(self._fd, data)
        if written != len(data):
            raise OSError(f"journal: only {written} of {len(data)} bytes were written")
        self._size += written

    def end(self, attempt: str) -> None:
        """Forget an attempt that is settled; drops its segment with the last one in it."""
        segment = self._open_attempts.pop(attempt, None)
        if segment is None:
            return
        self.append(Ended(attempt))
        self._counts[segment] -= 1
        if self._counts[segment] == 0 and segment != self._segment:
            self._drop(segment)

    def sync(self) -> None:
        """Force what was appended to the device (blocking)."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the current segment."""
        os.close(self._fd)

    def _admit(self, attempt: str) -> None:
        if self._size > SEGMENT_BYTES:
            old = self._segment
            os.close(self._fd)
            self._start_segment()
            if self._counts[old] == 0:
                self._drop(old)
        self._open_attempts[attempt] = self._segment
        self._counts[self._segment] += 1

    def _start_segment(self) -> None:
        self._segment += 1
        path = _segment_path(self._folder, self._segment)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = 0
        self._counts[self._segment] = 0

    def _drop(self, segment: int) -> None:
        del self._counts[segment]
        _segment_path(self._folder, segment).unlink(missing_ok=True)


def read_records(folder: Path) -> Iterator[Record]:
    """Yield the records of a process that is gone, oldest first; stops at a torn one."""
    for path in sorted(folder.glob("journal-*")):
        yield from _records_of(path)


def _records_of(path: Path) -> Iterator[Record]:
    with path.open("rb") as file:
        while len(prefix := file.read(4)) == 4:
            length = int.from_bytes(prefix, "little")
            data = file.read(length)
            if len(data) < length or length > RECORD_BYTES_MAX:
                return
            yield _decoder.decode(data)


def _segment_path(folder: Path, segment: int) -> Path:
    return folder / f"journal-{segment:06d}"
