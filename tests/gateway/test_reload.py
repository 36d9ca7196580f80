"""A changed configuration: served whole or not at all, with nothing left of the one before."""

import gc
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from imagegate.config.load import load_settings
from imagegate.config.settings import Deployment, Settings
from imagegate.wire.standard_webhooks import write_secret
from tests.gateway.running import Answer, RunningGateway
from tests.gateway.test_later import feed
from tests.sinks.receivers import PostServer
from tests.upstream.fake import FakeUpstream

OLD = """
model_list:
  - model_name: old
    model_info: {{id: same}}
    litellm_params:
      model: openai/gpt-image-2
      base_model: openai/gpt-image-2
      api_base: "{v1}"
      api_key: sk-test-old-key
general_settings: {{master_key: sk-old-master-Zq8-is-long}}
router_settings: {{model_group_alias: {{img: old}}}}
guardrails:
  - guardrail_name: old-words
    litellm_params:
      {{guardrail: words, mode: pre_call, default_on: true, blocked_words: [{{keyword: herring}}]}}
sinks: [{{kind: file, name: old-file, path: old.jsonl}}]
default_model: old
assets: {{folder: {folder}}}
database_url: sqlite:///{folder}.db
server: {{json_bytes_max: 100000}}
"""
NEW = """
model_list:
  - model_name: new
    model_info: {{id: same}}
    litellm_params:
      model: openai/gpt-image-2
      base_model: openai/gpt-image-2
      api_base: "{v1}"
      api_key: sk-test-new-key
general_settings: {{master_key: sk-new-master-Zq8-is-long}}
router_settings: {{model_group_alias: {{img: new}}}}
guardrails:
  - guardrail_name: new-words
    litellm_params:
      {{guardrail: words, mode: pre_call, default_on: true, blocked_words: [{{keyword: salmon}}]}}
sinks: [{{kind: file, name: new-file, path: new.jsonl}}]
default_model: new
adjust: strict
assets: {{folder: {folder}, url_s: 60}}
database_url: sqlite:///{folder}.db
server: {{json_bytes_max: 1000, public_url: "https://images.example.com"}}
"""
PLAIN = """
model_list:
  - model_name: img
    model_info: {{id: one}}
    litellm_params: {{model: openai/gpt-image-2, api_base: "{v1}", api_key: sk-test-{key}}}
  - model_name: {other}
    litellm_params: {{model: openai/gpt-image-2, api_base: "{v1}", api_key: sk-test-other}}
assets: {{folder: {folder}}}
database_url: sqlite:///{folder}.db
attach_s: {attach_s}
"""
OLD_KEY, NEW_KEY = "sk-old-master-Zq8-is-long", "sk-new-master-Zq8-is-long"
TRIES_MAX = 2000
LOOKS_MAX = 100
PATH = "/v1/images/generations"
CALL = {"model": "img", "prompt": "a fox"}
FILES = ("old.jsonl", "new.jsonl")

Write = Callable[..., Callable[[], Settings]]
"""Writes the file from a template, and returns what reads it."""


@pytest.fixture
def write(upstream: FakeUpstream, tmp_path: Path) -> Write:
    def write_one(template: str, **given: object) -> Callable[[], Settings]:
        fields = {"v1": upstream.v1, "folder": tmp_path / "data", "key": "first", "other": "b"}
        text = template.format(**fields | {"attach_s": 0} | given)
        (tmp_path / "config.yaml").write_text(text)
        return lambda: load_settings(str(tmp_path / "config.yaml"), env={})

    return write_one


@pytest.fixture
def plain(write: Write) -> Iterator[RunningGateway]:
    with RunningGateway(write(PLAIN)()) as gateway:
        yield gateway


def ask(gateway: RunningGateway, key: str, **fields: object) -> Answer:
    call = {"model": "img", "prompt": "a fox"} | fields
    return gateway.post("/v1/images/generations", call, authorization=f"Bearer {key}")


def names(gateway: RunningGateway, key: str = "") -> list[str]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return [one["id"] for one in gateway.get("/v1/models", **headers).json()["data"]]


def test_all_that_is_configured_is_served_anew(
    write: Write, upstream: FakeUpstream, tmp_path: Path
) -> None:
    with RunningGateway(write(OLD)()) as gateway:
        assert ask(gateway, OLD_KEY, style="vivid").status == 200
        gateway.reload(write(NEW))
        assert ask(gateway, OLD_KEY).status == 401
        assert names(gateway, NEW_KEY) == ["new", "img"]
        assert ask(gateway, NEW_KEY, model="old").status == 404
        assert ask(gateway, NEW_KEY, prompt="a herring").status == 200
        assert ask(gateway, NEW_KEY, prompt="a salmon").error["code"] == "content_policy_violation"
        assert ask(gateway, NEW_KEY, prompt="x" * 1000).status == 413
        assert ask(gateway, NEW_KEY, style="vivid").status == 400
        linked = ask(gateway, NEW_KEY, response_format="url").json()["data"][0]["url"]
        assert linked.startswith("https://images.example.com/")
        told = gateway.get("/metrics", authorization=f"Bearer {NEW_KEY}").body.decode()
    keys = [call.headers["authorization"] for call in upstream.calls]
    assert keys == ["Bearer sk-test-old-key"] + ["Bearer sk-test-new-key"] * 2
    calls = 'imagegate_calls_total{operation="generate",model="img",ending="done",code=""}'
    assert f"{calls} 3" in told, "what was counted before is counted on"
    assert "imagegate_config_current 1" in told
    assert [len((tmp_path / name).read_text().splitlines()) for name in FILES] == [1, 7]


def test_nothing_holds_what_was_configured_before(write: Write) -> None:
    def of_before() -> list[object]:
        gc.unfreeze()  # what was there at the start is not looked at otherwise
        gc.collect()
        return [
            one
            for one in gc.get_objects()
            if (isinstance(one, Settings) and one.default_model == "old")
            or (isinstance(one, Deployment) and one.group == "old")
        ]

    with RunningGateway(write(OLD)()) as gateway:
        assert ask(gateway, OLD_KEY).status == 200
        assert of_before()
        gateway.reload(write(NEW))
        assert ask(gateway, NEW_KEY).status == 200
        for _ in range(LOOKS_MAX):
            if not of_before():
                break
            gateway.get("/healthz")  # what goes on every second looks at the settings again
        assert not of_before()


def test_calls_at_work_end_as_they_began(
    write: Write, plain: RunningGateway, upstream: FakeUpstream
) -> None:
    before = plain.gateway.runtime.snapshot
    upstream.reply("hold")
    running = http.client.HTTPConnection("127.0.0.1", plain.port, timeout=20)
    running.request("POST", "/v1/images/generations", json.dumps({"model": "b", "prompt": "a"}))
    upstream.wait_held()
    plain.reload(write(PLAIN, other="c"))
    assert names(plain) == ["img", "c"]
    assert not before.tools.transport.session.closed
    upstream.release()
    answer = running.getresponse()
    assert answer.status == 200
    answer.read()
    running.close()
    for _ in range(TRIES_MAX):
        if before.tools.transport.session.closed:
            break
        plain.get("/healthz")
    assert before.tools.transport.session.closed
    assert not plain.gateway.runtime.snapshot.tools.transport.session.closed


def test_no_request_is_dropped_by_many_reloads(
    write: Write, plain: RunningGateway, upstream: FakeUpstream
) -> None:
    statuses: list[int] = []
    is_over = threading.Event()

    def call() -> None:
        while not is_over.is_set():
            statuses.append(plain.generate(prompt="[picture=medium]").status)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for number in range(30):
        plain.reload(write(PLAIN, other=f"b{number}", key=f"key-{number}"))
        statuses.append(plain.generate(prompt="a").status)
    is_over.set()
    for caller in callers:
        caller.join(20)
    assert set(statuses) == {200}
    assert plain.gateway.reloader is not None
    assert plain.gateway.reloader.reloaded_count == 30
    assert len({call.headers["authorization"] for call in upstream.calls}) >= 30


def test_a_configuration_with_faults_changes_nothing(
    write: Write, plain: RunningGateway, caplog: pytest.LogCaptureFixture
) -> None:
    plain.reload(write(PLAIN + "adjust: nearst\npartial: some\n", other="c"))
    assert names(plain) == ["img", "b"]
    assert plain.get("/readyz").json() == {"status": "ready", "config": "refused"}
    assert b"imagegate_config_current 0" in plain.get("/metrics").body
    reasons = [record.reason for record in caplog.records if record.message == "config.refused"]
    assert any("adjust" in reason for reason in reasons)
    assert any("partial" in reason for reason in reasons)
    plain.reload(write(PLAIN, other="c"))
    assert names(plain) == ["img", "c"]
    assert plain.get("/readyz").json() == {"status": "ready"}


def test_what_only_a_restart_can_change_is_named(
    write: Write, plain: RunningGateway, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    plain.reload(write(PLAIN, other="c", folder=tmp_path / "elsewhere"))
    assert names(plain) == ["img", "b"]
    [reason] = [record.reason for record in caplog.records if record.message == "config.refused"]
    assert "database_url, assets.folder cannot change" in reason
    assert not (tmp_path / "elsewhere").exists()


def test_a_guardrail_that_cannot_be_made_changes_nothing(
    write: Write, plain: RunningGateway
) -> None:
    before = plain.gateway.runtime.snapshot
    params = "{{guardrail: gone.Gone, mode: pre_call}}"
    guardrails = f"guardrails: [{{{{guardrail_name: g, litellm_params: {params}}}}}]\n"
    plain.reload(write(PLAIN + guardrails))
    assert plain.get("/readyz").json()["config"] == "refused"
    assert plain.gateway.runtime.snapshot is before


def test_a_deployment_that_stays_goes_on_resting_and_a_mended_one_is_asked(
    write: Write, plain: RunningGateway, upstream: FakeUpstream
) -> None:
    fallbacks = "router_settings: {{fallbacks: [{{img: [b]}}], cooldown_time: 600}}\n"
    plain.reload(write(PLAIN + fallbacks))
    upstream.reply("status:insufficient_quota")
    assert plain.generate().status == 200
    assert len(upstream.calls) == 2
    plain.reload(write(PLAIN + fallbacks, attach_s=1))
    assert plain.generate().headers["x-imagegate-attempts"] == "1"
    assert upstream.calls[-1].headers["authorization"] == "Bearer sk-test-other", "it rests"
    plain.reload(write(PLAIN + fallbacks, key="mended"))
    plain.generate()
    assert upstream.calls[-1].headers["authorization"] == "Bearer sk-test-mended"


def test_a_call_of_before_is_joined_after(
    write: Write, plain: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply("hold")
    call = {"model": "img", "prompt": "a fox"}
    answers: list[Answer] = []

    def ask_once() -> None:
        answers.append(plain.post("/v1/images/generations", call, idempotency_key="k-1"))

    callers = [threading.Thread(target=ask_once) for _ in range(2)]
    callers[0].start()
    upstream.wait_held()
    plain.reload(write(PLAIN, other="c", key="second"))
    callers[1].start()
    while plain.gateway.traffic.request_count < 2:
        plain.get("/healthz")
    upstream.release()
    for caller in callers:
        caller.join(20)
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].body == answers[1].body
    assert len(upstream.calls) == 1


def test_what_nobody_knows_of_before_is_not_bought_again_after(
    write: Write, plain: RunningGateway, upstream: FakeUpstream
) -> None:
    plain.reload(write(PLAIN, attach_s=600))
    upstream.reply("status:524")
    assert plain.generate().status == 504
    plain.reload(write(PLAIN, attach_s=600, other="c"))
    assert plain.generate().status == 504
    assert len(upstream.calls) == 1


def test_a_call_is_watched_through_a_reload(
    write: Write, plain: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply("hold")
    call_id = plain.post(PATH, CALL, prefer="respond-async").json()["id"]
    upstream.wait_held()
    plain.reload(write(PLAIN, other="c"))
    path = f"/v1/images/calls/{call_id}"
    assert plain.get(path).json()["progress"]["phase"] == "sent"
    assert plain.post(f"{path}/cancel", b"").error["code"] == "call_not_cancellable"
    with feed(plain, call_id) as events:
        assert events.next()[0] == "image.call.running"
        upstream.release()
        assert events.next()[0] == "image.call.done"


def test_webhooks_are_switched_on_and_changed(write: Write, plain: RunningGateway) -> None:
    secrets = []
    with PostServer() as receiver:
        asked = {"prefer": "respond-async", "x_imagegate_webhook": receiver.url}
        assert plain.post(PATH, CALL, **asked).error["code"] == "webhooks_off"
        for count, root in enumerate((b"first", b"second"), start=1):
            secret = write_secret(root * 8)
            hooks = f"webhooks: {{secret: {secret}, allow_hosts: [127.0.0.1]}}\n"
            plain.reload(write(PLAIN + hooks.replace("{", "{{").replace("}", "}}")))
            assert plain.post(PATH, CALL, **asked).status == 202
            posted = receiver.wait(count)[-1]
            secrets.append(plain.get("/v1/images/webhooks/secret").json()["secret"])
            assert Webhook(secrets[-1]).verify(posted.body, posted.headers)
    assert secrets[0] != secrets[1]


def test_the_budget_of_every_end_user_follows(
    write: Write, plain: RunningGateway, upstream: FakeUpstream
) -> None:
    capped = PLAIN + "litellm_settings: {{max_end_user_budget: 0.0001}}\n"
    call = CALL | {"quality": "high", "size": "1024x1024", "user": "u-1"}
    assert plain.post(PATH, call).status == 200
    plain.reload(write(capped))
    assert plain.post(PATH, call).error["code"] == "insufficient_quota"
    assert len(upstream.calls) == 1
    plain.reload(write(PLAIN))
    assert plain.post(PATH, call).status == 200
