"""The process: where it listens, what it says when it cannot, how it ends."""

import http.client
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagegate.config.load import load_mapping, load_settings
from imagegate.config.settings import ServerSettings
from imagegate.errors import ConfigError
from imagegate.gateway.server import bind, drain_s, tune_allocator, url_of
from tests.gateway.conftest import Start
from tests.gateway.running import RunningGateway
from tests.upstream.fake import FakeUpstream

CALL = '{"model": "img", "prompt": "a fox"}'
START = """
import sys
from imagegate.config.load import load_settings
from imagegate.gateway.server import serve
sys.exit(serve(load_settings(sys.argv[1]), on_ready=lambda url: print(url, flush=True)))
"""


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {port}.*--port"):
            bind(ServerSettings(port=port))


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match="--host"):
        bind(ServerSettings(host="192.0.2.1", port=0))


def test_the_address_that_is_told_can_be_opened() -> None:
    with bind(ServerSettings(port=0)) as listener:
        port = listener.getsockname()[1]
        assert port
        assert url_of(listener) == f"http://127.0.0.1:{port}"
    with bind(ServerSettings(host="0.0.0.0", port=0)) as everywhere:
        assert url_of(everywhere).startswith("http://127.0.0.1:")


def test_the_allocator_may_be_tuned_anywhere() -> None:
    tune_allocator()


def test_the_first_signal_drains_and_the_second_leaves(
    start: Start, upstream: FakeUpstream
) -> None:
    gateway = start()
    upstream.reply("hang")
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.sendall(
            b"POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\n"
            b'Content-Length: 31\r\n\r\n{"model": "img", "prompt": "a"}'
        )
        upstream.wait_held()
        gateway.stop()
        assert gateway.get("/readyz").status == 503
        gateway.stop()
        gateway.wait_stopped()
        answer = connection.makefile("rb").read()
    assert gateway.server.force_exit
    # The image may be made and billed: no client may send the request again by itself.
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"x-should-retry: false" in answer
    assert b"x-imagegate-call-id: call_" in answer
    assert b'"code":"gateway_stopped"' in answer


def test_a_second_signal_while_a_request_is_read_lets_the_client_come_again(start: Start) -> None:
    gateway = start()
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.sendall(
            b"POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\n"
            b'Content-Length: 31\r\n\r\n{"model": "img", '
        )
        assert gateway.get("/healthz").status == 200
        gateway.stop()
        gateway.stop()
        gateway.wait_stopped()
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"shutting_down"' in answer
    assert b"x-should-retry" not in answer


def test_a_drain_has_a_limit(start: Start, upstream: FakeUpstream) -> None:
    gateway = start(server="drain_s: 0.3")
    upstream.reply("hang")
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.sendall(
            b"POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\n"
            b'Content-Length: 31\r\n\r\n{"model": "img", "prompt": "a"}'
        )
        upstream.wait_held()
        gateway.stop()
        gateway.wait_stopped()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_ends_in_good_order(
    number: int, start: Start, gateway: RunningGateway, tmp_path: Path
) -> None:
    gateway.stop()
    gateway.wait_stopped()  # one process at a time owns the database
    config = tmp_path / "config.yaml"
    config.write_text(
        config.read_text().replace("server: {", "server: {port: 0, drain_notice_s: 0")
    )
    process = subprocess.Popen(
        [sys.executable, "-c", START, str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:")
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


@pytest.fixture
def noticed(start: Start, tmp_path: Path) -> Iterator[RunningGateway]:
    """Return a gateway whose stop gives so much notice that a test has to shorten it."""
    first = start()
    first.stop()
    first.wait_stopped()  # its configuration is wanted, and one process owns the database
    settings = load_settings(str(tmp_path / "config.yaml"))
    with RunningGateway(settings, notice_s=600) as gateway:
        yield gateway
        if not gateway.server.should_exit:
            gateway.stop()


def test_a_stop_gives_notice_and_calls_are_taken_meanwhile(noticed: RunningGateway) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", noticed.port, timeout=20)
    connection.request("GET", "/healthz")
    kept = connection.getresponse()
    assert "connection" not in {name.lower() for name, _ in kept.getheaders()}
    kept.read()
    noticed.stop()
    ready = noticed.get("/readyz")
    assert (ready.status, ready.json()) == (503, {"status": "leaving"})
    connection.request("POST", "/v1/images/generations", CALL)
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("connection")) == (200, "close")
    answer.read()
    assert noticed.generate().headers["connection"] == "close"
    noticed.stop()  # the notice is over
    noticed.wait_stopped()
    assert not noticed.server.force_exit


def test_a_call_that_ends_after_the_signal_closes_its_connection(
    noticed: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply("hold")
    connection = http.client.HTTPConnection("127.0.0.1", noticed.port, timeout=20)
    connection.request("POST", "/v1/images/generations", CALL)
    upstream.wait_held()
    noticed.stop()
    noticed.stop()
    assert noticed.get("/readyz").json() == {"status": "draining"}
    assert noticed.generate().error["code"] == "shutting_down"
    upstream.release()
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("connection")) == (200, "close")
    answer.read()
    noticed.wait_stopped()


def test_a_person_who_presses_ctrl_c_waits_for_nobody(noticed: RunningGateway) -> None:
    noticed.server.handle_exit(signal.SIGINT, None)
    noticed.wait_stopped()
    assert not noticed.server.force_exit


def test_a_drain_lasts_as_long_as_the_longest_call_may(tmp_path: Path) -> None:
    entry = {"model_name": "a", "params": {"model": "sandbox/gpt-image-2", "timeout": 1800}}
    assert drain_s(load_mapping({"model_list": [entry], "late_s": 60}, env={})) == 1860
    limited = {"model_list": [entry], "server": {"drain_s": 5}}
    assert drain_s(load_mapping(limited, env={})) == 5


def test_a_connection_whose_head_is_out_stays_until_it_can_say_so(
    noticed: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply("hold_stream", picture="large", chunk=65536)
    connection = http.client.HTTPConnection("127.0.0.1", noticed.port, timeout=20)
    streamed = '{"model": "img", "prompt": "a fox", "stream": true, "partial_images": 1}'
    connection.request("POST", "/v1/images/generations", streamed)
    answer = connection.getresponse()
    assert answer.getheader("connection") is None
    noticed.stop()
    upstream.release()
    assert b"image_generation.completed" in answer.read()
    connection.request("GET", "/healthz")
    last = connection.getresponse()
    assert (last.status, last.getheader("connection")) == (200, "close")
    last.read()
    noticed.stop()
    noticed.wait_stopped()
