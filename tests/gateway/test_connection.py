"""Requests as bytes: what is no HTTP, or two opinions of where a request ends."""

import asyncio
import json
import logging

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from imagegate.gateway.connection import Connection
from imagegate.gateway.protocol import HEAD_BYTES_MAX
from tests.gateway.running import RunningGateway
from tests.upstream.fake import FakeUpstream

BODY = json.dumps({"model": "img", "prompt": "a fox"}).encode()
LINE = b"POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nContent-Length: 39\r\n",
        b"Content-Length: 39\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: +39\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: x\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Bad Header: 1\r\n",
    ],
)
def test_two_opinions_are_refused(
    head: bytes, gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    answer = gateway.send_raw(LINE + head + b"Connection: close\r\n\r\n" + BODY)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_request"
    assert upstream.bill == []


@pytest.mark.parametrize("filler", [b"x: " + b"a" * 300_000, b"x: a\r\n" * 60_000])
def test_a_head_without_end_is_cut(
    filler: bytes, gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    assert len(filler) > HEAD_BYTES_MAX
    answer = gateway.send_raw(LINE + filler)
    assert answer.startswith(b"HTTP/1.1 431 ")
    error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert error["code"] == "headers_too_large"
    assert upstream.bill == []


def test_one_connection_serves_many(gateway: RunningGateway) -> None:
    call = LINE + b"Content-Length: %d\r\n" % len(BODY)
    data = (call + b"\r\n" + BODY) * 2 + call + b"Connection: close\r\n\r\n" + BODY
    assert gateway.send_raw(data).count(b"HTTP/1.1 200 OK") == 3


def test_an_upload_starts_when_it_is_asked_for(gateway: RunningGateway) -> None:
    head = LINE + b"Content-Length: %d\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    answer = gateway.send_raw(head % len(BODY) + BODY)
    assert b"HTTP/1.1 200 OK" in answer


class Written(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.data += data


def connection_to(transport: Written) -> Connection:
    connection = Connection()
    connection.cycle = RequestResponseCycle(
        scope={},  # type: ignore[typeddict-item]
        transport=transport,
        flow=FlowControl(transport),
        logger=logging.getLogger("uvicorn"),
        access_logger=logging.getLogger("uvicorn"),
        access_log=False,
        default_headers=[],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=True,
        on_response=lambda: None,
    )
    return connection


def test_a_small_answer_is_written_at_once() -> None:
    transport = Written()
    headers = [(b"content-type", b"text/plain"), (b"x-cost", b"0")]
    assert connection_to(transport).write_answer(200, headers, b"fox")
    assert transport.data == (
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-type: text/plain\r\nx-cost: 0\r\n\r\nfox"
    )


@pytest.mark.parametrize("value", [b"a\rset-cookie: b", b"a\nx: b", b"a\r\nx: b", b"a\r\n\r\nb"])
def test_no_value_ends_its_line(value: bytes) -> None:
    """It is left to the server, which refuses it."""
    transport = Written()
    assert not connection_to(transport).write_answer(200, [(b"x-one", value)], b"")
    assert transport.data == b""
