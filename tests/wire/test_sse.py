"""Event streams are cut into events by their lines, wherever the chunks are cut."""

import json

import pytest

from imagegate.errors import UpstreamFailedError
from imagegate.types import Blob
from imagegate.wire.exchange import Event
from imagegate.wire.sse import EVENT_SKELETON_BYTES_MAX, EventScanner

TAG = "blob:00ff:"
IMAGE = "QUJD" * 2000


def scan(stream: bytes, step: int = 0) -> list[Event]:
    scanner = EventScanner(stream, TAG)
    step = step or len(stream)
    events = []
    for start in range(0, len(stream), step):
        events += scanner.feed(stream[start : start + step])
    return events + scanner.finish()


def text_of(blob: Blob) -> str:
    assert isinstance(blob.source, bytes)
    return blob.source[blob.offset : blob.offset + blob.length].decode()


STREAM = f""": hello

event: image_generation.partial_image
data: {{"type":"image_generation.partial_image","b64_json":"{IMAGE}"}}
id: 7

retry: 10
data:{{"type":"image_generation.completed",
data:"b64_json":"{IMAGE}",
data: "usage":{{}}}}

data: [DONE]

"""


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("step", [0, 1, 2, 3, 7, 1000])
def test_events(end: str, step: int) -> None:
    partial, completed = scan(STREAM.replace("\n", end).encode(), step)
    assert partial.name == "image_generation.partial_image"
    assert partial.data.json()["type"] == partial.name
    assert text_of(partial.data.blobs[0]) == IMAGE
    assert completed.name == ""
    assert completed.data.json()["usage"] == {}
    assert text_of(completed.data.blobs[0]) == IMAGE


def test_events_come_as_soon_as_they_are_whole() -> None:
    scanner = EventScanner(b"", TAG)
    assert scanner.feed(b"data: 1\n") == []
    assert len(scanner.feed(b"\ndata: 2\n\ndata: 3\n\n")) == 3
    assert scanner.finish() == []


def test_last_event_without_its_empty_line() -> None:
    assert [event.data.json() for event in scan(b'data: {"a":1}')] == [{"a": 1}]
    assert scan(b'data: {"a":1') == []
    assert scan(b"data: [DONE]") == []


def test_lines_without_data_make_no_event() -> None:
    assert scan(b"event: ping\n\n: comment\n\nfield\n\ndata\n\ndata:\n\n") == []


def test_name_belongs_to_one_event_only() -> None:
    first, second = scan(b"event: error\ndata: 1\n\ndata: 2\n\n")
    assert (first.name, second.name) == ("error", "")


def test_bound_of_an_event() -> None:
    noise = json.dumps("no base64 " * (EVENT_SKELETON_BYTES_MAX // 8))
    with pytest.raises(UpstreamFailedError):
        scan(f"data: {noise}\n\n".encode(), 4096)


def test_long_lines_that_are_no_data_are_cut() -> None:
    assert len(scan(b"event: " + b"x" * 100_000 + b"\ndata: 1\n\n")[0].name) < 9000
