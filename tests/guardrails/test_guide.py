"""What the guide shows works as it stands: its files, commands, class, request and verdict."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagegate.cli.app import run
from imagegate.config.load import load_settings
from imagegate.config.settings import Settings
from tests.gateway.running import RunningGateway
from tests.sinks.receivers import PostServer
from tests.upstream.fake import FakeUpstream

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "guardrails.md"
TEXT = GUIDE.read_text()
ENV = {"OPENAI_API_KEY": "sk-test-moderation", "GUARD_KEY": "sk-test-guard"}
MODELS = """
model_list:
  - model_name: img
    litellm_params: {{model: openai/gpt-image-2, api_base: "{v1}", api_key: sk-test-upstream}}
assets: {{folder: {folder}}}
database_url: sqlite:///{folder}.db
"""


def blocks(kind: str) -> list[str]:
    """Return the guide's code blocks of a language, in order."""
    return re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


FIRST, SERVICE = blocks("yaml")
REQUEST, VERDICT = (json.loads(block) for block in blocks("json"))
(CLASS,) = blocks("python")

Load = Callable[[str], Settings]


@pytest.fixture
def load(upstream: FakeUpstream, tmp_path: Path) -> Load:
    """Return what reads a file with the guide's guardrails and our models."""

    def load_one(guardrails: str) -> Settings:
        file = tmp_path / "config.yaml"
        file.write_text(guardrails + MODELS.format(v1=upstream.v1, folder=tmp_path / "data"))
        return load_settings(str(file), env=ENV)

    return load_one


@pytest.fixture
def service() -> Iterator[PostServer]:
    with PostServer() as server:
        yield server


def without_moderation(text: str) -> str:
    """Return the first file without the guardrail that would ask OpenAI."""
    return text[: text.index("  - guardrail_name: safe-images")]


def test_its_files_are_read(load: Load) -> None:
    assert [one.name for one in load(FIRST).guardrails] == [
        "no-secrets",
        "house-rules",
        "safe-images",
    ]
    (ours,) = load(SERVICE).guardrails
    assert (ours.kind, ours.url, ours.params) == (
        "http",
        "https://guard.example.com/check",
        {"level": 3},
    )


def test_its_rules_hold(load: Load, upstream: FakeUpstream) -> None:
    with RunningGateway(load(without_moderation(FIRST))) as gateway:
        answer = gateway.generate(prompt="BB-1234 for 4111 1111 1111 1111 ann@example.com")
        refused = gateway.generate(prompt="a logo for Project  Bluebird")
    assert answer.status == 200
    sent = json.loads(upstream.bill[-1].body)["prompt"]
    assert sent == "[REDACTED] for [CREDIT_CARD] [EMAIL_ADDRESS]"
    assert "(secret-project)" in refused.error["message"]


def test_its_commands(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(without_moderation(FIRST))
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^imagegate (guardrails test .*)$", TEXT, re.MULTILINE)
    words = [re.findall(r'"([^"]*)"|(\S+)', command) for command in commands]
    assert [run([quoted or plain for quoted, plain in one]) for one in words] == [0, 6]


def test_its_class(load: Load, tmp_path: Path) -> None:
    (tmp_path / "my_guards.py").write_text(CLASS)
    name = re.search(r"guardrail: (my_guards\.\w+)", CLASS)
    assert name is not None
    settings = load(
        "guardrails: [{guardrail_name: mine, litellm_params: {guardrail: "
        f"{name[1]}, mode: [pre_call, post_call], default_on: true}}}}]\n"
    )
    with RunningGateway(settings) as gateway:
        assert gateway.generate().status == 200
        refused = gateway.generate(prompt="a portrait of a fox")
        held = gateway.generate(size="2048x2048")
    assert refused.error["imagegate"]["guardrails"] == ["mine:deny:portrait"]
    assert held.error["imagegate"]["guardrails"] == ["mine:allow", "mine:hold:large"]


def test_its_request_and_its_verdict(load: Load, service: PostServer) -> None:
    service.answer = json.dumps(VERDICT).encode()
    text = SERVICE.replace("https://guard.example.com", service.url)
    with RunningGateway(load(text)) as gateway:
        answer = gateway.generate(user="ann", guardrails=[])
    (posted,) = service.posted
    assert posted.headers["authorization"] == "Bearer sk-test-guard"
    sent = json.loads(posted.body)
    assert sent.keys() == REQUEST.keys()
    assert {name: type(value) for name, value in sent.items()} == {
        name: type(value) for name, value in REQUEST.items()
    }
    assert (sent["end_user"], sent["params"]) == (REQUEST["end_user"], REQUEST["params"])
    assert answer.error["imagegate"]["guardrails"] == ["ours:deny:violence"]
