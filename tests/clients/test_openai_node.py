"""openai-node, run by the node that the development requirements bring."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import KEY
from tests.clients.test_azure_openai import check_reached_the_deployment
from tests.upstream.fake import FakeUpstream

SCRIPT = Path(__file__).parent / "drive.mjs"
RUN_S_MAX = 60.0

Drive = Callable[[str], Any]


def find_node() -> str:
    """Return the node of this environment; else the machine's."""
    beside = Path(sys.executable).parent / "node"
    found = str(beside) if beside.exists() else shutil.which("node")
    assert found, "there is no node; `make test` installs one"
    return found


@pytest.fixture
def drive(gateway: str, files: Path) -> Drive:
    """Return what runs one call of `drive.mjs`, and what it printed."""

    def run(name: str) -> Any:
        env = {"GATEWAY": gateway, "KEY": KEY, "FILES": str(files), "PATH": os.environ["PATH"]}
        command = [find_node(), str(SCRIPT), name]
        done = subprocess.run(command, env=env, capture_output=True, timeout=RUN_S_MAX, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    return run


def test_generate(drive: Drive, upstream: FakeUpstream) -> None:
    answer = drive("generate")
    assert answer["images"] == upstream.calls[0].answered_sha256, answer
    assert isinstance(answer["created"], int)


def test_stream(drive: Drive, upstream: FakeUpstream) -> None:
    events = drive("stream")["events"]
    assert {event["type"] for event in events[:-1]} <= {"image_generation.partial_image"}
    assert events[-1] == {
        "type": "image_generation.completed",
        "hash": upstream.calls[0].answered_sha256[0],
    }


def test_edit_by_a_read_stream(drive: Drive, files: Path, upstream: FakeUpstream) -> None:
    """It comes chunked, as octet-stream; it goes on as what it is."""
    answer = drive("edit")
    [call] = upstream.calls
    assert answer["images"] == call.answered_sha256, answer
    assert [(part.name, part.content_type) for part in call.files] == [("image", "image/png")]
    assert call.files[0].sha256 == sha256((files / "a.png").read_bytes()).hexdigest()
    assert "content-length" in call.headers


def test_edit_of_many(drive: Drive, upstream: FakeUpstream) -> None:
    answer = drive("edit_many")
    [call] = upstream.calls
    assert answer["images"] == call.answered_sha256, answer
    assert [(part.name, part.content_type) for part in call.files] == [
        ("image[]", "image/png"),
        ("image[]", "image/webp"),
        ("mask", "image/png"),
    ]


def test_a_streamed_edit(drive: Drive, upstream: FakeUpstream) -> None:
    events = drive("edit_stream")["events"]
    assert [event["type"] for event in events] == ["image_edit.completed"]
    assert events[0]["hash"] == upstream.calls[0].answered_sha256[0]


@pytest.mark.parametrize(("name", "route"), [("azure", "generations"), ("azure_edit", "edits")])
def test_azure(name: str, route: str, drive: Drive, upstream: FakeUpstream) -> None:
    answer = drive(name)
    check_reached_the_deployment(upstream.calls[0], route)
    assert answer["images"] == upstream.calls[0].answered_sha256, answer


@pytest.mark.parametrize(
    ("mode", "error", "code"),
    [
        ("status:moderation", "BadRequestError", "moderation_blocked"),
        ("status:server_error", "InternalServerError", "upstream_failed"),
        ("status:insufficient_quota", "InternalServerError", "upstream_credential"),
    ],
)
def test_an_error_is_told_once(
    mode: str, error: str, code: str, drive: Drive, upstream: FakeUpstream
) -> None:
    upstream.always(mode)
    answer = drive("generate")
    assert (answer["error"], answer["code"]) == (error, code)
    assert len(upstream.calls) == 1


def test_an_error_in_a_stream_is_thrown(drive: Drive, upstream: FakeUpstream) -> None:
    upstream.always("stream_error")
    answer = drive("stream")
    assert answer["error"] == "APIError"
    assert "safety system" in answer["message"]
