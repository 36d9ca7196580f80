"""What doctor says of this place itself: its ledger, its folder of images."""

import asyncio
import json
import sqlite3
from pathlib import Path

import msgspec
import pytest

from imagegate.cli.app import run
from imagegate.config.load import load_settings
from imagegate.config.settings import AssetSettings, Settings
from imagegate.diagnosis.checkup import Step
from imagegate.ledger.schema import REVISION
from imagegate.ledger.store import open_ledger
from imagegate.runtime.premises import examine_premises
from imagegate.types import Secret

CONFIG = """
model_list:
  - {{model_name: draw, params: {{model: sandbox/gpt-image-2}}}}
database_url: sqlite:///{ledger}
assets: {{folder: {folder}}}
"""


def settings_of(tmp_path: Path, database_url: str = "", **changes: object) -> Settings:
    url = Secret(database_url or f"sqlite:///{tmp_path}/new/ledger.db")
    assets = AssetSettings(folder=str(tmp_path / "data"))
    places = {"assets": assets, "database_url": url}
    return msgspec.structs.replace(load_settings(None), **{**places, **changes})


def steps_of(settings: Settings) -> dict[str, Step]:
    found = asyncio.run(examine_premises(settings))
    return {step.title: step for step in found.steps}


def test_what_is_not_there_yet_can_be_made(tmp_path: Path) -> None:
    steps = steps_of(settings_of(tmp_path))
    assert [step.state for step in steps.values()] == ["ok", "ok"]
    assert "will be made" in steps["ledger"].text
    assert "MiB free" in steps["asset folder"].text
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_tells_its_revision(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    open_ledger(url).close()
    assert REVISION in steps_of(settings_of(tmp_path, database_url=url))["ledger"].text
    with sqlite3.connect(tmp_path / "ledger.db") as database:
        database.execute("UPDATE imagegate_version SET version_num = '0001'")
    older = steps_of(settings_of(tmp_path, database_url=url))["ledger"]
    assert (older.state, "the next start brings it" in older.text) == ("ok", True)
    with sqlite3.connect(tmp_path / "ledger.db") as database:
        database.execute("UPDATE imagegate_version SET version_num = '9999'")
    newer = steps_of(settings_of(tmp_path, database_url=url))["ledger"]
    assert (newer.state, newer.owner, newer.exit_code) == ("fault", "operator", 14)
    assert "newer than" in newer.text


@pytest.mark.parametrize("kind", ["text", "postgres"])
def test_a_ledger_that_cannot_be_used(tmp_path: Path, kind: str) -> None:
    (tmp_path / "text.db").write_text("this is no database")
    urls = {
        "text": f"sqlite:///{tmp_path}/text.db",
        "postgres": "postgresql://user:secret-word@127.0.0.1:1/none",
    }
    step = steps_of(settings_of(tmp_path, database_url=urls[kind]))["ledger"]
    assert step.state == "fault"
    assert step.text.startswith("The ledger")
    assert "secret-word" not in step.text


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assets = AssetSettings(folder=str(tmp_path / "file" / "data"))
    step = steps_of(settings_of(tmp_path, assets=assets))["asset folder"]
    assert step.state == "fault"
    assert "cannot be written to" in step.text


@pytest.mark.parametrize(
    ("limit", "state", "words"),
    [
        ({"answer_bytes_max": 2**60}, "warning", "less than one answer may take"),
        ({"free_bytes_min": 2**60}, "fault", "buys nothing"),
    ],
)
def test_a_disk_that_fills_up(
    limit: dict[str, int], state: str, words: str, tmp_path: Path
) -> None:
    assets = AssetSettings(folder=str(tmp_path), **limit)
    step = steps_of(settings_of(tmp_path, assets=assets))["asset folder"]
    assert step.state == state
    assert words in step.text


def test_the_command_tells_it_beside_the_deployments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ledger.db").write_text("this is no database")
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG.format(ledger=tmp_path / "ledger.db", folder=tmp_path / "data"))
    assert run(["doctor", "--config", str(file)]) == 14
    printed = capsys.readouterr().out
    assert printed.startswith("1 fault. Nothing was bought.\n1 this installation (P0 ledger): The")
    lines = printed.splitlines()  # a path stays whole
    assert all(len(line) <= 80 or str(tmp_path) in line for line in lines)
    assert run(["doctor", "--config", str(file), "--json"]) == 14
    told = json.loads(capsys.readouterr().out)
    assert [step["state"] for step in told["installation"]] == ["fault", "ok"]
    assert run(["doctor", "--config", str(file), "--deployment", "draw"]) == 0
