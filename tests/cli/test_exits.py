"""Exit codes and error messages: short, what to do next, no traceback."""

import json
from pathlib import Path

import pytest

from imagegate.cli.app import run
from tests.upstream import FakeUpstream

FAILURES = {
    "moderation": ("status:moderation", 6),
    "rate limit": ("status:rate_limit", 5),
    "credential": ("status:invalid_key", 3),
    "unknown model": ("status:model_not_found", 3),
    "server error": ("status:server_error", 4),
    "half a body": ("half_body", 4),
    "no image": ("empty_data", 4),
    "bad size": ("status:bad_size", 2),
}


@pytest.mark.parametrize(("mode", "code"), FAILURES.values(), ids=FAILURES)
def test_each_failure_has_its_code(
    upstream: FakeUpstream,
    config: str,
    capsys: pytest.CaptureFixture[str],
    mode: str,
    code: int,
) -> None:
    upstream.always(mode)
    assert run(["generate", "a", "--config", config, "--model", "img"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "imagegate: " in captured.err
    is_told = [line.split()[0] for line in captured.err.splitlines() if line[:1].isalpha()]
    assert {"owner", "next", "sure"} <= set(is_told)
    assert "Traceback" not in captured.err
    lines = captured.err.splitlines()  # a command stays on one line
    assert all(len(line) <= 80 or line.startswith("next ") for line in lines)


def test_an_error_as_json(
    upstream: FakeUpstream, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream.reply("half_body")
    assert run(["generate", "a", "--config", config, "--model", "img", "--json"]) == 4
    captured = capsys.readouterr()
    error = json.loads(captured.out)["error"]
    assert captured.err == ""
    assert error["exit_code"] == 4
    assert error["may_be_billed"] is True
    assert error["call_id"].startswith("call_")
    assert error["finding"]["owner"] == "provider"
    assert error["attempts"][0]["state"] == "unknown"


def test_without_a_key_it_says_what_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "a red circle"]) == 3
    said = capsys.readouterr().err
    assert "OPENAI_API_KEY" in said
    assert "--model sandbox/gpt-image-2.5-flare" in said


USAGE = {
    "unknown command": ["genrate", "a"],
    "no prompt": ["generate"],
    "n is no number": ["generate", "a", "--n", "many"],
    "no image": ["edit", "make it blue"],
    "no prompt after the images": ["edit", __file__, __file__, "--model", "sandbox/gpt-image-2"],
    "missing image": ["edit", "no.png", "make it blue", "--model", "sandbox/gpt-image-2"],
    "bad size": ["generate", "a", "--model", "sandbox/gpt-image-2", "--size", "99999x1"],
}


@pytest.mark.parametrize("command", USAGE.values(), ids=USAGE)
def test_wrong_usage_is_2(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command) == 2
    assert capsys.readouterr().err.startswith("imagegate: ")


def test_a_folder_that_cannot_be_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "file").touch()
    (folder / "config.yaml").write_text(
        "assets: {folder: file/x}\nserver: {port: 0}\n"
        "model_list: [{model_name: draw, params: {model: sandbox/gpt-image-2}}]\n"
    )
    assert run(["serve", "--config", "config.yaml"]) == 3
    said = capsys.readouterr().err
    assert "file/x" in said
    assert "assets.folder" in said


def test_wrong_usage_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["generate", "a", "--n", "many"], ["generate"], ["models", "--nope"]):
        assert run([*command, "--json"]) == 2
        captured = capsys.readouterr()
        assert json.loads(captured.out)["error"]["exit_code"] == 2
        assert captured.err == ""


def test_a_broken_configuration_is_3(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path_factory.mktemp("config") / "broken.yaml"
    path.write_text("model_list: 7\n")
    assert run(["check", str(path)]) == 3
    assert "model_list" in capsys.readouterr().err
