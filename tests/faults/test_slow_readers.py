"""Many large answers at once, half of them to callers who do not read: memory stays bounded.

The long run is `python -m bench.slow_readers`.
"""

import base64
import contextlib
import hashlib
import http.client
import json
import socket
import threading
from collections import Counter
from pathlib import Path

from tests.faults.process import GatewayProcess
from tests.upstream.fake import FakeUpstream

CALLS = 100
CALL_S_MAX = 120.0
TRIES_MAX = 20_000
PEAK_KB_MAX = 350_000  # their answers have 600 MB together
RECEIVE_BYTES = 32 * 1024


class SlowCaller:
    """A caller who sends a request, and reads nothing of the answer until `read`."""

    def __init__(self, port: int, number: int) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        self._socket.settimeout(CALL_S_MAX)
        self._socket.connect(("127.0.0.1", port))
        body = call_of(number).encode()
        head = (
            f"POST /images/generations HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}"
        )
        self._socket.sendall(f"{head}\r\n\r\n".encode() + body)

    def wait_begun(self) -> None:
        """Return when the answer has begun to come."""
        assert self._socket.recv(1, socket.MSG_PEEK)

    def read(self) -> str:
        """Return the hash of the image."""
        with self._socket, http.client.HTTPResponse(self._socket) as answer:
            answer.begin()
            return sha256_of(answer.read())


def call_of(number: int) -> str:
    # A picture takes the fake upstream a while to make, so there are a few.
    return json.dumps({"model": "img", "prompt": f"[picture=large] number {number // 2 % 4}"})


def sha256_of(body: bytes) -> str:
    image = base64.b64decode(json.loads(body)["data"][0]["b64_json"])
    return hashlib.sha256(image).hexdigest()


def read_at_once(port: int, number: int, received: list[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=CALL_S_MAX)
    headers = {"content-type": "application/json"}
    connection.request("POST", "/v1/images/generations", call_of(number), headers)
    received.append(sha256_of(connection.getresponse().read()))
    connection.close()


def sockets_of(pid: int) -> int:
    found = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            found += str(link.readlink()).startswith("socket:")
    return found


def peak_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def test_who_does_not_read_costs_no_memory(upstream: FakeUpstream, tmp_path: Path) -> None:
    received: list[str] = []
    with GatewayProcess(tmp_path, upstream.v1) as gateway:
        pid = gateway.process.pid
        before = sockets_of(pid)
        slow = [SlowCaller(gateway.port, number) for number in range(0, CALLS, 2)]
        fast = [
            threading.Thread(target=read_at_once, args=(gateway.port, number, received))
            for number in range(1, CALLS, 2)
        ]
        for caller in fast:
            caller.start()
        for caller in fast:
            caller.join(CALL_S_MAX)
        for reader in slow:
            reader.wait_begun()
        assert gateway.get("/healthz")[0] == 200
        received += [reader.read() for reader in slow]
        assert peak_kb(pid) < PEAK_KB_MAX
        for _ in range(TRIES_MAX):
            if sockets_of(pid) <= before + 1:  # that of the question whether it still turns
                break
            gateway.turn()
        assert sockets_of(pid) <= before + 1
    answered = Counter(sha for record in upstream.calls for sha in record.answered_sha256)
    assert Counter(received) == answered
    assert len(received) == CALLS
