"""Canaries in every field, header, file name, EXIF block and upstream error: none comes out.

They are sent to every route. Looked at afterwards: all that the process printed, what crashed in
it, the OTLP requests, the webhook's bodies, the file of lines, `/metrics`, every table of the
database, each answer, and what the command line prints.
"""

import contextlib
import io
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from imagegate.cli.app import run
from imagegate.gateway.app import ROUTES
from tests.faults.process import GatewayProcess
from tests.gateway.running import Answer, Part, RunningGateway, form
from tests.sinks.receivers import PostServer
from tests.upstream.fake import FakeUpstream

MASTER_KEY = "sk-canary-master-4242424242424242"
UPSTREAM_KEY = "sk-canary-upstream-42424242424242"
CARD = "4111 1111 1111 1111"
CONFIG = """
  - model_name: broken
    litellm_params: {{model: openai/gpt-image-2, api_base: "{broken}/v1", api_key: {key}}}
general_settings: {{master_key: {master_key}}}
log_format: json
sinks:
  - {{kind: python, class: canary_guard.BrokenSink}}
  - {{kind: otel, url: "{otlp}", headers: {{x-otlp: canary-otlp-header}}}}
  - {{kind: webhook, url: "{webhook}/canary-webhook-path", secret: canary-webhook-secret}}
  - {{kind: file, path: calls.jsonl}}
guardrails:
  - guardrail_name: private
    litellm_params: {{guardrail: sensitive, mode: pre_call}}
  - guardrail_name: broken
    litellm_params: {{guardrail: canary_guard.Broken, mode: pre_call}}
  - guardrail_name: crashes
    litellm_params: {{guardrail: canary_guard.Broken, mode: [during_call, post_call, logging_only]}}
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

class BrokenSink:
    def send(self, events):
        raise RuntimeError("canary-sink-words sk-canary-sink-42424242424242")
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
            "user-agent": "canary-user-agent",
            "referer": "https://canary-referer.test/canary-referer-path",
            "x-request-id": "canary-request-id",
            "x-forwarded-for": "canary-forwarded-for",
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


def rows_of(ledger: Path) -> bytes:
    """Return each row of each table; in the file itself a long text is cut by pages."""
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        named = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = [name for (name,) in named]
        assert {"verdicts", "audit"} <= set(tables)
        rows = [row for name in tables for row in connection.execute(f"SELECT * FROM {name}")]
    return "\n".join(str(value) for row in rows for value in row).encode()


def ask_every_route(caller: Caller) -> None:
    """Send canaries to each route that is not a call: in its path, its query and its body."""
    body = json.dumps({"canary_field": "canary-field-value", "prompt": "canary-prompt"}).encode()
    for route in ROUTES:
        path = re.sub(r"\{[^}]*\}", "sk-canary-path-4242424242424242", route.path)
        query = "?after=canary-after&state=canary-state&signature=canary-signature"
        caller.ask(route.method, path + query, body if route.method != "GET" else None)


def respond(caller: Caller) -> Answer:
    part = {"type": "input_text", "text": "canary-prompt"}
    call = {
        "model": "sk-canary-text-model-4242424242",
        "input": [{"role": "user", "content": [part]}],
    }
    return caller.ask("POST", "/v1/responses", json.dumps(call).encode())


def vary(caller: Caller, *parts: Part) -> Answer:
    body, content_type = form(*parts)
    return caller.ask("POST", "/v1/images/variations", body, content_type=content_type)


def review(caller: Caller) -> None:
    """Look at a held image, release one and delete one: what an admin does is written down."""
    found = caller.ask("GET", "/admin/held", None).json()["data"]
    first, second, *_ = (one["id"] for one in found)
    caller.ask("GET", f"/admin/held/{first}", None)
    caller.ask("POST", f"/admin/held/{first}/release", b"{}")
    caller.ask("DELETE", f"/admin/held/{second}", None)
    assert len(caller.ask("GET", "/admin/audit", None).json()["data"]) == 3


def make_calls(caller: Caller) -> list[int]:
    """Send one request of each kind; return their statuses."""
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
        caller.generate(prompt=f"a canary-prompt for {CARD}", guardrails=["private"]),
        caller.generate(prompt="a canary-prompt that breaks", guardrails=["broken"]),
        caller.generate(prompt="a canary-word here", guardrails=["held"]),
        caller.ask("POST", "/v1/images/generations", b'{"prompt": "canary-not-json'),
        caller.edit(Part("model", "img"), Part("prompt", "canary-prompt"), image),
        caller.edit(Part("model", "broken"), Part("prompt", "canary-prompt"), image),
        caller.generate(prompt="another canary-word here", guardrails=["held"], n=2),
        caller.generate(prompt="a canary-prompt that crashes", guardrails=["crashes"]),
        caller.generate({"x-imagegate-tags": "canary tags, of a wrong form" * 40}),
        caller.generate({"idempotency-key": "sk-canary-idempotency-4242424242"}),
        vary(caller, Part("model", "img"), image),
        respond(caller),
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
        review(caller)
        ask_every_route(caller)
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
        "ledger.db rows": rows_of(tmp_path / "ledger.db"),
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
        told = answer.body + repr(answer.headers).encode()
        for credential in (*CREDENTIALS, "sk-canary-echoed", "4111 1111", "canary-word"):
            assert credential.encode() not in told, told


@pytest.mark.parametrize("is_json", [False, True])
def test_no_credential_is_printed_by_a_command(
    tmp_path: Path,
    servers: tuple[PostServer, PostServer, PostServer],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    is_json: bool,
) -> None:
    """The upstream repeats its key; the configuration, the environment and the prompt have more."""
    *_, broken = servers
    (tmp_path / "canary_guard.py").write_text(BROKEN_CLASS)
    config = tmp_path / "config.yaml"
    own = CONFIG.format(
        broken=broken.url,
        key=UPSTREAM_KEY,
        master_key=MASTER_KEY,
        otlp=broken.url,
        webhook=broken.url,
    )
    config.write_text(f"model_list:{own}")
    image = tmp_path / "canary-file-name.png"
    image.write_bytes(picture())
    monkeypatch.setenv("IMAGEGATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("IMAGEGATE_MASTER_KEY", MASTER_KEY)
    monkeypatch.setenv("IMAGEGATE_URL", broken.url)
    monkeypatch.chdir(tmp_path)
    at = ["--config", str(config)]
    commands = [
        ["generate", "canary-prompt", "--model", "broken", *at],
        ["edit", str(image), "canary-prompt", "--model", "broken", *at],
        ["preview", "canary-prompt", "--model", "broken", *at],
        ["check", *at],
        ["models", *at],
        ["doctor", *at],
        ["explain", json.dumps(ECHO)],
        ["guardrails", "test", "private", f"sk-canary-typed-4242424242424242 {CARD}", *at],
        ["guardrails", "test", "broken", "canary-word", *at],
        ["keys"],
        ["held"],
        ["audit"],
        ["calls", "list", "--gateway", broken.url, *at],
    ]
    for command in commands:
        run([*command, *(["--json"] if is_json else [])])
        told = "".join(capfd.readouterr())
        assert told, command
        for credential in (*CREDENTIALS, "sk-canary", CARD):
            assert credential not in told, (command, told)
        assert not BASE64.search(told.encode()), command
