"""Reads a request's body, piece by piece, into memory or into the call's spool."""

import asyncio
from collections.abc import Mapping

from imagegate.assets.spool import MEMORY_BYTES_MAX, CallSpool
from imagegate.errors import BadRequestError, RequestTooLargeError
from imagegate.gateway.channel import CallerLeftError
from imagegate.gateway.connection import Connection, Piece
from imagegate.wire.lift import Lift, Lifted, LiftError, is_plain

BODY_IDLE_S = 60.0
_JSON_TYPES = ("", "application/json", "text/json")
FORM_TYPE = "multipart/form-data"
SKELETON_BYTES_MAX = 1024 * 1024


class BodyReader:
    """The pieces of one body, with a limit on their sum and on the wait for each."""

    __slots__ = ("_bytes_max", "_connection", "_seen_bytes", "is_complete")

    def __init__(
        self, connection: Connection, headers: Mapping[bytes, bytes], bytes_max: int
    ) -> None:
        """Take the body of a request. Raises where its head already says that it is too large."""
        self._connection = connection
        self._bytes_max = bytes_max
        self._seen_bytes = 0
        self.is_complete = False
        self._check_size(int(headers.get(b"content-length", b"0")))

    async def next_chunk(self) -> bytes:
        """Return the next piece, `b""` at the end.

        Raises `CallerLeftError`; `RequestTooLargeError` past the limit; a 408 after `BODY_IDLE_S`
        without a byte.
        """
        while not self.is_complete:
            piece = self._connection.take_body() or await self._wait()
            chunk, self.is_complete = piece
            if chunk:
                self._seen_bytes += len(chunk)
                self._check_size(self._seen_bytes)
                return chunk
        return b""

    async def _wait(self) -> Piece:
        try:
            async with asyncio.timeout(BODY_IDLE_S):
                piece = await self._connection.next_body()
        except TimeoutError:
            raise BadRequestError(
                f"The body stopped for {BODY_IDLE_S:.0f} s before its end; nothing was sent on. "
                "Send the request again.",
                code="request_timeout",
                http_status=408,
            ) from None
        if piece is None:
            raise CallerLeftError
        return piece

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._bytes_max:
            raise RequestTooLargeError(
                f"The body has more than {self._bytes_max} bytes, which is the limit here. Send "
                "smaller files, or large ones as multipart/form-data."
            )


async def read_json(
    body: BodyReader, spool: CallSpool, *, skeleton_bytes_max: int = SKELETON_BYTES_MAX
) -> Lifted:
    """Return the JSON body with its data urls lifted out; over 64 KiB it stands in the spool.

    Raises `BadRequestError` or `RequestTooLargeError` where it is too deep or too long.
    """
    chunk = await body.next_chunk()
    if body.is_complete and is_plain(chunk):
        return Lifted(chunk)
    # The call's id is random and new, so that no caller can write a placeholder of ours.
    lift = Lift(f"blob:{spool.call_id}:", skeleton_bytes_max=skeleton_bytes_max)
    try:
        return await _lift_body(chunk, body, spool, lift)
    except LiftError as error:
        message = f"The JSON body is not read any further: {error}."
        if error.reason == "skeleton":
            raise RequestTooLargeError(message) from error
        raise BadRequestError(message, code="invalid_json") from error


async def _lift_body(chunk: bytes, body: BodyReader, spool: CallSpool, lift: Lift) -> Lifted:
    lift.feed(chunk)
    if body.is_complete and len(chunk) <= MEMORY_BYTES_MAX:
        return lift.finish(chunk)
    file = spool.new_file()
    while chunk:
        file.write(chunk)
        chunk = await body.next_chunk()
        lift.feed(chunk)
    return lift.finish(file)


def is_form(headers: Mapping[bytes, bytes]) -> bool:
    """Return whether the body is a form (else it is JSON).

    Raises `BadRequestError` (415) where it says that it is neither, or that it is compressed.
    """
    encoding = headers.get(b"content-encoding", b"").decode("latin-1")
    if encoding and encoding.strip().lower() not in ("", "identity"):
        raise _unsupported(f"The body is compressed ({encoding!r}); send it as it is.")
    full_type = headers.get(b"content-type", b"").decode("latin-1")
    if full_type in _JSON_TYPES:
        return False
    media_type = full_type.partition(";")[0].strip().lower()
    if media_type == FORM_TYPE:
        return True
    if media_type in _JSON_TYPES or media_type.endswith("+json"):
        return False
    raise _unsupported(
        f"The content type {media_type!r} is not read here; send application/json, or "
        f"multipart/form-data for files."
    )


def _unsupported(message: str) -> BadRequestError:
    return BadRequestError(message, code="unsupported_media_type", http_status=415)
