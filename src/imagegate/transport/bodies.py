"""Bodies on their way: out of the spool to an upstream, and from an upstream into the spool."""

import os
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress

from aiohttp import payload
from aiohttp.abc import AbstractStreamWriter

from imagegate.assets.spool import (
    MEMORY_BYTES_MAX,
    CallSpool,
    SpoolFile,
    body_bytes,
    body_chunks,
)
from imagegate.errors import UpstreamFailedError
from imagegate.types import Body
from imagegate.wire.lift import Lift, Lifted, LiftError

INFLATE_CHUNK_BYTES = 256 * 1024
_TAG = f"blob:{os.urandom(8).hex()}:"


class OutgoingBody(payload.Payload):
    """A body that is streamed from the spool and knows whether all of it was handed over.

    `is_sent` decides a fault: until the last byte was written, nothing can have been bought.
    """

    _autoclose = True

    def __init__(self, body: Body) -> None:
        super().__init__(body)
        self._body = body
        self._size = body_bytes(body)
        self.is_sent = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - aiohttp's signature
        """Refuse: a body is never a string here."""
        raise TypeError("a body is streamed, never decoded")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all chunks."""
        await self.write_with_length(writer, None)

    async def write_with_length(
        self,
        writer: AbstractStreamWriter,
        content_length: int | None,  # noqa: ARG002 - aiohttp's
    ) -> None:
        """Write all chunks; the length was announced from the same body."""
        for chunk in body_chunks(self._body):
            await writer.write(chunk)
        self.is_sent = True


class IncomingBody:
    """Where an answer goes: memory up to 64 KiB, a spool file beyond, scanned as it comes.

    `on_file` is told once when a file is begun, so that the journal knows whose it is.
    """

    def __init__(self, spool: CallSpool, on_file: Callable[[SpoolFile], None]) -> None:
        self._spool = spool
        self._on_file = on_file
        self._memory: list[bytes] = []
        self._size = 0
        self._lift = Lift(new_tag(), checks=True)
        self.file: SpoolFile | None = None

    @property
    def data(self) -> bytes:
        """The whole body, where no file was made."""
        return b"".join(self._memory)

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk."""
        with suppress(LiftError):  # no answer of an image API; its start stays readable
            self._lift.feed(chunk)
        self._size += len(chunk)
        if self.file is not None:
            self.file.write(chunk)
            return
        self._memory.append(chunk)
        if self._size > MEMORY_BYTES_MAX:
            self.file = self._spool.new_file()
            self._on_file(self.file)
            self.file.write(self.data)
            self._memory.clear()

    def finish(self) -> Lifted:
        """Return the lifted body; its blobs are ranges of the file or of the bytes."""
        return self._lift.finish(self.data if self.file is None else self.file)


async def read_body(chunks: AsyncIterator[bytes], body: IncomingBody, *, bytes_max: int) -> None:
    """Feed all chunks to `body`.

    Raises `UpstreamFailedError` where the body is larger than `bytes_max`.
    """
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > bytes_max:
            raise too_large(bytes_max)
        body.feed(chunk)


async def inflated(
    chunks: AsyncIterator[bytes], encoding: str, *, bytes_max: int
) -> AsyncIterator[bytes]:
    """Yield decoded chunks of a body that came compressed although we asked for identity.

    Decoded bytes are counted while they come, so that a decompression bomb is cut at `bytes_max`.
    Raises `UpstreamFailedError` for that, for broken data and for an encoding unknown to us.
    """
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise UpstreamFailedError(
            f"The upstream answered with content-encoding {encoding!r} although identity was "
            "asked for; it may have been billed. Switch compression off at the upstream."
        )
    inflater = zlib.decompressobj(wbits=47 if encoding != "deflate" else 15)
    size = 0
    async for chunk in chunks:
        for piece in _inflate(inflater, chunk):
            size += len(piece)
            if size > bytes_max:
                raise too_large(bytes_max)
            yield piece
    if not inflater.eof:
        raise UpstreamFailedError(
            "The upstream's compressed answer breaks off; it may have been billed."
        )


def _inflate(inflater: "zlib._Decompress", chunk: bytes) -> Iterator[bytes]:
    try:
        while chunk:
            yield inflater.decompress(chunk, INFLATE_CHUNK_BYTES)
            chunk = inflater.unconsumed_tail
    except zlib.error as error:
        raise UpstreamFailedError(
            f"The upstream's compressed answer is broken ({error}); it may have been billed."
        ) from error


def too_large(bytes_max: int) -> UpstreamFailedError:
    """Return the error for an answer beyond the limit."""
    return UpstreamFailedError(
        f"The upstream's answer is larger than {bytes_max} bytes (assets.answer_bytes_max), so it "
        "was cut; it may have been billed. Raise the limit if such answers are wanted."
    )


def new_tag() -> str:
    """Return the tag for lifted blobs: the process's own secret, which no upstream ever sees."""
    return _TAG
