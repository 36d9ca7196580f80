"""The Codex command line against this gateway: its chat model is scripted, the images are drawn.

Without an account and without the network. `make test` installs it.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imagegate.config.load import load_settings
from tests.clients.conftest import CODEX
from tests.doctor.surface import Surface
from tests.gateway.running import RunningGateway

RUN_S_MAX = 90
GATEWAY = """
model_list:
  - model_name: gpt-5.6
    model_info: {{mode: responses}}
    params: {{model: openai/gpt-5.6, api_base: "{url}/v1", api_key: sk-test-upstream}}
  - {{model_name: gpt-image-2, params: {{model: sandbox/gpt-image-2}}}}
assets: {{folder: {folder}/data}}
database_url: sqlite:///{folder}/data.db
"""
# The provider block of docs/guide/codex.md.
CODEX_TOML = """
model = "gpt-5.6"
model_provider = "imagegate"

[model_providers.imagegate]
name = "imagegate"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "IMAGEGATE_KEY"

[model_providers.imagegate.http_headers]
"x-openai-actor-authorization" = "any-value"
"""
USAGE = {
    "input_tokens": 1,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 1,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 2,
}


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def draws(number: int, **arguments: Any) -> dict[str, Any]:
    """Return the model's wish for an image, as Codex's own tool takes it."""
    return {
        "id": f"fc_{number}",
        "type": "function_call",
        "status": "completed",
        "call_id": f"call_{number}",
        "namespace": "image_gen",
        "name": "imagegen",
        "arguments": json.dumps(arguments),
    }


DONE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "both are there", "annotations": []}],
}
TURNS = (
    draws(1, prompt="a red square"),
    draws(2, prompt="make it blue", num_last_images_to_include=1),
    DONE,
)


class Model:
    """The chat model: first an image, then an edit of it, then a word."""

    def __init__(self) -> None:
        self.turns = iter(TURNS)

    def say(self) -> Iterator[bytes]:
        item = next(self.turns)
        yield event("response.created", response={"id": "resp_1"})
        yield event("response.output_item.done", output_index=0, item=item)
        done = {"id": "resp_1", "status": "completed", "output": [item], "usage": USAGE}
        yield event("response.completed", response=done)


def run_codex(gateway: RunningGateway, folder: Path) -> subprocess.CompletedProcess[str]:
    home = folder / "codex"
    home.mkdir()
    (home / "config.toml").write_text(CODEX_TOML.format(url=gateway.url))
    work = folder / "work"
    work.mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "CODEX_HOME": str(home)}
    return subprocess.run(
        [CODEX, "exec", "--skip-git-repo-check", "--json", "draw a red square"],
        cwd=work,
        env=env | {"IMAGEGATE_KEY": "any"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_S_MAX,
        check=False,
    )


def test_codex_generates_and_edits(tmp_path: Path) -> None:
    said = (200, {"content-type": "text/event-stream"}, Model().say)
    with Surface({"POST /v1/responses": said}) as surface:
        file = tmp_path / "gateway.yaml"
        file.write_text(GATEWAY.format(url=surface.url, folder=tmp_path))
        with RunningGateway(load_settings(str(file))) as gateway:
            ran = run_codex(gateway, tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "both are there" in ran.stdout
    made = sorted((tmp_path / "codex" / "generated_images").rglob("*.png"))
    assert [image.name for image in made] == ["call_1.png", "call_2.png"]
    assert made[0].read_bytes() != made[1].read_bytes()
    requests = [json.loads(asked.body) for asked in surface.asked]
    assert len(requests) == 3
    assert all(
        asked.headers["authorization"] == "Bearer sk-test-upstream" for asked in surface.asked
    )
    outputs = [one for one in requests[2]["input"] if one["type"] == "function_call_output"]
    parts = [part for one in outputs for part in one["output"] if part["type"] == "input_image"]
    assert [part["image_url"][:22] for part in parts] == ["data:image/png;base64,"] * 2
