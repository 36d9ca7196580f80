"""Server-sent events as they arrive: `EventScanner` cuts the stream into events, images lifted."""

from imagegate.errors import UPSTREAM_TEXT_BYTES_MAX, UpstreamFailedError
from imagegate.wire.exchange import Event
from imagegate.wire.lift import Lift, LiftError

EVENT_SKELETON_BYTES_MAX = 1024 * 1024  # a whole response, with its instructions
_DATA = b"data:"
_PREFIX_BYTES = len(_DATA) + 1  # with the one space that belongs to the syntax


class EventScanner:
    """Reads one stream. Lines end with LF, CR or CRLF; an event ends with an empty line.

    `source` is where the stream's bytes can be read again: blobs are ranges of it. The closing
    `[DONE]` of some servers is no event.
    """

    def __init__(self, source: object, tag: str) -> None:
        self._source = source
        self._tag = tag
        self._position = 0
        self._end = 0
        self._line = bytearray()  # the line's start, or all of a line that is not data
        self._in_data = False
        self._after_cr = False
        self._name = ""
        self._lift: Lift | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes; return the events that they complete.

        Raises `UpstreamFailedError` where an event has more JSON than any image event needs.
        """
        events: list[Event] = []
        at = 1 if self._after_cr and chunk.startswith(b"\n") else 0
        self._after_cr = self._after_cr and not chunk
        newline = -1
        while at < len(chunk):
            if newline < at:
                # memchr finds one byte; a search for the empty line is ten times slower.
                newline = chunk.find(b"\n", at) % (len(chunk) + 1)
            end = chunk.find(b"\r", at, newline)
            end = newline if end < 0 else end
            self._take_checked(chunk, at, end)
            if end == len(chunk):
                break
            at = self._after_line_end(chunk, end)
            self._end = self._position + at
            events += self._end_line()
        self._position += len(chunk)
        return events

    def finish(self) -> list[Event]:
        """Return the last event, where only its empty line is missing and its data is whole."""
        self._end_line()
        self._end = self._position
        event = self._close()
        return [event] if event and event.data.json() is not None else []

    def _after_line_end(self, chunk: bytes, end: int) -> int:
        if chunk[end : end + 1] == b"\n":
            return end + 1
        self._after_cr = end + 1 == len(chunk)
        return end + 2 if chunk[end + 1 : end + 2] == b"\n" else end + 1

    def _take_checked(self, chunk: bytes, at: int, end: int) -> None:
        try:
            self._take(chunk, at, end)
        except LiftError as fault:
            raise UpstreamFailedError(
                f"The upstream's event stream cannot be read ({fault}); it may have been billed."
            ) from fault

    def _take(self, chunk: bytes, at: int, end: int) -> None:
        """Take a part of a line: data goes to the scanner, the start of other lines is kept."""
        if not self._in_data and len(self._line) < _PREFIX_BYTES:
            cut = min(end, at + _PREFIX_BYTES - len(self._line))
            self._line += chunk[at:cut]
            at = cut
            if len(self._line) == _PREFIX_BYTES and self._line.startswith(_DATA):
                self._open_data(self._position + at)
        if self._in_data and self._lift:
            self._lift.feed(chunk[at:end])
        elif at < end:
            self._line += chunk[at : min(end, at + UPSTREAM_TEXT_BYTES_MAX - len(self._line))]

    def _open_data(self, position: int) -> None:
        """Begin a data line whose first bytes, up to `position` of the stream, are in `_line`."""
        value = bytes(self._line[len(_DATA) :]).removeprefix(b" ")
        self._in_data = True
        start = position - len(value)
        if self._lift is None:
            self._lift = Lift(self._tag, offset=start, skeleton_bytes_max=EVENT_SKELETON_BYTES_MAX)
        else:
            self._lift.feed(b"\n")
            self._lift.seek(start)
        self._lift.feed(value)

    def _end_line(self) -> list[Event]:
        line, in_data = bytes(self._line), self._in_data
        self._line.clear()
        self._in_data = False
        if in_data:
            return []
        if not line:
            event = self._close()
            return [event] if event else []
        self._take_field(line)
        return []

    def _take_field(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        if field == b"event":
            self._name = value.removeprefix(b" ").decode("utf-8", "replace")
        elif field == b"data" and self._lift is None:  # shorter than its prefix: no data at all
            self._lift = Lift(self._tag, skeleton_bytes_max=EVENT_SKELETON_BYTES_MAX)

    def _close(self) -> Event | None:
        """End the event; return it where it has data that says something."""
        lift, name = self._lift, self._name
        self._lift, self._name = None, ""
        if lift is None:
            return None
        data = lift.finish(self._source)
        is_empty = data.skeleton.strip() in (b"", b"[DONE]")
        return None if is_empty else Event(name, data, self._source, self._end)
