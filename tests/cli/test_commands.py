"""`models`, `check`, `version`, help, and the gateway as a user starts it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from imagegate.cli.app import COMMANDS, run


def test_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models"]) == 0
    printed = capsys.readouterr().out
    assert "openai/gpt-image-2.5-flare" in printed
    assert all(len(line) <= 80 for line in printed.splitlines())


def test_models_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--json"]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert "xhigh" in rows["openai/gpt-image-2.5-flare"]["qualities"]


def test_models_of_a_configuration(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--config", config, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == ["img", "draw"]


def test_check(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", config]) == 0
    printed = capsys.readouterr().out
    assert "deployments: 2, model groups: 2, skipped: 0" in printed
    assert "sk-test-cli" not in printed


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version"]) == 0
    assert capsys.readouterr().out.startswith("imagegate ")


def test_version_loads_no_other_command() -> None:
    names = ("aiohttp", "starlette", "uvicorn", "pydantic", "sqlalchemy", "PIL")
    code = (
        "import sys; from imagegate.cli.app import run; run(['version']);"
        f"print([m for m in {names!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--help"]) == 0
    printed = capsys.readouterr().out
    assert "Exit codes" in printed
    assert all(len(line) <= 80 for line in printed.splitlines())


def test_the_printed_snippets_work(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "imagegate", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    ) as gateway:
        assert gateway.stdout is not None
        first = gateway.stdout.readline()
        assert "http://127.0.0.1:" in first
        curl, python = read_snippets(gateway.stdout)
        subprocess.run(["bash", "-c", curl], check=True, timeout=60)
        assert (folder / "circle.png").read_bytes().startswith(b"\x89PNG")
        (folder / "circle.png").unlink()
        subprocess.run([sys.executable, "-c", python], check=True, timeout=60)
        assert (folder / "circle.png").read_bytes().startswith(b"\x89PNG")
        gateway.send_signal(signal.SIGINT)
    assert gateway.returncode == 0


def read_snippets(lines: object) -> tuple[str, str]:
    """Return the curl and the Python snippet that follow the first line."""
    snippets: list[str] = []
    text = ""
    next(lines)  # type: ignore[call-overload]  # the empty line after the address
    for line in lines:  # type: ignore[attr-defined]
        text += line
        ends = line.startswith("open(") and (not snippets or "result" in line)
        if ends:
            snippets.append(text)
            text = ""
        if len(snippets) == 2:
            return snippets[0], snippets[1]
    raise AssertionError("the gateway printed no snippets")
