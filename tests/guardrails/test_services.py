"""Guardrails that ask: a service, OpenAI's moderations, an operator's class; their failures."""

import base64
import io
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.gateway import pictures
from tests.gateway.running import Part
from tests.guardrails.conftest import Start
from tests.sinks.receivers import PostServer
from tests.upstream.fake import FakeUpstream

HTTP = """
  - guardrail_name: ours
    litellm_params:
      guardrail: http
      mode: {mode}
      default_on: true
      api_base: {url}/check
      api_key: sk-test-guard
      params: {{level: 3}}
      {more}
"""
MODERATION = """
  - guardrail_name: openai
    litellm_params:
      guardrail: openai_moderation
      mode: {mode}
      default_on: true
      api_base: {url}/v1
      api_key: sk-test-guard
      {more}
"""


@pytest.fixture
def service() -> Iterator[PostServer]:
    with PostServer() as server:
        server.answer = b'{"action": "allow"}'
        yield server


def says(service: PostServer, **verdict: Any) -> None:
    service.answer = json.dumps(verdict).encode()


def decoded(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def test_the_request_is_as_documented(start: Start, service: PostServer) -> None:
    gateway = start(HTTP.format(mode="pre_call", url=service.url, more=""))
    image = pictures.picture()
    mask = pictures.picture(mode="RGBA")
    answer = gateway.edit(
        Part("model", "img"),
        Part("prompt", "a hat"),
        Part("user", "someone"),
        Part("image", image, "a.png"),
        Part("mask", mask, "m.png"),
    )
    assert answer.status == 200, answer.body
    assert answer.headers["x-imagegate-guardrails"] == '["ours:allow"]'
    (posted,) = service.posted
    assert posted.path == "/check"
    assert posted.headers["authorization"] == "Bearer sk-test-guard"
    body = json.loads(posted.body)
    images = body.pop("images")
    assert body == {
        "call_id": answer.headers["x-imagegate-call-id"],
        "stage": "input",
        "operation": "edit",
        "model": "img",
        "end_user": "someone",
        "texts": {"prompt": "a hat"},
        "params": {"level": 3},
    }
    assert [one["role"] for one in images] == ["image", "mask"]
    assert [base64.b64decode(one["b64_json"]) for one in images] == [image, mask]
    assert images[0]["media_type"] == "image/png"


def test_what_comes_out_is_shown_to_it(
    start: Start, service: PostServer, upstream: FakeUpstream
) -> None:
    gateway = start(HTTP.format(mode="post_call", url=service.url, more=""))
    answer = gateway.generate(n=2)
    delivered = [one["b64_json"] for one in answer.json()["data"]]
    (posted,) = service.posted
    body = json.loads(posted.body)
    assert body["stage"] == "output"
    assert [one["b64_json"] for one in body["images"]] == delivered


def test_it_may_change_the_prompt(
    start: Start, service: PostServer, upstream: FakeUpstream
) -> None:
    says(service, action="mask", category="name", texts={"prompt": "a fox for [NAME]"})
    gateway = start(HTTP.format(mode="pre_call", url=service.url, more=""))
    answer = gateway.generate(prompt="a fox for Ann")
    assert answer.headers["x-imagegate-guardrails"] == '["ours:mask:name"]'
    assert json.loads(upstream.bill[-1].body)["prompt"] == "a fox for [NAME]"


@pytest.mark.parametrize("action", ["hold", "deny"])
def test_a_held_image_is_nowhere_to_be_had(
    start: Start, service: PostServer, upstream: FakeUpstream, tmp_path: Path, action: str
) -> None:
    """The cost is booked, the asset has its row; its signed url and its bytes lead nowhere."""
    says(service, action=action, category="violence")
    gateway = start(HTTP.format(mode="post_call", url=service.url, more=""))
    answer = gateway.generate(response_format="url", model="img")
    assert answer.status == 400
    assert answer.error["code"] == "content_policy_violation"
    assert answer.error["imagegate"]["guardrails"] == [f"ours:{action}:violence"]
    ledger = sqlite3.connect(tmp_path / "data.db")
    ((asset_id, file, media_type),) = ledger.execute("SELECT id, file, media_type FROM assets")
    ((state, cost, code),) = ledger.execute("SELECT state, cost_e10, error_code FROM attempts")
    ledger.close()
    assert (state, code) == ("settled", "content_policy_violation")
    assert cost > 0
    assert (tmp_path / "data" / "images" / file).stat().st_size > 0
    links = gateway.gateway.runtime.tools.links
    assert links is not None
    path = links.path_of(asset_id, media_type, expires_at=4_000_000_000)
    fetched = gateway.get(path)
    assert (fetched.status, fetched.error["code"]) == (404, "image_not_found")


def test_an_image_may_be_blurred(start: Start, service: PostServer) -> None:
    says(service, action="blur", category="face")
    gateway = start(HTTP.format(mode="post_call", url=service.url, more=""))
    answer = gateway.generate(prompt="a [picture=medium]")
    assert answer.status == 200
    assert answer.headers["x-imagegate-guardrails"] == '["ours:blur:face"]'
    body = json.loads(service.posted[0].body)
    before = decoded(body["images"][0]["b64_json"])
    after = decoded(answer.json()["data"][0]["b64_json"])
    assert after.size == before.size
    assert after.convert("RGB").tobytes() != before.convert("RGB").tobytes()


@pytest.mark.parametrize(
    "answer", [b"", b"no json", b'{"action": "perhaps"}', b"[]", b'{"verdict": "allow"}']
)
@pytest.mark.parametrize("mode", ["pre_call", "during_call", "post_call"])
def test_an_answer_that_is_no_verdict_closes(
    start: Start, service: PostServer, upstream: FakeUpstream, answer: bytes, mode: str
) -> None:
    service.answer = answer
    gateway = start(HTTP.format(mode=mode, url=service.url, more=""))
    _is_closed(gateway.generate(), mode, upstream)


@pytest.mark.parametrize("mode", ["pre_call", "during_call", "post_call"])
@pytest.mark.parametrize("trouble", ["status", "hang", "gone"])
def test_a_service_that_fails_closes(
    start: Start, upstream: FakeUpstream, mode: str, trouble: str
) -> None:
    with PostServer(status=500, hangs=trouble == "hang") as service:
        url = "http://127.0.0.1:9" if trouble == "gone" else service.url
        gateway = start(HTTP.format(mode=mode, url=url, more="deadline_s: 0.2"))
        _is_closed(gateway.generate(), mode, upstream)


@pytest.mark.parametrize("mode", ["pre_call", "during_call", "post_call"])
def test_an_operator_may_leave_it_open(
    start: Start, service: PostServer, upstream: FakeUpstream, mode: str
) -> None:
    service.status = 500
    gateway = start(HTTP.format(mode=mode, url=service.url, more="on_error: open"))
    answer = gateway.generate()
    assert answer.status == 200
    assert answer.headers["x-imagegate-guardrails"] == '["ours:error:guardrail_failed"]'


def _is_closed(answer: Any, mode: str, upstream: FakeUpstream) -> None:
    """Nothing was sent; or it was, and nobody gets what came."""
    if mode == "pre_call":
        assert (answer.status, answer.error["code"]) == (503, "guardrail_unavailable")
        assert answer.headers["retry-after"] == "5"
        assert upstream.bill == []
    else:
        assert (answer.status, answer.error["code"]) == (400, "content_policy_violation")
        assert answer.error["imagegate"]["guardrails"] == ["ours:error:guardrail_failed"]
        assert len(upstream.bill) == 1


FLAGGED = {"flagged": True, "categories": {"violence": True, "hate": False}}
CLEAN = {"flagged": False, "categories": {"violence": False}, "category_scores": {"violence": 0.4}}


def test_moderation_of_texts_and_images(start: Start, service: PostServer) -> None:
    says(service, id="modr-1", model="omni-moderation-latest", results=[CLEAN])
    gateway = start(MODERATION.format(mode="[pre_call, post_call]", url=service.url, more=""))
    image = pictures.picture()
    answer = gateway.edit(
        Part("model", "img"), Part("prompt", "a hat"), Part("image", image, "a.png")
    )
    assert answer.status == 200, answer.body
    bodies = [json.loads(one.body) for one in service.posted]
    assert {one.path for one in service.posted} == {"/v1/moderations"}
    assert bodies[0] == {"model": "omni-moderation-latest", "input": ["a hat"]}
    encoded = base64.b64encode(image).decode()
    url = {"url": f"data:image/png;base64,{encoded}"}
    assert bodies[1]["input"] == [{"type": "image_url", "image_url": url}]
    delivered = answer.json()["data"][0]["b64_json"]
    assert bodies[-1]["input"][0]["image_url"]["url"].endswith(delivered)


@pytest.mark.parametrize(
    ("result", "more", "status"),
    [
        (FLAGGED, "", 400),
        (CLEAN, "", 200),
        (CLEAN, "thresholds: {violence: 0.3}", 400),
        (CLEAN, "thresholds: {violence: 0.5}", 200),
        ({"flagged": True, "categories": {}}, "", 400),
    ],
)
def test_flags_and_thresholds(
    start: Start, service: PostServer, result: object, more: str, status: int
) -> None:
    says(service, results=[result])
    gateway = start(MODERATION.format(mode="pre_call", url=service.url, more=more))
    assert gateway.generate().status == status


def test_a_file_that_only_the_provider_has_is_refused_where_images_are_looked_at(
    start: Start, service: PostServer
) -> None:
    gateway = start(HTTP.format(mode="pre_call", url=service.url, more=""))
    call = {"model": "official", "prompt": "a", "images": [{"file_id": "file-abc123"}]}
    answer = gateway.post("/v1/images/edits", call)
    assert answer.error["imagegate"].get("guardrails") == ["ours:deny:unseen_input"], answer.body
    assert service.posted == []


CLASS = """
class Own:
    def check(self, subject):
        if "fox" in subject.texts["prompt"]:
            return "deny"

class Broken:
    async def check(self, subject):
        raise RuntimeError("a secret")
"""
PYTHON = """
  - guardrail_name: own
    litellm_params: {{guardrail: my_guardrails.{name}, mode: pre_call, default_on: true}}
"""


def test_a_class_beside_the_configuration(start: Start, tmp_path: Path) -> None:
    (tmp_path / "my_guardrails.py").write_text(CLASS)
    gateway = start(PYTHON.format(name="Own"))
    assert gateway.generate(prompt="a fox").error["code"] == "content_policy_violation"
    assert gateway.generate(prompt="a cat").status == 200


def test_a_class_that_raises_closes(start: Start, tmp_path: Path) -> None:
    (tmp_path / "my_guardrails.py").write_text(CLASS)
    answer = start(PYTHON.format(name="Broken")).generate(prompt="a fox")
    assert answer.error["code"] == "guardrail_unavailable"
    assert "a secret" not in answer.body.decode()


@pytest.mark.parametrize(
    "host",
    [
        "0xa9fea9fe",  # another spelling of 169.254.169.254, which only a resolver reads
        "[::ffff:169.254.169.254]",
        "[::ffff:100.100.100.200]",
        "[64:ff9b::a9fe:a9fe]",
        "[fe80::1]",
    ],
)
def test_no_connection_leads_to_a_clouds_insides_whatever_its_name(
    start: Start, upstream: FakeUpstream, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What the configuration cannot see is looked at when the connection is made."""
    gateway = start(HTTP.format(mode="pre_call", url=f"https://{host}", more=""))
    answer = gateway.generate()
    assert (answer.status, answer.error["code"]) == (503, "guardrail_unavailable")
    (failed,) = [one for one in caplog.records if one.getMessage() == "guardrail.failed"]
    assert "permitted" in failed.reason
    assert upstream.bill == []


HANGS = """
import threading

class Hangs:
    sees_images = False
    def check(self, subject):
        if "hang" in subject.texts["prompt"]:
            threading.Event().wait()
"""
HANGING = """
  - guardrail_name: mine
    litellm_params:
      {guardrail: my_guards.Hangs, mode: pre_call, default_on: true, deadline_s: 0.05,
       on_error: open}
"""
HUNG_CALLS = 12


def test_a_check_that_hangs_holds_up_no_other_work(start: Start, tmp_path: Path) -> None:
    """More hang than the process has threads to share; an edit needs one, to hash its input."""
    (tmp_path / "my_guards.py").write_text(HANGS)
    gateway = start(HANGING)
    for _ in range(HUNG_CALLS):
        answer = gateway.generate(prompt="hang")
        assert answer.headers["x-imagegate-guardrails"] == '["mine:error:guardrail_failed"]'
    edited = gateway.edit(
        Part("model", "img"),
        Part("prompt", "a hat"),
        Part("image", pictures.picture(size=(512, 512)), "a.png"),
    )
    assert edited.status == 200
