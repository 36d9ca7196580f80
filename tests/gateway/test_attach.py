"""The same request again: one purchase, the same answer."""

import http.client
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.gateway.conftest import Start
from tests.gateway.pictures import picture
from tests.gateway.running import Answer, Part, RunningGateway
from tests.upstream.fake import FakeUpstream

CALL = {"model": "img", "prompt": "a fox"}
PATH = "/v1/images/generations"
COUNT = 50
AMBIGUOUS = (
    "drop",
    "half_body",
    "status:500",
    "status:502",
    "status:504",
    "status:524",
    "empty_data",
    "wrong_base64",
)


def ask(gateway: RunningGateway, call: object = CALL, **headers: str) -> Answer:
    return gateway.post(PATH, call, **headers)


def leave(gateway: RunningGateway, upstream: FakeUpstream, call: object = CALL) -> None:
    """Begin a call and hang up as soon as it has been sent upstream."""
    upstream.reply("hold")
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port)
    body = json.dumps(call)
    connection.request("POST", PATH, body, {"content-type": "application/json"})
    upstream.wait_held()
    connection.close()


def restarted(gateway: RunningGateway, start: Start) -> RunningGateway:
    """Return another gateway over the same folder, after the first has ended."""
    gateway.stop()
    gateway.wait_stopped()
    return start()


def test_fifty_at_once_with_one_key(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    upstream.reply("hold")
    with ThreadPoolExecutor(COUNT) as pool:
        asked = [pool.submit(ask, gateway, idempotency_key="one") for _ in range(COUNT)]
        upstream.wait_held()
        upstream.release()
        answers = [one.result() for one in asked]
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert len({answer.headers["x-imagegate-call-id"] for answer in answers}) == 1
    assert len(upstream.calls) == 1


def test_a_key_outlives_the_process(start: Start, upstream: FakeUpstream) -> None:
    call = CALL | {"n": 2}
    gateway = start()
    first = ask(gateway, call, idempotency_key="one")
    gateway = restarted(gateway, start)
    with ThreadPoolExecutor(COUNT) as pool:
        asked = [pool.submit(ask, gateway, call, idempotency_key="one") for _ in range(COUNT)]
        answers = [one.result() for one in asked]
    assert {answer.body for answer in answers} == {first.body}
    told = ("x-imagegate-call-id", "x-imagegate-cost", "x-imagegate-images")
    for name in told:
        assert {answer.headers[name] for answer in answers} == {first.headers[name]}, name
    assert len(upstream.calls) == 1


def test_a_key_for_another_request_is_refused(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    ask(gateway, idempotency_key="one")
    answer = ask(gateway, {"model": "img", "prompt": "a cat", "n": 2}, idempotency_key="one")
    assert (answer.status, answer.error["code"]) == (422, "idempotency_key_reused")
    assert "n, prompt differ" in answer.error["message"]
    assert len(upstream.calls) == 1


def test_a_key_names_an_edit_by_its_files(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    def edit(data: bytes) -> Answer:
        parts = (Part("model", "img"), Part("prompt", "hat"), Part("image", data, "a.png"))
        return gateway.edit(*parts, idempotency_key="one")

    first, again, other = edit(picture()), edit(picture()), edit(picture(size=(64, 80)))
    assert first.body == again.body
    assert (other.status, other.error["param"]) == (422, "image")
    assert len(upstream.calls) == 1


def test_streamed_or_not_is_the_same_request(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    first = ask(gateway, idempotency_key="one")
    streamed = ask(gateway, CALL | {"stream": True}, idempotency_key="one")
    [(name, event)] = streamed.events
    assert name == "image_generation.completed"
    assert event["b64_json"] == first.json()["data"][0]["b64_json"]
    assert len(upstream.calls) == 1


def test_a_refusal_is_told_again(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    upstream.reply("status:moderation")
    first, again = (ask(gateway, idempotency_key="one") for _ in range(2))
    assert (again.status, again.body) == (first.status, first.body)
    assert len(upstream.calls) == 1


def test_a_key_is_free_again_after_a_moment(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    """Nothing was bought, and the client was told to come again: then it gets its image."""
    upstream.reply("status:rate_limit")
    assert ask(gateway, idempotency_key="one").status == 429
    assert ask(gateway, idempotency_key="one").status == 200
    assert len(upstream.calls) == 2


def test_what_was_refused_before_dispatch_is_not_kept(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    assert ask(gateway, CALL | {"size": "1x1x1"}, idempotency_key="one").status == 400
    assert ask(gateway, idempotency_key="one").status == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "\xff"])
def test_a_key_that_is_none(key: str, gateway: RunningGateway) -> None:
    answer = ask(gateway, idempotency_key=key)
    assert (answer.status, answer.error["param"]) == (400, "Idempotency-Key")


@pytest.mark.parametrize("mode", AMBIGUOUS)
def test_five_posts_after_an_ambiguous_fault(
    mode: str, gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    """As Codex and the AI SDK repeat them: no key, no count."""
    upstream.always(mode)
    answers = [ask(gateway) for _ in range(5)]
    assert {answer.status for answer in answers} <= {502, 504}
    assert len({answer.body for answer in answers}) == 1
    assert len({answer.headers["x-imagegate-call-id"] for answer in answers}) == 1
    assert len(upstream.calls) == 1


def test_an_unknown_end_outlives_the_process(start: Start, upstream: FakeUpstream) -> None:
    upstream.always("half_body")
    gateway = start()
    first = ask(gateway)
    again = ask(restarted(gateway, start))
    assert (again.status, again.body) == (first.status, first.body)
    assert len(upstream.calls) == 1


def test_a_new_call_is_bought_on_request(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    upstream.reply("half_body")
    assert ask(gateway).status == 502
    assert ask(gateway, x_imagegate_new_call="true").status == 200
    assert len(upstream.calls) == 2


def test_another_request_is_another_call(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    upstream.reply("half_body")
    assert ask(gateway).status == 502
    assert ask(gateway, CALL | {"quality": "low"}).status == 200


def test_who_comes_back_gets_the_running_image(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    leave(gateway, upstream)
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(ask, gateway)
        gateway.get("/healthz")
        upstream.release()
        assert again.result().status == 200
    assert len(upstream.calls) == 1


def test_who_comes_back_later_gets_the_image(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    leave(gateway, upstream)
    upstream.release()
    upstream.wait_finished()
    assert ask(gateway).status == 200
    assert len(upstream.calls) == 1
    assert ask(gateway).status == 200
    assert len(upstream.calls) == 2, "the first image has been delivered: this is another"


def test_two_who_wait_get_two_images(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    upstream.reply("hold", times=2)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask, gateway) for _ in range(2)]
        upstream.wait_held(2)
        upstream.release()
        ids = {one.result().headers["x-imagegate-call-id"] for one in asked}
    assert len(ids) == len(upstream.calls) == 2


def test_a_counted_retry_joins_though_nobody_noticed(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    """A proxy between may keep the first connection open."""
    upstream.reply("hold")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, gateway)
        upstream.wait_held()
        retry = pool.submit(ask, gateway, x_stainless_retry_count="1")
        gateway.get("/healthz")
        upstream.release()
        assert first.result().body == retry.result().body
    late = ask(gateway, x_stainless_retry_count="2")
    assert late.body == first.result().body
    assert len(upstream.calls) == 1


def test_a_deadline_ends_the_wait_and_not_the_purchase(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply("hold")
    late = ask(gateway, x_imagegate_timeout="0.2")
    assert (late.status, late.headers["x-should-retry"]) == (504, "false")
    upstream.release()
    again = ask(gateway)
    assert again.status == 200
    assert again.headers["x-imagegate-call-id"] == late.headers["x-imagegate-call-id"]
    assert len(upstream.calls) == 1


def test_each_joined_caller_has_a_deadline_of_its_own(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply("hold")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, gateway, idempotency_key="one")
        upstream.wait_held()
        hasty = ask(gateway, idempotency_key="one", x_imagegate_timeout="0.1")
        assert hasty.status == 504
        upstream.release()
        assert first.result().status == 200


def test_a_key_has_a_place_for_one_call_at_a_time(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    """A key whose call is refused is free for the next one that waits for it."""
    barrier = threading.Barrier(4)

    def ask_wrong() -> int:
        barrier.wait()
        return ask(gateway, {"model": "nope", "prompt": "x"}, idempotency_key="one").status

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask_wrong) for _ in range(4)]
        assert {one.result() for one in asked} == {404}
