"""Log lines: JSON that machines read, text that people read, bounded, without what was sent."""

import io
import json
import logging
import threading

import pytest

from imagegate.sinks.log import QUEUE_MAX, LogWriter, attach_log, detach_log, json_line, text_line
from tests.sinks.conftest import Start

LONG = "<script>\n" + "x y" * 2000


def record_of(**fields: object) -> logging.LogRecord:
    record = logging.makeLogRecord({"msg": "call.done", "levelname": "INFO", "created": 1.0})
    record.__dict__.update(fields)
    return record


def test_a_json_line_is_one_object_with_its_fields() -> None:
    line = json_line(record_of(call_id="call_1", images=2, cost_usd=0.05))
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:01.000Z",
        "level": "info",
        "event": "call.done",
        "call_id": "call_1",
        "images": 2,
        "cost_usd": 0.05,
    }


def test_a_text_line_is_one_line() -> None:
    line = text_line(record_of(call_id="call_1", reason="two\nlines"))
    assert line == '00:00:01 INFO    call.done  call_id=call_1 reason="two lines"'


@pytest.mark.parametrize("line_of", [json_line, text_line])
def test_no_line_is_longer_than_4_kb(line_of) -> None:  # type: ignore[no-untyped-def]
    fields = {f"field_{index}": LONG for index in range(20)}
    line = line_of(record_of(call_id="call_1", **fields))
    assert len(line.encode()) < 4096
    assert "\n" not in line
    assert "call_1" in line


@pytest.mark.parametrize("line_of", [json_line, text_line])
def test_an_exception_is_told_by_type_and_place_never_by_its_words(line_of) -> None:  # type: ignore[no-untyped-def]
    try:
        raise ValueError("the secret that was sent")
    except ValueError as error:
        record = record_of(exc_info=(ValueError, error, error.__traceback__))
    line = line_of(record)
    assert "ValueError" in line
    assert "test_log.py" in line
    assert "secret" not in line


class HangingStream(io.StringIO):
    """Takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()

    def write(self, text: str) -> int:
        self.may_go_on.wait()
        return super().write(text)


def test_a_reader_that_hangs_holds_nobody_up() -> None:
    """`emit` returns although nothing can be written; what does not fit is lost and counted."""
    stream = HangingStream()
    writer = LogWriter(stream, as_json=True)
    for _ in range(QUEUE_MAX + 100):
        writer.emit(record_of(reason="x"))
    assert 99 <= writer.lost_count <= 100
    stream.may_go_on.set()
    writer.close()
    assert stream.getvalue().count("\n") == QUEUE_MAX + 100 - writer.lost_count


def test_the_log_of_a_gateway(start: Start) -> None:
    stream = io.StringIO()
    writer = attach_log(stream, "json")
    try:
        gateway = start()
        answer = gateway.generate(prompt="a prompt that nobody logs", user="someone")
        gateway.generate(model="img2")
    finally:
        detach_log(writer)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    events = {line["event"]: line for line in lines}
    assert events["call.done"]["call_id"] == answer.headers["x-imagegate-call-id"]
    assert events["call.done"]["end_user"] == "someone"
    assert events["call.refused"]["code"] == "model_not_found"
    assert "nobody logs" not in stream.getvalue()


class Hearing(logging.Handler):
    """An application's own handler."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record)


def test_a_handler_of_an_applications_own_gets_records_beside_our_lines(start: Start) -> None:
    stream, own = io.StringIO(), Hearing()
    writer = attach_log(stream, "json")
    logging.getLogger("imagegate").addHandler(own)
    try:
        answer = start().generate()
    finally:
        logging.getLogger("imagegate").removeHandler(own)
        detach_log(writer)
    call_id = answer.headers["x-imagegate-call-id"]
    (record,) = [one for one in own.heard if one.getMessage() == "call.done"]
    assert (record.levelname, getattr(record, "call_id", "")) == ("INFO", call_id)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [one["call_id"] for one in lines if one["event"] == "call.done"] == [call_id]


def test_lines_are_written_together_as_far_as_a_pipe_takes_them_whole() -> None:
    stream = Pieces()
    writer = LogWriter(stream, as_json=True)
    for index in range(200):
        writer.emit(record_of(call_id=f"call_{index}", reason="é" * 40))
    writer.close()
    lines = "".join(stream.pieces).splitlines()
    assert [json.loads(line)["call_id"] for line in lines] == [f"call_{n}" for n in range(200)]
    assert len(stream.pieces) < 40
    assert all(len(piece.encode()) <= 4096 for piece in stream.pieces)


@pytest.mark.parametrize(
    "odd", [["half of a pair: \ud800"], {"value": object()}], ids=["text", "value"]
)
def test_a_record_that_becomes_no_line_takes_none_with_it(odd: object) -> None:
    stream = io.StringIO()
    writer = LogWriter(stream, as_json=True)
    writer.emit(record_of(call_id="call_1"))
    writer.emit(record_of(call_id="call_2", odd=odd))
    writer.emit(record_of(call_id="call_3"))
    writer.close()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["call_id"] for line in lines] == ["call_1", "call_3"]
    assert writer.lost_count == 1


class Pieces(io.StringIO):
    """Notes what is written at once."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return len(text)


def test_lines_that_nobody_took_are_counted(start: Start) -> None:
    gateway = start()
    stream = HangingStream()
    writer = attach_log(stream, "json")
    try:
        for _ in range(QUEUE_MAX + 100):
            writer.emit(record_of(reason="x"))
        text = gateway.get("/metrics").body.decode()
    finally:
        stream.may_go_on.set()
        detach_log(writer)
    assert f'imagegate_sink_lost_total{{sink="log"}} {writer.lost_count}' in text
    assert writer.lost_count >= 99


@pytest.mark.parametrize(("extra", "is_told"), [("log_prompts: true", True), ("", False)])
def test_prompts_are_told_by_choice_only(start: Start, extra: str, is_told: bool) -> None:
    stream = io.StringIO()
    writer = attach_log(stream, "text")
    try:
        start(extra).generate(prompt="a fox in the snow")
    finally:
        detach_log(writer)
    assert ("a fox in the snow" in stream.getvalue()) is is_told
