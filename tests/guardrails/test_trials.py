"""`imagegate guardrails test`, the route that does the same, and what a wrong file is told."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagegate.cli.app import run
from imagegate.config.load import load_settings
from imagegate.errors import ConfigError
from tests.gateway import pictures
from tests.gateway.running import Part, form
from tests.guardrails.conftest import Start
from tests.sinks.receivers import PostServer

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


PICTURES = """
  - guardrail_name: pictures
    litellm_params: {{guardrail: http, mode: [pre_call, post_call], api_base: "{url}"}}
"""


@pytest.fixture
def service() -> Iterator[PostServer]:
    with PostServer() as server:
        server.answer = b'{"action": "deny", "category": "violence"}'
        yield server


def roles(service: PostServer) -> list[str]:
    return [one["role"] for one in json.loads(service.posted[-1].body)["images"]]


def test_the_command_with_images(
    config: Callable[[str], Path],
    service: PostServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = str(config(PICTURES.format(url=service.url)))
    image = tmp_path / "a.png"
    image.write_bytes(pictures.picture())
    command = ["guardrails", "test", "pictures", "--config", file, "--image", str(image)]
    assert run(command) == 6
    assert capsys.readouterr().out.strip() == "pictures: deny violence"
    assert roles(service) == ["image"]
    sent = json.loads(service.posted[-1].body)["images"][0]
    assert (sent["media_type"], base64.b64decode(sent["b64_json"])) == (
        "image/png",
        image.read_bytes(),
    )
    assert run([*command, "--image", str(image), "--stage", "output", "--json"]) == 6
    assert json.loads(capsys.readouterr().out)["mode"] == "post_call"
    assert roles(service) == ["output", "output"]
    assert run([*command[:-1], str(tmp_path / "nothing.png")]) == 2
    assert "cannot be read" in " ".join(capsys.readouterr().err.split())
    image.write_bytes(pictures.TEXT)
    assert run(command) == 2
    assert len(service.posted) == 2


def test_the_route_with_images(start: Start, service: PostServer) -> None:
    gateway = start(PICTURES.format(url=service.url))
    path = "/admin/guardrails/pictures/test"
    url = f"data:image/png;base64,{base64.b64encode(pictures.picture()).decode()}"
    answer = gateway.post(path, {"prompt": "a hat", "images": [{"image_url": url}]})
    assert (answer.status, answer.json()["action"]) == (200, "deny")
    assert json.loads(service.posted[-1].body)["texts"] == {"prompt": "a hat"}
    assert roles(service) == ["image"]
    parts = [Part("prompt", "a hat"), Part("image", pictures.picture(), "a.png")]
    parts += [Part("mask", pictures.picture(mode="RGBA"), "m.png")]
    body, content_type = form(*parts)
    gateway.request("POST", path, body, {"content-type": content_type})
    assert roles(service) == ["image", "mask"]
    answer = gateway.request("POST", f"{path}?stage=output", body, {"content-type": content_type})
    assert (roles(service), answer.json()["mode"]) == (["output", "output"], "post_call")
    assert gateway.post(f"{path}?stage=middle", {"prompt": "a"}).error["param"] == "stage"
    assert gateway.gateway.runtime.spool.bytes_in_use == 0


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
