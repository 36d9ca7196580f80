"""The log: JSON lines for machines, readable ones for a terminal; at most 4 KB, never in the way.

A line is made and written by a thread of its own, from a bounded queue: where whoever reads
standard error hangs, lines are lost and counted, and calls go on.
"""

import datetime
import logging
import threading
from collections import deque
from collections.abc import Mapping
from typing import IO

import msgspec

from imagegate import telemetry
from imagegate.telemetry import CallEvent
from imagegate.trace import shown

LINE_BYTES_MAX = 4096
VALUE_CHARS_MAX = 1024
TRACE_CHARS_MAX = 2000
QUEUE_MAX = 10_000
CLOSE_S_MAX = 2.0
GATHER_S = 0.02  # waking the thread for each line costs a call more than its line
EVENT = "call_event"
"""The attribute of a record that holds a closing event; its texts are fit for a log already."""

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

logger = logging.getLogger(telemetry.LOGGER)


def log_event(event: CallEvent) -> None:
    """Log a closing event; what went wrong behind dispatch is a warning."""
    is_grave = event.ending in ("failed", "unknown")
    level = logging.WARNING if is_grave else logging.INFO
    if logger.isEnabledFor(level):
        logger.log(level, event.name, extra={"call_id": event.call_id, EVENT: event})


class LogWriter(logging.Handler):
    """Writes the records of imagegate's logger to `stream`, as JSON or as text."""

    def __init__(self, stream: IO[str], *, as_json: bool) -> None:
        super().__init__()
        self.lost_count = 0
        self._stream = stream
        self._line_of = json_line if as_json else text_line
        self._queue: deque[logging.LogRecord] = deque()
        self._is_filled = threading.Event()
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record; never waits."""
        if len(self._queue) >= QUEUE_MAX:
            self.lost_count += 1
            return
        self._queue.append(record)
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

    def _write_queue(self) -> None:
        try:
            while self._queue:
                self._stream.write(f"{self._line_of(self._queue.popleft())}\n")
            self._stream.flush()
        except (OSError, ValueError):
            self.lost_count += 1


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


def json_line(record: logging.LogRecord) -> str:
    """Return one JSON object: time, level, event, then its fields."""
    line: dict[str, object] = {
        "time": _time(record),
        "level": record.levelname.lower(),
        "event": record.getMessage(),
        **_fields(record),
    }
    text = msgspec.json.encode(line)
    if len(text) >= LINE_BYTES_MAX:
        text = msgspec.json.encode({name: _cut(value) for name, value in line.items()})
    if len(text) >= LINE_BYTES_MAX:
        kept = {name: line[name] for name in ("time", "level", "event", "call_id") if name in line}
        text = msgspec.json.encode({**kept, "cut": True})
    return text.decode()


def text_line(record: logging.LogRecord) -> str:
    """Return one line that people read."""
    fields = " ".join(f"{name}={_plain(value)}" for name, value in _fields(record).items())
    line = f"{_time(record)[11:19]} {record.levelname:7} {record.getMessage()}  {fields}"
    return line.encode()[: LINE_BYTES_MAX - 1].decode("utf-8", "ignore")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    event: CallEvent | None = getattr(record, EVENT, None)
    if event is not None:
        return {**event.fields()}
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


def _time(record: logging.LogRecord) -> str:
    moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
