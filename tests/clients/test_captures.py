"""Requests of clients as they were captured, replayed to the byte; what reaches the upstream, and
what comes back."""

import base64
import http.client
import json
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from msgspec import Struct

from tests.clients.conftest import KEY
from tests.upstream.bill import Record
from tests.upstream.fake import FakeUpstream

CAPTURES = sorted((Path(__file__).parent / "captures").glob("*.json"))
BOUNDARY = "----formdata-undici-051554382510"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAYAAABytg0kAAAAEUlEQVR4nGP4z8DwH4QZYAwAR8oH+WdZbrcAAAAA"
    "SUVORK5CYII="
)
CHUNK_BYTES = 37
TIMEOUT_S = 30.0
CODEX_QUALITIES = (None, "low", "medium", "high", "auto")


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a form; one with a file name holds `PNG`."""

    name: str
    text: str = ""
    filename: str | None = None
    media_type: str = ""

    def build(self) -> bytes:
        head = f'Content-Disposition: form-data; name="{self.name}"'
        if self.filename is None:
            return f"{head}\r\n\r\n{self.text}\r\n".encode()
        head += f'; filename="{self.filename}"\r\nContent-Type: {self.media_type}'
        return f"{head}\r\n\r\n".encode() + PNG + b"\r\n"


class Reaches(Struct, frozen=True, forbid_unknown_fields=True):
    """What must arrive: JSON, or the texts of a form in order and its files' names and types."""

    path: str
    json: Any = None
    form: list[tuple[str, str]] = []
    files: list[tuple[str, str]] = []
    refused_by_upstream: bool = False


class Capture(Struct, frozen=True, forbid_unknown_fields=True):
    """A request, what it must become, and the fields that the answer must call adjusted."""

    about: str
    path: str
    headers: dict[str, str]
    reaches: Reaches
    adjusted: list[str]
    json: Any = None
    parts: list[Part] = []
    is_chunked: bool = False

    def build(self) -> tuple[bytes, str]:
        """Return the body and its type."""
        if not self.parts:
            return json.dumps(self.json).encode(), "application/json"
        parts = b"".join(f"--{BOUNDARY}\r\n".encode() + part.build() for part in self.parts)
        return parts + f"--{BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={BOUNDARY}"


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_capture(path: Path, gateway: str, upstream: FakeUpstream) -> None:
    capture = msgspec.json.decode(path.read_bytes(), type=Capture)
    status, headers, body = replay(gateway, capture)
    [call] = upstream.calls
    check_reached(call, capture.reaches)
    if capture.reaches.refused_by_upstream:
        assert status == 400
        return
    assert status == 200, body
    adjustments = json.loads(headers.get("x-imagegate-adjustments", "[]"))
    assert sorted(one["param"] for one in adjustments) == capture.adjusted
    assert isinstance(body["created"], int)
    images = [base64.b64decode(image["b64_json"]) for image in body["data"]]
    assert [sha256(image).hexdigest() for image in images] == call.answered_sha256
    if "codex" in capture.headers.get("originator", ""):
        assert body.get("quality") in CODEX_QUALITIES


def replay(gateway: str, capture: Capture) -> tuple[int, dict[str, str], Any]:
    """Send the captured request; return status, headers and JSON of the answer."""
    body, content_type = capture.build()
    key = {"api-key": KEY} if "api-key" in capture.headers else {"Authorization": f"Bearer {KEY}"}
    headers = capture.headers | key | {"Content-Type": content_type}
    # An iterable of unknown length goes out chunked.
    pieces = (body[at : at + CHUNK_BYTES] for at in range(0, len(body), CHUNK_BYTES))
    connection = http.client.HTTPConnection(urlsplit(gateway).netloc, timeout=TIMEOUT_S)
    try:
        sent = pieces if capture.is_chunked else body
        connection.request("POST", capture.path, sent, headers)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return response.status, found, json.loads(response.read())
    finally:
        connection.close()


def check_reached(call: Record, wanted: Reaches) -> None:
    """Assert that this arrived, and nothing else."""
    assert call.path == wanted.path
    assert call.json == wanted.json
    assert call.form == wanted.form
    assert [(part.name, part.content_type) for part in call.files] == wanted.files
    assert {part.sha256 for part in call.files} <= {sha256(PNG).hexdigest()}
