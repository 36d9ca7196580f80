"""What the guide shows works as it stands there: its sinks, its class, a webhook's signature."""

import hashlib
import hmac
import re
from pathlib import Path

import pytest

from imagegate.config.load import load_settings
from tests.gateway.running import RunningGateway
from tests.sinks.receivers import PostServer
from tests.upstream.fake import FakeUpstream

TEXT = (Path(__file__).parents[2] / "docs" / "guide" / "telemetry.md").read_text()
MODELS = """
model_list:
  - model_name: img
    litellm_params: {{model: openai/gpt-image-2, api_base: "{v1}", api_key: sk-test-upstream}}
assets: {{folder: {folder}}}
database_url: sqlite:///{folder}.db
"""


def block(kind: str) -> str:
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


def test_its_sinks_get_calls(
    upstream: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bucket is left out: `test_receivers.py` has one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_sinks.py").write_text(block("python"))
    with PostServer() as receiver:
        text = block("yaml").replace("https://example.com", receiver.url)
        text = "\n".join(line for line in text.splitlines() if "kind: s3" not in line)
        file = tmp_path / "config.yaml"
        file.write_text(text + MODELS.format(v1=upstream.v1, folder=tmp_path / "data"))
        settings = load_settings(str(file), env={"HOOK_SECRET": "sk-test-hook"})
        with RunningGateway(settings) as gateway:
            gateway.generate(user="ann")
            gateway.generate(model="nothing")
        (posted,) = receiver.posted
    assert (tmp_path / "spent.txt").read_text().splitlines()[0].startswith("ann img ")
    assert len((tmp_path / "logs" / "calls.jsonl").read_text().splitlines()) == 2
    assert b'"ending":"refused"' in posted.body  # calls: failure
    moment, _, digest = posted.headers["x-imagegate-signature"].partition(",v1=")
    signed = moment.removeprefix("t=").encode() + b"." + posted.body
    assert digest == hmac.new(b"sk-test-hook", signed, hashlib.sha256).hexdigest()


def test_its_bucket_is_read(tmp_path: Path) -> None:
    (line,) = [line for line in block("yaml").splitlines() if "kind: s3" in line]
    file = tmp_path / "config.yaml"
    models = MODELS.format(v1="http://127.0.0.1:1/v1", folder=tmp_path / "data")
    file.write_text(f"sinks:\n{line}\n{models}")
    (sink,) = load_settings(str(file), env={}).sinks
    assert (sink.bucket, sink.region, sink.path) == ("calls", "eu-central-1", "images")
