"""What a request may say of its own way, by body and by header, and what the operator allows."""

import threading

import pytest

from tests.gateway.admin.conftest import MASTER_KEY, Operator
from tests.gateway.conftest import Serve
from tests.gateway.running import Part
from tests.upstream.fake import FakeUpstream

PATH = "/v1/images/generations"
CALL = {"model": "img", "prompt": "a fox"}
SPARE = {"fallbacks": ["spare"]}
IMAGE_FIELDS = {"model", "prompt"}


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        (SPARE, {}),
        ({"fallbacks": [{"model": "spare"}]}, {}),
        ({}, {"x_imagegate_fallbacks": "spare"}),
        ({"fallbacks": ["first"]}, {"x_imagegate_fallbacks": "spare"}),
    ],
)
def test_a_request_names_its_own_fallbacks(
    fields: dict[str, object],
    headers: dict[str, str],
    serve: Serve,
    upstream: FakeUpstream,
    second: FakeUpstream,
) -> None:
    """They are asked when the group has nothing left; no upstream hears of them."""
    upstream.always("status:insufficient_quota")
    second.reply("status:insufficient_quota")
    answer = serve("").post(PATH, CALL | fields, **headers)
    assert (answer.status, answer.headers["x-imagegate-deployment"]) == (200, "spare")
    assert "x-imagegate-adjustments" not in answer.headers
    for record in (*upstream.calls, *second.calls):
        assert record.json.keys() == IMAGE_FIELDS


def test_a_form_names_them_too(serve: Serve, upstream: FakeUpstream, second: FakeUpstream) -> None:
    from tests.gateway.pictures import picture

    upstream.always("status:insufficient_quota")
    second.reply("status:insufficient_quota")
    parts = [Part("model", "img"), Part("prompt", "hat"), Part("image", picture(), "a.png")]
    gateway = serve("")
    answer = gateway.edit(*parts, Part("fallbacks", '["spare"]'), Part("num_retries", "0"))
    assert (answer.status, answer.headers["x-imagegate-deployment"]) == (200, "spare")


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"disable_fallbacks": True}, {}),
        ({"disable_fallbacks": True, "fallbacks": ["spare"]}, {}),
        ({}, {"x_imagegate_disable_fallbacks": "true"}),
        ({"fallbacks": []}, {}),
    ],
)
def test_a_request_wants_none(
    fields: dict[str, object],
    headers: dict[str, str],
    serve: Serve,
    upstream: FakeUpstream,
    second: FakeUpstream,
) -> None:
    gateway = serve("default_fallbacks: [spare]")
    upstream.always("status:insufficient_quota")
    second.reply("status:insufficient_quota")
    answer = gateway.post(PATH, CALL | fields, **headers)
    assert (answer.status, answer.error["code"]) == (502, "upstream_credential")
    assert len(second.calls) == 1


@pytest.mark.parametrize(
    ("fields", "headers", "attempts"),
    [
        ({"num_retries": 1}, {}, 2),
        ({"num_retries": 0}, {"x_litellm_num_retries": "1"}, 2),
        ({}, {"x_litellm_max_retries": "1"}, 2),
        ({}, {"x_imagegate_retries": "1", "x_litellm_num_retries": "0"}, 2),
        ({}, {}, 1),
        ({"num_retries": 9}, {}, 2),
    ],
)
def test_a_request_chooses_its_retries_up_to_the_operators_limit(
    fields: dict[str, object],
    headers: dict[str, str],
    attempts: int,
    serve: Serve,
    second: FakeUpstream,
) -> None:
    gateway = serve("num_retries: 0", overrides="num_retries_max: 1")
    second.always("status:rate_limit_soon")
    answer = gateway.post(PATH, CALL | {"model": "spare"} | fields, **headers)
    assert answer.status == 429
    assert len(second.calls) == attempts


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"timeout": 0.2}, {}),
        ({}, {"x_litellm_timeout": "0.2"}),
        ({"timeout": 60}, {"x_imagegate_timeout": "0.2", "x_litellm_timeout": "60"}),
    ],
)
def test_a_request_chooses_its_deadline(
    fields: dict[str, object], headers: dict[str, str], serve: Serve, upstream: FakeUpstream
) -> None:
    gateway = serve("")
    upstream.reply("hold")
    answer = gateway.post(PATH, CALL | fields, **headers)
    assert (answer.status, answer.error["code"]) == (504, "upstream_timeout")
    upstream.release()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"timeout": "soon"}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"timeout": 31}, "timeout"),
        ({"num_retries": -1}, "num_retries"),
        ({"num_retries": 1.5}, "num_retries"),
        ({"fallbacks": "[spare"}, "fallbacks"),
        ({"fallbacks": {"model": "spare"}}, "fallbacks"),
        ({"fallbacks": ["spare"] * 9}, "fallbacks"),
        ({"fallbacks": [7]}, "fallbacks"),
        ({"disable_fallbacks": "perhaps"}, "disable_fallbacks"),
    ],
)
def test_what_means_nothing_is_refused(
    fields: dict[str, object], param: str, serve: Serve, upstream: FakeUpstream
) -> None:
    answer = serve("", overrides="timeout_max: 30").generate(**fields)
    assert (answer.status, answer.error["param"]) == (400, param), answer.body
    assert upstream.bill == []


@pytest.mark.parametrize(
    "fallback",
    [
        {"model": "spare", "api_base": "http://127.0.0.1:9/v1"},
        {"model": "spare", "api_key": "sk-test-other"},
        {"model": "openai/gpt-image-2", "base_url": "http://127.0.0.1:9"},
        {"spare": ["img"]},
    ],
)
def test_a_fallback_never_chooses_a_host_or_a_credential(
    fallback: object, serve: Serve, upstream: FakeUpstream
) -> None:
    answer = serve("").generate(fallbacks=[fallback])
    assert (answer.status, answer.error["param"]) == (400, "fallbacks")
    assert upstream.bill == []


def test_a_fallback_that_is_not_served_is_told_before_anything_is_sent(
    serve: Serve, upstream: FakeUpstream
) -> None:
    answer = serve("").generate(fallbacks=["spar"])
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert "Did you mean 'spare'?" in answer.error["message"]
    assert upstream.bill == []


def test_a_key_falls_back_only_where_it_may_go(serve: Serve, upstream: FakeUpstream) -> None:
    gateway = serve("", general=f"master_key: {MASTER_KEY}")
    holder = Operator(gateway).holder(permissions={"models": ["img"]})
    assert holder.generate(fallbacks=["spare"]).status == 403
    assert upstream.bill == []


def test_the_operator_may_forbid_it(serve: Serve, upstream: FakeUpstream) -> None:
    gateway = serve("", overrides="fallbacks: false")
    assert gateway.generate(**SPARE).status == 403
    assert upstream.bill == []
    assert gateway.generate(disable_fallbacks=True).status == 200


def test_the_way_is_no_part_of_the_request(serve: Serve, upstream: FakeUpstream) -> None:
    """The same image with more patience is the same request: it attaches, and buys nothing."""
    gateway = serve("")
    upstream.reply("hold")
    first = threading.Thread(
        target=gateway.post, args=(PATH, CALL), kwargs={"idempotency_key": "one"}
    )
    first.start()
    upstream.wait_held()
    upstream.release()
    answer = gateway.post(PATH, CALL | {"timeout": 60, "num_retries": 0}, idempotency_key="one")
    first.join()
    assert answer.status == 200
    assert len(upstream.calls) == 1
