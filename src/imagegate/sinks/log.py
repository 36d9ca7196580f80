"""The log: JSON lines for machines, readable ones for a terminal; at most 4 KB, never in the way.

A line is made and written by a thread of its own, from a bounded queue: where whoever reads
standard error hangs, lines are lost and counted, and calls go on.
"""

import datetime
import logging
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import IO, Any

import msgspec

from imagegate import telemetry
from imagegate.telemetry import CallEvent
from imagegate.trace import shown

LINE_BYTES_MAX = 4096
VALUE_CHARS_MAX = 1024
TRACE_CHARS_MAX = 2000
QUEUE_MAX = 10_000
CLOSE_S_MAX = 2.0
LINES_MAX = 64
"""So many lines are made before they are written, in pieces of `LINE_BYTES_MAX`, which a pipe takes
whole: lines of several processes do not mix."""
GATHER_S = 0.05  # waking the thread for each line costs a call more than its line
EVENT = "call_event"
"""The attribute of a record that holds a closing event; its texts are fit for a log already."""

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

logger = logging.getLogger(telemetry.LOGGER)


def log_event(event: CallEvent) -> None:
    """Log a closing event; what went wrong behind dispatch is a warning.

    No record is made where nobody but our own writer would see it: it costs more than the line.
    """
    level = logging.WARNING if _is_grave(event) else logging.INFO
    if not logger.isEnabledFor(level):
        return
    if (writer := _only_writer()) is not None:
        writer.queue(event)
    else:
        logger.log(level, event.name, extra={"call_id": event.call_id, EVENT: event})


def _is_grave(event: CallEvent) -> bool:
    return event.ending in ("failed", "unknown")


def _only_writer() -> "LogWriter | None":
    heard = [one for one in logger.handlers if not isinstance(one, logging.NullHandler)]
    if logger.propagate or logger.filters or len(heard) != 1:
        return None
    return heard[0] if isinstance(heard[0], LogWriter) else None


class LogWriter(logging.Handler):
    """Writes the records of imagegate's logger to `stream`, as JSON or as text."""

    def __init__(self, stream: IO[str], *, as_json: bool) -> None:
        super().__init__()
        self.lost_count = 0
        self._stream = stream
        self._line_of = json_line if as_json else text_line
        self._queue: deque[logging.LogRecord | CallEvent] = deque()
        self._is_filled = threading.Event()
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record; never waits."""
        self.queue(getattr(record, EVENT, record))

    def queue(self, told: logging.LogRecord | CallEvent) -> None:
        """Queue what becomes a line; never waits."""
        if len(self._queue) >= QUEUE_MAX:
            self.lost_count += 1
            return
        self._queue.append(told)
        if not self._is_filled.is_set():
            self._is_filled.set()

    def close(self) -> None:
        """Write what waits, for a few seconds at most: its reader may hang."""
        self._is_closing.set()
        self._is_filled.set()
        self._thread.join(CLOSE_S_MAX)
        super().close()

    def _run(self) -> None:
        while not self._is_closing.is_set():
            self._is_filled.wait()
            self._is_closing.wait(GATHER_S)
            self._is_filled.clear()
            self._write_queue()

        self._write_queue()

    def _write_queue(self) -> None:
        while count := min(len(self._queue), LINES_MAX):
            lines = [self._make_line(self._queue[at]) for at in range(count)]
            try:
                for piece in _pieces(lines):
                    self._stream.write(piece)
                self._stream.flush()
            except (OSError, ValueError):
                self.lost_count += count
            for _ in range(count):
                self._queue.popleft()  # not before: what a reader does not take fills the queue

    def _make_line(self, told: logging.LogRecord | CallEvent) -> str:
        """Return its line, with the end of it; nothing where it is none, for others wait behind."""
        try:
            return f"{self._line_of(told)}\n"
        except Exception:  # a record takes any value, and with the thread all lines would end
            self.lost_count += 1
            return ""


def _pieces(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines, as many together as `LINE_BYTES_MAX` allows."""
    piece, size_bytes = "", 0
    for line in lines:
        line_bytes = len(line.encode())
        if size_bytes + line_bytes > LINE_BYTES_MAX:
            yield piece
            piece, size_bytes = "", 0
        piece += line
        size_bytes += line_bytes
    yield piece


def attach_log(stream: IO[str], log_format: str) -> LogWriter:
    """Have imagegate's log written to `stream` from now on; `auto` is text on a terminal."""
    is_json = log_format == "json" or (log_format == "auto" and not stream.isatty())
    writer = LogWriter(stream, as_json=is_json)
    logger.addHandler(writer)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return writer


def detach_log(writer: LogWriter) -> None:
    """Give the log back to whoever has it, and write what waits."""
    logger.removeHandler(writer)
    logger.propagate = True
    writer.close()


def lost_lines() -> int:
    """Return how many lines the readers of the log did not take."""
    return sum(one.lost_count for one in logger.handlers if isinstance(one, LogWriter))


def json_line(told: logging.LogRecord | CallEvent) -> str:
    """Return one JSON object: time, level, event, then its fields."""
    line = _line(told)
    text = msgspec.json.encode(line)
    if len(text) >= LINE_BYTES_MAX:
        text = msgspec.json.encode({name: _cut(value) for name, value in line.items()})
    if len(text) >= LINE_BYTES_MAX:
        kept = {name: line[name] for name in ("time", "level", "event", "call_id") if name in line}
        text = msgspec.json.encode({**kept, "cut": True})
    return text.decode()


def text_line(told: logging.LogRecord | CallEvent) -> str:
    """Return one line that people read."""
    line = _line(told)
    time, level, event = (str(line.pop(name)) for name in ("time", "level", "event"))
    fields = " ".join(f"{name}={_plain(value)}" for name, value in line.items())
    text = f"{time[11:19]} {level.upper():7} {event}  {fields}"
    return text.encode()[: LINE_BYTES_MAX - 1].decode("utf-8", "ignore")


def _line(told: logging.LogRecord | CallEvent) -> dict[str, Any]:
    """Return `time`, `level` and `event`, then the fields."""
    if isinstance(told, CallEvent):
        level = "warning" if _is_grave(told) else "info"
        return told.fields(time=_time(told.ended_s), level=level, event=told.name)
    level, event = told.levelname.lower(), told.getMessage()
    return {"time": _time(told.created), "level": level, "event": event, **_fields(told)}


def _fields(record: logging.LogRecord) -> dict[str, object]:
    given = {name: value for name, value in vars(record).items() if name not in _OWN}
    fields = {name: _clean(value) for name, value in given.items()}
    if record.exc_info and record.exc_info[1] is not None:
        # The type and the place, never the words: an exception may quote what a caller sent.
        fields["exception"] = type(record.exc_info[1]).__name__
        fields["place"] = _place(record)
    return fields


def _place(record: logging.LogRecord) -> str:
    assert record.exc_info
    frames = []
    trace = record.exc_info[2]
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return " < ".join(reversed(frames))[:TRACE_CHARS_MAX]


def _clean(value: object) -> object:
    if isinstance(value, str):
        return shown(value, VALUE_CHARS_MAX)
    if isinstance(value, int | float | list | tuple | Mapping) or value is None:
        return value
    return shown(repr(value), VALUE_CHARS_MAX)


def _cut(value: object) -> object:
    return f"{value[:200]}..." if isinstance(value, str) and len(value) > 203 else value


def _plain(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return msgspec.json.encode(text).decode() if " " in text else text


def _time(unix_s: float) -> str:
    ms = int(unix_s * 1000)
    return f"{_second(ms // 1000)}.{ms % 1000:03}Z"


@lru_cache(maxsize=1)
def _second(unix_s: int) -> str:
    return datetime.datetime.fromtimestamp(unix_s, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
