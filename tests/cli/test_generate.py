"""`generate` and `edit`: files, reports, and what they leave alone."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from imagegate.cli.app import run
from imagegate.cli.destination import Destination
from tests.upstream import FakeUpstream

SANDBOX = ("--model", "sandbox/gpt-image-2.5-flare", "--size", "1024x1024")


def test_the_end_shows_path_size_cost_and_call(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["generate", "a red circle", *SANDBOX]) == 0
    printed = capsys.readouterr().out
    assert "image.png  1024x1024 px, " in printed
    assert "cost 0 USD" in printed
    assert "call call_" in printed
    assert [path.name for path in folder.iterdir()] == ["image.png"]


def test_adjustments_are_shown(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(["generate", "a", "--config", config, "--model", "draw", "--size", "512x512"])
    assert "adjusted: size 512x512" in capsys.readouterr().out


def test_a_key_is_sent_and_follows_from_the_callers(config: str, upstream: FakeUpstream) -> None:
    for key in ("one", "one", "two"):
        asked = ["--model", "img", "--idempotency-key", key]
        assert run(["generate", "a", "--config", config, *asked]) == 0
    sent = [call.headers["idempotency-key"] for call in upstream.calls]
    assert sent[0] == sent[1] != sent[2]


def test_without_a_path_nothing_is_overwritten(folder: Path) -> None:
    (folder / "image.png").write_bytes(b"mine")
    assert run(["generate", "a", *SANDBOX]) == 0
    assert (folder / "image.png").read_bytes() == b"mine"
    assert (folder / "image-2.png").exists()


def test_a_path_is_overwritten_and_its_suffix_decides_the_format(folder: Path) -> None:
    (folder / "out.jpg").write_bytes(b"old")
    assert run(["generate", "a", *SANDBOX, "-o", "out.jpg"]) == 0
    assert (folder / "out.jpg").read_bytes().startswith(b"\xff\xd8\xff")


def test_a_suffix_that_is_no_image_format_is_refused_before_anything_is_sent(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["generate", "a", *SANDBOX, "-o", "out.txt"]) == 2
    assert "ends in .txt" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("suffix", ["gif", "svg"])
def test_a_file_is_never_called_what_it_is_not(
    folder: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "out.png").write_bytes(b"mine")
    assert run(["generate", "a", "--model", "sandbox/gpt-image-2", "-o", f"out.{suffix}"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["out-2.png", "out.png"]
    assert (folder / "out.png").read_bytes() == b"mine"
    assert f"output_format {suffix} was sent as png" in capsys.readouterr().out


def test_several_images_are_numbered(folder: Path) -> None:
    assert run(["generate", "a", *SANDBOX, "--n", "3", "-o", "out.png"]) == 0
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["out-2.png", "out-3.png", "out.png"]


def test_a_folder_as_output(folder: Path) -> None:
    (folder / "album").mkdir()
    assert run(["generate", "a", *SANDBOX, "-o", "album"]) == 0
    assert (folder / "album" / "image.png").exists()


def test_json_is_one_object_and_nothing_else(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["generate", "a", *SANDBOX, "--json", "--stream"]) == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert captured.err == ""
    (image,) = report["images"]
    assert image["path"] == "image.png"
    assert image["size_bytes"] == (folder / "image.png").stat().st_size
    assert report["cost_usd"] == "0"


def test_a_preview_is_gone_at_the_end(folder: Path) -> None:
    assert run(["generate", "a", *SANDBOX, "--stream", "-o", "out.png"]) == 0
    assert [path.name for path in folder.iterdir()] == ["out.png"]


def test_a_preview_leaves_other_files_alone(folder: Path) -> None:
    (folder / "out.preview.png").write_bytes(b"mine")
    assert run(["generate", "a", *SANDBOX, "--stream", "-o", "out.png"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["out.png", "out.preview.png"]
    assert (folder / "out.preview.png").read_bytes() == b"mine"


def test_a_forgotten_prompt_is_noticed_before_anything_is_sent(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["generate", "a", *SANDBOX, "-o", "a.png"]) == 0
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes())
    assert run(["edit", "a.png", "b.png", *SANDBOX]) == 2
    assert "'b.png' is a file" in capsys.readouterr().err


class _Interrupting:
    """An image at whose saving the user presses Ctrl-C."""

    suffix = ".png"

    def save(self, path: Path) -> Path:
        signal.raise_signal(signal.SIGINT)
        path.write_bytes(b"image")
        return path


def test_ctrl_c_does_not_lose_what_came(folder: Path) -> None:
    images = [_Interrupting(), _Interrupting()]
    paths = Destination(Path("out.png"), None).save_all(images)
    assert [path.name for path in paths] == ["out.png", "out-2.png"]
    assert all(path.exists() for path in paths)


def test_edit_with_a_mask(upstream: FakeUpstream, config: str, folder: Path) -> None:
    run(["generate", "a", *SANDBOX, "-o", "in.png"])
    run(["generate", "a", *SANDBOX, "--background", "transparent", "-o", "mask.png"])
    command = ["edit", "in.png", "in.png", "make it blue", "--mask", "mask.png"]
    assert run([*command, "--config", config, "--model", "img", "-o", "out.png"]) == 0
    assert [file.name for file in upstream.calls[-1].files] == ["image[]", "image[]", "mask"]


@pytest.mark.parametrize("output", ["missing/out.png", "out.png"])
def test_a_path_that_cannot_work_is_refused_before_anything_is_sent(
    upstream: FakeUpstream, config: str, output: str
) -> None:
    command = ["generate", "a", "--config", config, "--model", "img"]
    assert run([*command, "-o", output, "--output-format", "webp"]) == 2
    assert upstream.calls == []


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_ctrl_c_leaves_nothing_and_names_the_call(
    upstream: FakeUpstream, config: str, folder: Path, flags: tuple[str, ...]
) -> None:
    upstream.reply("hold")
    command = ["generate", "a", "--config", config, "--model", "img", "-o", "out.png", *flags]
    with subprocess.Popen(
        [sys.executable, "-m", "imagegate", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    ) as process:
        upstream.wait_held()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    upstream.release()
    assert process.returncode == 130
    said = json.loads(out)["error"]["message"] if flags else err
    assert "call_" in said
    assert "bill" in said
    assert "Traceback" not in err
    assert list(folder.iterdir()) == []
