"""`webhooks`: secrets that are none, and urls that nobody would be called at."""

from pathlib import Path

import pytest

from imagegate.wire.standard_webhooks import write_secret
from tests.config.files import ISSUE, faults_of, load

SECRET = write_secret(b"webhooks-of-the-tests-only!!")
KEY = {"AZURE_API_KEY": "sk-test-azure-0001"}


def test_what_was_said_is_what_holds(tmp_path: Path) -> None:
    text = f"""{ISSUE}
webhooks:
  secret: os.environ/HOOK_SECRET
  url: https://hooks.example/all
  teams: {{team_1: https://hooks.example/red}}
  keys: {{key_1: http://internal/one}}
  allow_hosts: internal
"""
    settings = load(tmp_path, text, KEY | {"HOOK_SECRET": SECRET}).webhooks
    assert settings.is_on
    assert settings.url_for(None, None) == "https://hooks.example/all"
    assert settings.url_for("key_2", "team_1") == "https://hooks.example/red"
    assert settings.url_for("key_1", "team_1") == "http://internal/one"
    assert SECRET not in repr(settings)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_c2hvcnQ=", "hush", f"{SECRET}#"])
def test_a_secret_that_is_none(secret: str, tmp_path: Path) -> None:
    message = faults_of(tmp_path, f'{ISSUE}\nwebhooks: {{secret: "{secret}"}}', KEY)
    assert "webhooks.secret[0]: a webhook's secret is whsec_ and the base64 of 24" in message
    assert secret not in message or secret == "whsec_"


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    text = f"""{ISSUE}
webhooks: {{url: "http://hooks.example", keys: {{key_1: nowhere}}, secert: x}}
"""
    message = faults_of(tmp_path, text, KEY)
    for told in (
        "webhooks.url: webhooks need webhooks.secret; make one with: openssl rand -base64 32",
        "webhooks.url: must be an https url; one of a host in allow_hosts may be http",
        "webhooks.keys.key_1: must be an https url",
        "webhooks.secert: unknown key; did you mean 'secret'?",
    ):
        assert told in message
