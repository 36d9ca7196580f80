"""Canaries in every field, header, file name, EXIF block and upstream error: none comes out.

Looked at afterwards: all that the process printed, the OTLP requests, the webhook's bodies, the
file of lines, `/metrics`, the database, and each error body.
"""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.faults.process import GatewayProcess
from tests.gateway.running import Answer, Part, RunningGateway, form
from tests.sinks.receivers import PostServer
from tests.upstream.fake import FakeUpstream

MASTER_KEY = "sk-canary-master-4242424242424242"
UPSTREAM_KEY = "sk-canary-upstream-42424242424242"
CONFIG = """
  - model_name: broken
    litellm_params: {{model: openai/gpt-image-2, api_base: "{broken}/v1", api_key: {key}}}
general_settings: {{master_key: {master_key}}}
log_format: json
sinks:
  - {{kind: otel, url: "{otlp}", headers: {{x-otlp: canary-otlp-header}}}}
  - {{kind: webhook, url: "{webhook}/canary-webhook-path", secret: canary-webhook-secret}}
  - {{kind: file, path: calls.jsonl}}
guardrails:
  - guardrail_name: private
    litellm_params: {{guardrail: sensitive, mode: pre_call}}
  - guardrail_name: broken
    litellm_params: {{guardrail: canary_guard.Broken, mode: pre_call}}
  - guardrail_name: held
    litellm_params:
      guardrail: words
      mode: [during_call, post_call, logging_only]
      blocked_words: [{{keyword: canary-word}}]
"""
BROKEN_CLASS = """
class Broken:
    def check(self, subject):
        raise RuntimeError(subject.texts["prompt"])
"""
CREDENTIALS = (MASTER_KEY, UPSTREAM_KEY, "canary-otlp-header", "canary-webhook-secret")
ECHO = {
    "error": {
        "message": f"Incorrect API key provided: {UPSTREAM_KEY}. Authorization: Bearer "
        "sk-canary-echoed-4242424242424242. " + "QUJD" * 3000,
        "code": "invalid_api_key",
        "param": "sk-canary-param-42424242424242",
    }
}
ALLOWED = re.compile(rb"canary_guard")  # the class is the operator's own
# An attempt keeps the upstream's own words; where they repeat a wrong value, that value is there.
ECHOED_BY_UPSTREAM = re.compile(rb"canary_unknown'|canary_unknown\\*\"|'canary-size-value'")
BASE64 = re.compile(rb"[A-Za-z0-9+/]{4097,}")


def picture() -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "canary-exif-description"
    file = io.BytesIO()
    Image.effect_noise((200, 200), 60).convert("RGB").save(file, "PNG", exif=exif)
    return file.getvalue()


@pytest.fixture
def servers() -> Iterator[tuple[PostServer, PostServer, PostServer]]:
    with PostServer() as otlp, PostServer() as webhook, PostServer(status=401) as broken:
        broken.answer = json.dumps(ECHO).encode()
        yield otlp, webhook, broken


class Caller:
    """Sends requests to a gateway's process, each with canaries in its headers."""

    def __init__(self, port: int) -> None:
        self._gateway = RunningGateway.__new__(RunningGateway)
        self._gateway.port = port
        self.answers: list[Answer] = []

    def ask(self, method: str, path: str, body: bytes | None, **headers: str) -> Answer:
        sent = {
            "authorization": f"Bearer {MASTER_KEY}",
            "x-anything": "canary-header-value",
            "cookie": "session=canary-cookie",
            "tracestate": "vendor=canary-tracestate",
            "content-type": "application/json",
        }
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self._gateway.request(method, path, body, sent)
        self.answers.append(answer)
        return answer

    def generate(self, headers: dict[str, str] | None = None, **fields: object) -> Answer:
        call = {"model": "img", "prompt": "canary-prompt in the snow", **fields}
        body = json.dumps(call).encode()
        return self.ask("POST", "/v1/images/generations", body, **(headers or {}))

    def edit(self, *parts: Part) -> Answer:
        body, content_type = form(*parts)
        return self.ask("POST", "/v1/images/edits", body, content_type=content_type)


def make_calls(caller: Caller) -> list[int]:
    """Send one request of each kind; return their statuses."""
    card = "4111 1111 1111 1111"
    image = Part("image", picture(), "canary-file-name.png")
    long = "canary-field-value " + "A" * 5000
    calls = [
        caller.generate(user="sk-canary-user-424242424242424242"),
        caller.generate(stream=True, partial_images=1, safety_identifier="someone"),
        caller.generate(n=2, canary_unknown=long, metadata={"canary-key": "canary-metadata"}),
        caller.generate(model="sk-canary-model-4242424242424242"),
        caller.generate(model="broken"),
        caller.generate(size="canary-size-value"),
        caller.generate({"authorization": "Bearer sk-canary-wrong-key-4242424242"}),
        caller.generate({"x-imagegate-timeout": "canary-timeout"}),
        caller.generate(prompt=f"a canary-prompt for {card}", guardrails=["private"]),
        caller.generate(prompt="a canary-prompt that breaks", guardrails=["broken"]),
        caller.generate(prompt="a canary-word here", guardrails=["held"]),
        caller.ask("POST", "/v1/images/generations", b'{"prompt": "canary-not-json'),
        caller.edit(Part("model", "img"), Part("prompt", "canary-prompt"), image),
        caller.edit(Part("model", "broken"), Part("prompt", "canary-prompt"), image),
        caller.ask("GET", "/metrics", None),
        caller.ask("GET", "/canary-path-4242", None),
    ]
    return [answer.status for answer in calls]


def test_no_canary_comes_out(
    upstream: FakeUpstream, tmp_path: Path, servers: tuple[PostServer, PostServer, PostServer]
) -> None:
    otlp, webhook, broken = servers
    (tmp_path / "canary_guard.py").write_text(BROKEN_CLASS)
    process = GatewayProcess(tmp_path, upstream.v1)
    config = tmp_path / "config.yaml"
    head, mark, tail = config.read_text().partition("assets:")
    own = CONFIG.format(
        broken=broken.url,
        key=UPSTREAM_KEY,
        master_key=MASTER_KEY,
        otlp=otlp.url,
        webhook=webhook.url,
    )
    models, _, rest = own.partition("general_settings:")
    config.write_text(f"{head}{models}general_settings:{rest}{mark}{tail}")
    with process as gateway:
        caller = Caller(gateway.port)
        statuses = make_calls(caller)
        metrics = caller.answers[-2].body
    assert statuses[:2] == [200, 200]
    assert statuses.count(401) == 1
    assert statuses[-2] == 200
    places = {
        "output": "".join(process.output).encode(),
        "otlp": b"".join(posted.body for posted in otlp.posted),
        "webhook": b"".join(posted.body for posted in webhook.posted),
        "file": (tmp_path / "calls.jsonl").read_bytes(),
        "metrics": metrics,
        **{path.name: path.read_bytes() for path in tmp_path.glob("ledger.db*")},
    }
    assert all(places[name] for name in ("output", "otlp", "webhook", "file", "metrics"))
    lines = [json.loads(line) for line in places["file"].splitlines()]
    assert {line["ending"] for line in lines} == {"done", "failed", "refused"}
    for name, data in places.items():
        found = re.findall(rb"[^\n]{0,60}(?<!test_)canary[-_][a-z][^\n]{0,40}", data)
        found = [one for one in found if not ALLOWED.search(one)]
        if name.startswith("ledger.db"):
            found = [one for one in found if not ECHOED_BY_UPSTREAM.search(one)]
        assert not found, (name, found)
        assert b"4111 1111" not in data, name
        assert not BASE64.search(data), name
    for answer in caller.answers:
        for credential in (*CREDENTIALS, "sk-canary-echoed", "4111 1111"):
            assert credential.encode() not in answer.body, answer.body
