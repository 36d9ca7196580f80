"""`explain`: verdict first, one screen, exit codes by owner."""

import io
import json
from pathlib import Path

import pytest

from imagegate.cli.app import run
from tests.diagnosis.texts import Row, rows

FAILURES = [*rows("rows"), *rows("others"), *rows("wild")]
AZURE = '{"error":{"code":"DeploymentNotFound","message":"The API deployment does not exist."}}'


@pytest.mark.parametrize("row", FAILURES, ids=str)
def test_it_fits_one_screen(row: Row, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", row.text]) == row.exit_code
    lines = capsys.readouterr().out.splitlines()
    shown = sum(1 + max(0, len(line) - 1) // 80 for line in lines)  # long commands wrap
    assert shown <= 24
    assert not [line for line in lines if len(line) > 80 and not line.startswith("next ")]


def test_the_verdict_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", AZURE]) == 10
    printed = capsys.readouterr().out
    assert printed.startswith("Azure OpenAI: That resource has no deployment of this name")
    labels = [line.split()[0] for line in printed.splitlines() if not line.startswith(" ")]
    assert labels[2:6] == ["owner", "next", "do", "sure"]
    assert '"code":"DeploymentNotFound"' in printed


def test_json_has_the_stable_fields(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "--json", AZURE]) == 10
    finding = json.loads(capsys.readouterr().out)
    names = ["surface", "owner", "cause", "next", "do_not", "confidence", "rule"]
    assert list(finding)[:7] == names
    assert finding["owner"] == "caller"
    assert finding["text"] == AZURE


def test_it_reads_a_file_or_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "error.txt"
    path.write_text(AZURE)
    assert run(["explain", "--file", str(path)]) == 10
    monkeypatch.setattr("sys.stdin", io.StringIO(AZURE))
    assert run(["explain"]) == 10
    assert run(["explain", "--file", str(tmp_path / "none")]) == 2
    assert run(["explain", " "]) == 2
    assert "nothing to explain" in capsys.readouterr().err


def test_markup_and_control_characters_are_shown_harmless(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["explain", "[bold]no[/nope] \x1b]0;title\x07 [link=x]"]) == 20
    printed = capsys.readouterr().out
    assert "[bold]no[/nope]" in printed
    assert "\x1b]" not in printed
    assert "\x07" not in printed
