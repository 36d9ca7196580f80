"""`keys`, `teams`, `spend` against a running gateway, and `migrate` on both databases."""

import json
from pathlib import Path

import pytest

from imagegate.cli.app import run
from imagegate.config.load import load_settings
from imagegate.ledger.schema import REVISION
from imagegate.ledger.store import open_ledger
from tests.gateway.running import RunningGateway
from tests.ledger.databases import PostgresServer

MASTER_KEY = "sk-test-master-0123456789"


@pytest.fixture
def url(config: str, monkeypatch: pytest.MonkeyPatch):
    """The address of a gateway; its master key is in the environment."""
    monkeypatch.setenv("IMAGEGATE_MASTER_KEY", MASTER_KEY)
    with RunningGateway(load_settings(config)) as gateway:
        monkeypatch.setenv("IMAGEGATE_URL", gateway.url)
        yield gateway.url


def printed(capsys: pytest.CaptureFixture[str], *command: str):
    assert run([*command, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_team_with_a_budget_and_a_key(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    team = printed(capsys, "teams", "create", "Red", "--budget-usd", "5")
    assert team["budget_id"].startswith("bud_")
    made = printed(capsys, "keys", "create", "app", "--team", team["id"], "--model", "draw")
    assert made["key"].startswith("sk-ig-")
    assert made["permissions"]["models"] == ["draw"]
    rotated = printed(capsys, "keys", "rotate", made["id"], "--overlap-s", "0")
    assert rotated["key"] != made["key"]
    assert printed(capsys, "keys", "revoke", made["id"])["revoked_at"]
    assert [key["id"] for key in printed(capsys, "keys")] == [made["id"]]
    assert printed(capsys, "spend", "--by", "team", "--from", "2020-01-01") == []


def test_tables_for_people(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["teams", "create", "Red"], ["teams"], ["keys"], ["spend"]):
        assert run(command) == 0
    assert "Red" in capsys.readouterr().out


def test_what_the_gateway_refuses_is_told(url: str, capsys, monkeypatch) -> None:
    assert run(["keys", "revoke", "key_none"]) == 2
    assert "There is no key 'key_none'" in capsys.readouterr().err
    assert run(["keys", "create"]) == 2
    monkeypatch.setenv("IMAGEGATE_MASTER_KEY", "sk-test-wrong")
    assert run(["keys"]) == 3


def test_no_gateway_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "--url", "http://127.0.0.1:1"]) == 3
    assert "imagegate serve" in capsys.readouterr().err


def test_migrate_makes_a_postgres_ready(
    postgres_server: PostgresServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = postgres_server.new_url(is_migrated=False)
    config = tmp_path / "config.yaml"
    config.write_text(
        f"model_list: [{{model_name: a, params: {{model: sandbox/gpt-image-2}}}}]\n"
        f'database_url: "{url}"\n'
    )
    assert run(["serve", "--config", str(config), "--port", "0"]) == 3
    assert "imagegate migrate" in capsys.readouterr().err
    assert run(["migrate", "--config", str(config)]) == 0
    assert f"from nothing to {REVISION}" in capsys.readouterr().out
    assert run(["migrate", "--config", str(config)]) == 0
    assert "already" in capsys.readouterr().out
    open_ledger(url).close()


def test_migrate_brings_a_file_up_to_date(tmp_path: Path, capsys) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        f"model_list: [{{model_name: a, params: {{model: sandbox/gpt-image-2}}}}]\n"
        f"database_url: sqlite:///{tmp_path}/ledger.db\n"
    )
    assert run(["migrate", "--config", str(config)]) == 0
    assert f"from nothing to {REVISION}" in capsys.readouterr().out
