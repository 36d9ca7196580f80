"""curl, as people paste it. Left out where there is no curl; see `collect_ignore`."""

import base64
import json
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import KEY
from tests.upstream.fake import FakeUpstream
from tests.upstream.pictures import picture

Curl = Callable[..., Any]


@pytest.fixture
def curl(gateway: str) -> Curl:
    """Return what runs curl on a path of the gateway, and the JSON that it printed."""

    def run(path: str, *arguments: str) -> Any:
        key = ["-H", f"Authorization: Bearer {KEY}"]
        command = ["curl", "-sS", "--fail-with-body", "-m", "30", f"{gateway}{path}"]
        done = subprocess.run([*command, *key, *arguments], capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    return run


def hash_of(answer: Any) -> str:
    return sha256(base64.b64decode(answer["data"][0]["b64_json"])).hexdigest()


def test_preview(curl: Curl, upstream: FakeUpstream) -> None:
    call = '{"model": "gpt-image-2.5-flare", "prompt": "a red circle", "size": "256x256"}'
    answer = curl("/v1/images/preview", "-H", "Content-Type: application/json", "-d", call)
    (one,) = answer["deployments"]
    assert one["request"]["body"]["prompt"] == "a red circle"
    assert [each["param"] for each in one["adjustments"]] == ["size"]
    assert float(one["price"]["lowest_usd"]) <= float(one["price"]["highest_usd"])
    assert upstream.bill == []


def test_generate(curl: Curl, upstream: FakeUpstream) -> None:
    call = '{"model": "gpt-image-2", "prompt": "a red circle"}'
    answer = curl("/v1/images/generations", "-H", "Content-Type: application/json", "-d", call)
    assert hash_of(answer) == upstream.calls[0].answered_sha256[0]


def test_json_sent_as_a_form_is_told_what_to_do(curl: Curl, upstream: FakeUpstream) -> None:
    """`-d` alone says that the body is a form's; people forget the header."""
    call = '{"model": "gpt-image-2", "prompt": "a"}'
    with pytest.raises(AssertionError, match="send application/json"):
        curl("/v1/images/generations", "-d", call)
    assert upstream.bill == []


def test_edit(curl: Curl, files: Path, upstream: FakeUpstream) -> None:
    answer = curl(
        "/v1/images/edits",
        *("-F", f"image[]=@{files / 'a.png'}", "-F", f"image[]=@{files / 'b.webp'}"),
        *("-F", f"mask=@{files / 'mask.png'}"),
        *("-F", "model=gpt-image-2.5-flare", "-F", "prompt=a hat", "-F", "n=1"),
    )
    [call] = upstream.calls
    assert hash_of(answer) == call.answered_sha256[0]
    assert [part.name for part in call.files] == ["image[]", "image[]", "mask"]


def test_a_large_file_waits_for_our_word(
    curl: Curl, tmp_path: Path, upstream: FakeUpstream
) -> None:
    """Above 1 MB curl sends `Expect: 100-continue` and waits."""
    image = picture("large", kind="medium")
    (tmp_path / "large.png").write_bytes(image)
    fields = ("-F", "model=gpt-image-2.5-flare", "-F", "prompt=a hat")
    curl("/v1/images/edits", "-F", f"image=@{tmp_path / 'large.png'}", *fields)
    assert upstream.calls[0].files[0].sha256 == sha256(image).hexdigest()
