"""`imagegate guardrails test`, the route that does the same, and what a wrong file is told."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from imagegate.cli.app import run
from imagegate.config.load import load_settings
from imagegate.errors import ConfigError
from tests.guardrails.conftest import Start

GUARDRAILS = """
  - guardrail_name: private
    litellm_params:
      guardrail: hide-secrets
      mode: pre_call
      pii_entities_config: {CREDIT_CARD: MASK, EMAIL_ADDRESS: BLOCK}
"""


@pytest.mark.parametrize(
    ("prompt", "shown", "code"),
    [
        ("a fox", "private: allow", 0),
        ("for 4111 1111 1111 1111", "private: mask CREDIT_CARD", 0),
        ("for ann@example.com", "private: deny EMAIL_ADDRESS", 6),
    ],
)
def test_the_command(
    config: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
    prompt: str,
    shown: str,
    code: int,
) -> None:
    file = str(config(GUARDRAILS))
    assert run(["guardrails", "test", "private", prompt, "--config", file]) == code
    assert capsys.readouterr().out.strip() == shown


def test_the_command_for_machines(
    config: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(config(GUARDRAILS))
    run(["guardrails", "test", "private", "ann@example.com", "--config", file, "--json"])
    assert json.loads(capsys.readouterr().out) == {
        "guardrail": "private",
        "mode": "pre_call",
        "action": "deny",
        "category": "EMAIL_ADDRESS",
    }


def test_a_name_that_is_not_there(
    config: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["guardrails", "test", "nobody", "a", "--config", str(config(GUARDRAILS))]) == 2
    assert "there are: private" in " ".join(capsys.readouterr().err.split())


def test_the_route(start: Start) -> None:
    gateway = start(GUARDRAILS)
    path = "/admin/guardrails/private/test"
    answer = gateway.post(path, {"prompt": "for ann@example.com"})
    assert answer.json() == {
        "guardrail": "private",
        "mode": "pre_call",
        "action": "deny",
        "category": "EMAIL_ADDRESS",
    }
    assert gateway.post("/admin/guardrails/nobody/test", {"prompt": "a"}).status == 400
    assert gateway.post(path, {"text": "a"}).status == 400
    assert gateway.post(path, {"prompt": "a" * 300_000}).status == 400


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ("guardrail: presidio, mode: pre_call", "no guardrail 'presidio' here"),
        ("guardrail: words, mode: pre_call", "so it guards nothing"),
        ("guardrail: http, mode: pre_call", "it needs api_base"),
        ("guardrail: http, mode: pre_call, api_base: 'http://guard.test'", "https url"),
        ("guardrail: http, mode: pre_call, api_base: 'https://169.254.169.254/'", "insides"),
        ("guardrail: openai_moderation, mode: pre_call", "OPENAI_API_KEY"),
        ("guardrail: sensitive, mode: sometimes", "must be 'pre_call'"),
        ("guardrail: sensitive", "mode: this key is missing"),
        ("guardrail: sensitive, mode: pre_call, defaul_on: true", "did you mean 'default_on'"),
        ("guardrail: words, mode: pre_call, patterns: [{pattern: '('}]", "regular expression"),
        ("guardrail: sensitive, mode: pre_call, action: blur", "only what comes out"),
    ],
)
def test_a_guardrail_that_cannot_be_had_is_a_fault(
    config: Callable[[str], Path], params: str, told: str
) -> None:
    text = f"  - {{guardrail_name: g, litellm_params: {{{params}}}}}"
    with pytest.raises(ConfigError) as caught:
        load_settings(str(config(text)), env={})
    assert told in caught.value.message
