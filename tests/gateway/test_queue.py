"""Too many calls at once: they wait in turn, are told why they may not, and leave no trace."""

import http.client
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from imagegate.config.load import load_settings
from imagegate.config.settings import Settings
from tests.gateway.admin.conftest import MASTER_KEY, Operator
from tests.gateway.running import Answer, RunningGateway
from tests.upstream.fake import FakeUpstream

CONFIG = """
model_list:
  - model_name: img
    model_info: {{id: only}}
    litellm_params:
      {{model: openai/gpt-image-2, api_base: "{upstream}", api_key: sk-test-1{params}}}
  - model_name: other
    litellm_params: {{model: openai/gpt-image-2, api_base: "{upstream}", api_key: sk-test-2}}
general_settings: {{master_key: {key}{general}}}
assets: {{folder: {folder}}}
database_url: sqlite:///{folder}.db
"""
SECOND = """, order: 0}}
  - model_name: img
    model_info: {{id: second}}
    litellm_params:
      {{model: openai/gpt-image-2, api_base: "{upstream}", api_key: sk-test-3, order: 1,
       max_in_flight: 1"""
LOOKS_MAX = 2000
PATH = "/v1/images/generations"

Serve = Callable[..., "Crowd"]
Write = Callable[[str, str], Callable[[], Settings]]


class Crowd:
    """Callers of one gateway, each in a thread of its own."""

    def __init__(self, gateway: RunningGateway, pool: ThreadPoolExecutor, write: Write) -> None:
        self.gateway = gateway
        self._write = write
        self.operator = Operator(gateway)
        self._pool = pool

    def ask(
        self, prompt: str, key: str = MASTER_KEY, model: str = "img", **headers: str
    ) -> Future[Answer]:
        call = {"model": model, "prompt": prompt}
        sent = {"authorization": f"Bearer {key}"} | headers
        return self._pool.submit(self.gateway.post, PATH, call, **sent)

    def reload(self, general: str = "", params: str = "") -> None:
        self.gateway.reload(self._write(general, params))

    def metric(self, name: str) -> float:
        """Return a number of /metrics, 0 where there is none of that name."""
        text = self.operator.ask("GET", "/metrics").body.decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def wait_queued(self, count: int) -> None:
        """Return when so many calls wait in the gateway."""
        for _ in range(LOOKS_MAX):
            if self.metric("imagegate_queue_waiting") == count:
                return
        raise TimeoutError(f"never did {count} calls wait")


@pytest.fixture
def serve(upstream: FakeUpstream, tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(16))

        def write(general: str, params: str) -> Callable[[], Settings]:
            file, folder = tmp_path / "config.yaml", tmp_path / "data"
            file.write_text(
                CONFIG.format(
                    upstream=upstream.v1,
                    folder=folder,
                    key=MASTER_KEY,
                    general=f", {general}" if general else "",
                    params=f", {params}" if params else "",
                )
            )
            return lambda: load_settings(str(file))

        def serve_one(general: str = "", params: str = "") -> Crowd:
            gateway = RunningGateway(write(general, params)())
            stack.enter_context(gateway)
            stack.callback(upstream.release)  # a gateway ends when its calls have
            return Crowd(gateway, pool, write)

        yield serve_one


def prompts(upstream: FakeUpstream) -> list[str]:
    return [record.field_of("prompt") for record in upstream.calls]


@pytest.mark.parametrize(
    ("general", "params"),
    [
        ("", "max_in_flight: 1"),
        ("", "max_parallel_requests: 1"),
        ("global_max_parallel_requests: 1", ""),
        ("max_in_flight_requests_per_worker: 1, global_max_parallel_requests: 9", ""),
    ],
)
def test_who_finds_no_place_waits_for_one(
    general: str, params: str, serve: Serve, upstream: FakeUpstream
) -> None:
    crowd = serve(general, params)
    upstream.always("hold")
    first = crowd.ask("first")
    upstream.wait_held()
    second = crowd.ask("second")
    crowd.wait_queued(1)
    assert prompts(upstream) == ["first"]
    assert len(crowd.operator.get("/admin/calls")["data"]) == 1, "who waits is in no book"
    upstream.always("ok")
    upstream.release()
    assert [first.result().status, second.result().status] == [200, 200]
    assert prompts(upstream) == ["first", "second"]
    assert crowd.metric("imagegate_queue_waiting") == 0


def test_another_deployment_is_not_waited_for(serve: Serve, upstream: FakeUpstream) -> None:
    """Also where the queue is full of calls for the first one."""
    crowd = serve("max_queued_requests_per_worker: 1", "max_in_flight: 1")
    upstream.reply("hold")
    first = crowd.ask("first")
    upstream.wait_held()
    second = crowd.ask("second")
    crowd.wait_queued(1)
    assert crowd.ask("elsewhere", model="other").result().status == 200
    upstream.release()
    assert first.result().status == second.result().status == 200


def test_a_full_queue_refuses_at_once(serve: Serve, upstream: FakeUpstream) -> None:
    crowd = serve("max_queued_requests_per_worker: 0", "max_in_flight: 1")
    upstream.reply("hold")
    first = crowd.ask("first")
    upstream.wait_held()
    answer = crowd.ask("second").result()
    assert (answer.status, answer.error["code"]) == (503, "queue_full")
    assert "only is at its limit at the same time (max_in_flight 1)" in answer.error["message"]
    assert int(answer.headers["retry-after"]) > 0
    assert "x-should-retry" not in answer.headers, "nothing was bought: it may come again"
    assert answer.error["imagegate"]["finding"]["rule"] == "imagegate.queue"
    upstream.release()
    assert first.result().status == 200
    assert prompts(upstream) == ["first"]
    assert crowd.metric('imagegate_queue_refused_total{code="queue_full"}') == 1


@pytest.mark.parametrize("general", ["admission_queue_timeout_seconds: 0.2", ""])
def test_who_waits_too_long_is_refused(general: str, serve: Serve, upstream: FakeUpstream) -> None:
    """By the queue's own limit, or by the caller's deadline, which counts the wait."""
    crowd = serve(general, "max_in_flight: 1")
    upstream.reply("hold")
    first = crowd.ask("first")
    upstream.wait_held()
    answer = crowd.ask("second", x_imagegate_timeout="60" if general else "0.2").result()
    assert (answer.status, answer.error["code"]) == (503, "queue_timeout")
    assert "waited 0.2 s" in answer.error["message"]
    upstream.release()
    assert first.result().status == 200
    assert prompts(upstream) == ["first"]


def test_a_deadline_counts_the_wait_also_once_the_call_was_sent(
    serve: Serve, upstream: FakeUpstream
) -> None:
    crowd = serve("", "max_in_flight: 1")
    upstream.always("hold")
    first = crowd.ask("first")
    upstream.wait_held()
    second = crowd.ask("second", x_imagegate_timeout="2")
    crowd.wait_queued(1)
    upstream.release()
    upstream.wait_received(2)
    upstream.wait_held()
    answer = second.result()
    assert (answer.status, answer.error["code"]) == (504, "upstream_timeout")
    assert "No image within 2 s" in answer.error["message"]
    call = crowd.operator.get(f"/admin/calls/{answer.headers['x-imagegate-call-id']}")
    assert call["state"] == "running", "the purchase goes on"
    assert first.result().status == 200


def test_who_leaves_frees_its_place(serve: Serve, upstream: FakeUpstream) -> None:
    crowd = serve("global_max_parallel_requests: 1")
    upstream.reply("hold")
    first = crowd.ask("first")
    upstream.wait_held()
    connection = http.client.HTTPConnection("127.0.0.1", crowd.gateway.port)
    body = json.dumps({"model": "img", "prompt": "left"})
    headers = {"content-type": "application/json", "authorization": f"Bearer {MASTER_KEY}"}
    connection.request("POST", PATH, body, headers)
    crowd.wait_queued(1)
    connection.close()
    crowd.wait_queued(0)
    upstream.release()
    assert first.result().status == 200
    assert crowd.ask("last").result().status == 200
    assert prompts(upstream) == ["first", "last"]
    assert crowd.metric('imagegate_queue_refused_total{code="caller_left"}') == 1


def test_keys_take_turns(serve: Serve, upstream: FakeUpstream) -> None:
    crowd = serve("global_max_parallel_requests: 1")
    flood, few = (crowd.operator.holder(name=name).key for name in ("flood", "few"))
    upstream.always("hold")
    asked = [crowd.ask("flood 1", flood)]
    upstream.wait_held()
    for number in (2, 3, 4):
        asked.append(crowd.ask(f"flood {number}", flood))
        crowd.wait_queued(number - 1)
    asked.append(crowd.ask("few 1", few))
    crowd.wait_queued(4)
    for count in range(2, 6):
        upstream.release()
        upstream.wait_received(count)
        upstream.wait_held()
    upstream.release()
    assert {one.result().status for one in asked} == {200}
    assert prompts(upstream)[:3] == ["flood 1", "flood 2", "few 1"]


def test_a_flood_takes_no_place_from_another_key(serve: Serve, upstream: FakeUpstream) -> None:
    crowd = serve("global_max_parallel_requests: 1, max_queued_requests_per_worker: 2")
    flood, few = (crowd.operator.holder(name=name).key for name in ("flood", "few"))
    upstream.always("hold")
    first = crowd.ask("flood 1", flood)
    upstream.wait_held()
    waiting = [crowd.ask("flood 2", flood)]
    crowd.wait_queued(1)
    late = crowd.ask("flood 3", flood)
    crowd.wait_queued(2)
    assert crowd.ask("flood 4", flood).result().error["code"] == "queue_full"
    waiting.append(crowd.ask("few 1", few))
    assert late.result().error["code"] == "queue_full", "it gave way"
    upstream.always("ok")
    upstream.release()
    assert {one.result().status for one in (first, *waiting)} == {200}
    assert "flood 3" not in prompts(upstream)


@pytest.mark.parametrize("is_own", [True, False])
def test_a_keys_own_limit_is_429(is_own: bool, serve: Serve, upstream: FakeUpstream) -> None:
    """Whether it is the key's own, or every key's; the operator has none."""
    limit = "" if is_own else ", max_parallel_requests: 1"
    crowd = serve(f"max_queued_requests_per_worker: 0{limit}")
    permissions = {"calls_in_flight": 1} if is_own else {}
    key = crowd.operator.holder(permissions=permissions).key
    upstream.reply("hold")
    first = crowd.ask("first", key)
    upstream.wait_held()
    answer = crowd.ask("second", key).result()
    assert (answer.status, answer.error["code"]) == (429, "queue_full")
    assert re.match(r"key:key_\S+ has 1 calls in work", answer.error["message"])
    assert crowd.ask("the operator's").result().status == 200
    upstream.release()
    assert first.result().status == 200


def test_a_keys_own_limit_is_waited_for(serve: Serve, upstream: FakeUpstream) -> None:
    crowd = serve()
    key = crowd.operator.holder(permissions={"calls_in_flight": 1}).key
    upstream.always("hold")
    first = crowd.ask("first", key)
    upstream.wait_held()
    second = crowd.ask("second", key)
    crowd.wait_queued(1)
    upstream.always("ok")
    upstream.release()
    assert first.result().status == second.result().status == 200


def test_who_waits_is_told_when_it_becomes_useless(serve: Serve, upstream: FakeUpstream) -> None:
    """Its deployment fell ill: the answer names it and what it said, at once."""
    crowd = serve("", "max_in_flight: 1, cooldown_time: 600")
    upstream.always("status:401")
    for _ in range(10):
        assert crowd.ask("ill").result().status == 502
    upstream.always("status:401", hold_at="head")
    first = crowd.ask("first")
    upstream.wait_held()
    waiting = [crowd.ask("second"), crowd.ask("third")]
    crowd.wait_queued(2)
    upstream.release()
    assert first.result().status == 502
    for answer in (one.result() for one in waiting):
        assert (answer.status, answer.error["code"]) == (503, "no_deployment_available")
        assert "only rests for 600 s after 11 failures; it last said" in answer.error["message"]
    assert len(prompts(upstream)) == 11
    assert crowd.metric('imagegate_deployment_resting{deployment="only"}') == 1
    assert crowd.metric('imagegate_deployment_rests_total{deployment="only"}') == 1


@pytest.mark.parametrize("params", ["max_in_flight: 1", ""])
def test_who_waits_outlasts_a_new_configuration(
    params: str, serve: Serve, upstream: FakeUpstream
) -> None:
    """What runs counts on, and who waited before comes first."""
    general = "" if params else "global_max_parallel_requests: 1"
    crowd = serve(general, params)
    upstream.always("hold")
    asked = [crowd.ask("first")]
    upstream.wait_held()
    asked.append(crowd.ask("second"))
    crowd.wait_queued(1)
    general = general or "max_parallel_requests: 9"
    crowd.reload(f"{general}, admission_queue_timeout_seconds: 50", params)
    asked.append(crowd.ask("third"))
    crowd.wait_queued(2)
    for count in (2, 3):
        upstream.release()
        upstream.wait_received(count)
        upstream.wait_held()
    upstream.release()
    assert {one.result().status for one in asked} == {200}
    assert prompts(upstream) == ["first", "second", "third"]


def test_a_stopping_gateway_answers_those_who_wait(serve: Serve, upstream: FakeUpstream) -> None:
    crowd = serve("global_max_parallel_requests: 1")
    upstream.always("hold")
    first = crowd.ask("first")
    upstream.wait_held()
    second = crowd.ask("second")
    crowd.wait_queued(1)
    crowd.gateway.stop()
    upstream.always("ok")
    upstream.release()
    assert first.result().status == second.result().status == 200
    crowd.gateway.wait_stopped()


def later(crowd: Crowd, prompt: str = "b") -> str:
    """Return the id of a call that waits although its caller does not."""
    before = crowd.metric("imagegate_queue_waiting")
    told = crowd.ask(prompt, prefer="respond-async").result()
    assert (told.status, told.json()["state"]) == (202, "running")
    crowd.wait_queued(int(before) + 1)
    call_id: str = told.json()["id"]
    assert call_of(crowd, call_id)["progress"]["phase"] == "waiting"
    return call_id


def call_of(crowd: Crowd, call_id: str, *, wait_s: int = 0) -> Any:
    prefer = {"prefer": f"wait={wait_s}", "authorization": f"Bearer {MASTER_KEY}"}
    return crowd.gateway.get(f"/v1/images/calls/{call_id}?result=false", **prefer).json()


def test_who_wants_a_later_answer_does_not_wait_in_the_queue(
    serve: Serve, upstream: FakeUpstream
) -> None:
    crowd = serve(params="max_in_flight: 1")
    upstream.reply("hold")
    first = crowd.ask("a")
    upstream.wait_held()
    call_id = later(crowd)
    assert prompts(upstream) == ["a"]
    upstream.release()
    call = call_of(crowd, call_id, wait_s=20)
    assert (call["state"], call["attempt_count"]) == ("done", 1)
    assert first.result().status == 200
    assert prompts(upstream) == ["a", "b"]


def test_a_call_in_the_queue_is_taken_back(serve: Serve, upstream: FakeUpstream) -> None:
    crowd = serve(general="global_max_parallel_requests: 1")
    upstream.reply("hold")
    first = crowd.ask("a")
    upstream.wait_held()
    call_id = later(crowd)
    cancelled = crowd.operator.post(f"/v1/images/calls/{call_id}/cancel")
    assert (cancelled["state"], cancelled["error_code"]) == ("failed", "call_cancelled")
    assert cancelled["attempts"][0]["state"] == "unsent"
    assert cancelled["cost"] == "0"
    crowd.wait_queued(0)
    upstream.release()
    assert first.result().status == crowd.ask("c").result().status == 200
    assert prompts(upstream) == ["a", "c"]


def test_a_waiting_call_goes_where_there_is_room_first(
    serve: Serve, upstream: FakeUpstream
) -> None:
    """It is written at one deployment, and another has room first; each place is given back."""
    with FakeUpstream() as other:
        crowd = serve(params="max_in_flight: 1" + SECOND.format(upstream=other.v1))
        for count in (1, 2):  # a place that is not given back is missed in the second round
            for one in (upstream, other):
                one.reply("hold")
            asked = [crowd.ask("a")]
            upstream.wait_held()
            asked.append(crowd.ask("b"))
            other.wait_held()
            call_id = later(crowd)
            other.release()
            call = call_of(crowd, call_id, wait_s=20)
            upstream.release()
            assert {one.result().status for one in asked} == {200}
            attempts = [(one["deployment"], one["state"]) for one in call["attempts"]]
            assert attempts == [("only", "unsent"), ("second", "settled")]
            assert (len(upstream.calls), len(other.calls)) == (count, 2 * count)


def test_a_later_call_whose_turn_does_not_come_fails(serve: Serve, upstream: FakeUpstream) -> None:
    crowd = serve(general="admission_queue_timeout_seconds: 0.2", params="max_in_flight: 1")
    upstream.reply("hold")
    first = crowd.ask("a")
    upstream.wait_held()
    call_id = crowd.ask("b", prefer="respond-async").result().json()["id"]
    call = call_of(crowd, call_id, wait_s=20)
    assert (call["state"], call["error_code"]) == ("failed", "queue_timeout")
    assert call["attempts"][0]["state"] == "unsent"
    upstream.release()
    assert first.result().status == 200
    assert prompts(upstream) == ["a"]


def test_a_full_queue_refuses_later_answers_at_once(serve: Serve, upstream: FakeUpstream) -> None:
    crowd = serve(general="max_queued_requests_per_worker: 0", params="max_in_flight: 1")
    upstream.reply("hold")
    first = crowd.ask("a")
    upstream.wait_held()
    refused = crowd.ask("b", prefer="respond-async").result()
    assert (refused.status, refused.error["code"]) == (503, "queue_full")
    upstream.release()
    assert first.result().status == 200
