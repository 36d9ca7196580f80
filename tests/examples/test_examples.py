"""Each example runs as it stands, in a process of its own, against the fake upstream or here."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from imagegate.cli.app import run
from imagegate.config.load import load_settings
from tests.gateway.running import RunningGateway
from tests.upstream import FakeUpstream

EXAMPLES = Path(__file__).parents[2] / "examples"
PNG = b"\x89PNG\r\n\x1a\n"
TIMEOUT_S = 60


def run_example(name: str, folder: Path, **environment: str) -> str:
    """Run an example in `folder` and return what it printed."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("AZURE_", "OPENAI_"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name)],
        cwd=folder,
        env={**keep, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_pictures(folder: Path, *names: str) -> None:
    for name in names:
        assert (folder / name).read_bytes().startswith(PNG), name


def test_azure_image(upstream: FakeUpstream, tmp_path: Path) -> None:
    run_example(
        "azure_image.py", tmp_path, AZURE_API_KEY="azure-test-key", AZURE_API_BASE=upstream.url
    )
    assert_pictures(tmp_path, "lighthouse.png", "storm.png")
    made, edited = upstream.calls
    assert made.path == "/openai/deployments/gpt-image-2/images/generations"
    assert edited.path == "/openai/deployments/gpt-image-2/images/edits"
    assert made.headers["api-key"] == "azure-test-key"
    assert made.json["quality"] == "low"
    assert "model" not in made.json


def test_openai_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEGATE_HOME", str(tmp_path / "home"))
    with RunningGateway(load_settings(None)) as gateway:
        printed = run_example("openai_client.py", tmp_path, IMAGEGATE_URL=gateway.url)
    assert "cost 0 USD" in printed
    assert_pictures(tmp_path, "circle.png")


def test_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEGATE_HOME", str(tmp_path / "home"))
    with RunningGateway(load_settings(None)) as gateway:
        printed = run_example("later.py", tmp_path, IMAGEGATE_URL=gateway.url)
    assert "202 call_" in printed
    assert "done, cost 0 USD" in printed
    assert_pictures(tmp_path, "circle.png")


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_later_by_curl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEGATE_HOME", str(tmp_path / "home"))
    with RunningGateway(load_settings(None)) as gateway:
        done = subprocess.run(
            ["sh", "-eu", str(EXAMPLES / "later.sh")],
            cwd=tmp_path,
            env={**os.environ, "IMAGEGATE_URL": gateway.url},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "event: image.call.done" in done.stdout
    assert_pictures(tmp_path, "circle.png")


def test_edit_with_mask(tmp_path: Path) -> None:
    run_example("edit_with_mask.py", tmp_path)
    assert_pictures(tmp_path, "room.png", "window.png")


def test_streaming(tmp_path: Path) -> None:
    printed = run_example("streaming.py", tmp_path)
    assert printed.count("done") == 2
    assert_pictures(tmp_path, "lighthouse.png", "harbour.png", "harbour-preview.png")


def test_litellm_config(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: Mapping[str, str] = {
        "AZURE_API_KEY": "azure-test-1",
        "AZURE_API_KEY_EU": "azure-test-2",
        "OPENAI_API_KEY": "sk-test",
    }
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    assert run(["check", str(EXAMPLES / "litellm_config.yaml")]) == 0
    printed = capsys.readouterr().out
    for group in ("gpt-image-2", "gpt-image-1", "gpt-image-2.5-flare", "my-own", "sandbox"):
        assert group in printed
    assert "azure-test-1" not in printed
