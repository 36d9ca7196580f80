"""A group of two deployments behind the gateway: one fails, the other serves; none is left: 503."""

import pytest

from imagegate.cli.app import run
from tests.gateway.conftest import Serve
from tests.gateway.pictures import picture
from tests.gateway.running import Part
from tests.upstream.fake import FakeUpstream


def test_a_fault_of_the_deployment_leads_elsewhere(
    serve: Serve, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    gateway = serve("")
    upstream.always("status:insufficient_quota")
    answers = [gateway.generate() for _ in range(3)]
    assert {answer.status for answer in answers} == {200}
    assert {answer.headers["x-imagegate-deployment"] for answer in answers} == {"second"}
    assert len(upstream.calls) == 1, "it rests after the first"
    assert len(second.calls) == 3


def test_an_ambiguous_fault_is_never_bought_elsewhere(
    serve: Serve, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    gateway = serve("default_fallbacks: [spare]")
    upstream.always("status:524")
    assert gateway.generate().status == 504
    assert (len(upstream.calls), len(second.calls)) == (1, 0)


def test_a_group_that_may_buy_twice_goes_on_and_books_both(
    serve: Serve, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    gateway = serve("may_buy_twice: [img]")
    upstream.always("half_body")
    answer = gateway.generate()
    assert (answer.status, answer.headers["x-imagegate-deployment"]) == (200, "second")
    assert answer.headers["x-imagegate-cost"] == "unknown"
    assert (
        "first may have made and billed an image as well" in answer.headers["x-imagegate-warnings"]
    )
    assert (upstream.images_billed, second.images_billed) == (1, 1)
    call = gateway.get(f"/admin/calls/{answer.headers['x-imagegate-call-id']}").json()
    assert [attempt["state"] for attempt in call["attempts"]] == ["unknown", "settled"]
    assert call["attempts"][0]["cost_usd"] is None


def test_what_may_have_been_bought_stays_the_verdict_when_the_next_one_fails(
    serve: Serve, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    """Else a client would send it again: nothing was bought by the last one."""
    gateway = serve("may_buy_twice: [img]")
    upstream.always("half_body")
    second.always("status:rate_limit_bare")
    answer = gateway.generate()
    assert (answer.status, answer.error["imagegate"]["fault"]) == (502, "ambiguous")
    assert answer.headers["x-should-retry"] == "false"
    assert [one["deployment"] for one in answer.error["imagegate"]["attempts"]][:2] == [
        "first",
        "second",
    ]
    call = gateway.get(f"/admin/calls/{answer.headers['x-imagegate-call-id']}").json()
    assert call["state"] == "unknown"


def test_an_edit_with_a_mask_and_many_images_survives_the_way(
    serve: Serve, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    gateway = serve("")
    upstream.always("status:insufficient_quota")
    answer = gateway.edit(
        Part("model", "img"),
        Part("prompt", "hat"),
        Part("image[]", picture(), "a.png"),
        Part("image[]", picture("WEBP"), "b.webp"),
        Part("mask", picture(mode="RGBA"), "mask.png"),
    )
    assert answer.status == 200, answer.body
    [tried], [made] = upstream.calls, second.calls
    assert [part.sha256 for part in made.files] == [part.sha256 for part in tried.files]
    assert len(made.files) == 3


def test_a_moment_is_waited_for(serve: Serve, second: FakeUpstream) -> None:
    second.reply("status:rate_limit_soon")
    answer = serve("num_retries: 1").generate(model="spare")
    assert (answer.status, answer.headers["x-imagegate-attempts"]) == (200, "2")


def test_a_refused_prompt_stays_where_it_was_unless_told(
    serve: Serve, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    upstream.always("status:moderation")
    assert serve("default_fallbacks: [spare]").generate().status == 400
    assert not second.calls


def test_a_refused_prompt_goes_where_the_operator_says(
    serve: Serve, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    upstream.always("status:moderation")
    answer = serve("content_policy_fallbacks: [{img: [spare]}]").generate()
    assert (answer.status, answer.headers["x-imagegate-deployment"]) == (200, "spare")


def test_when_all_rest_each_is_named(
    serve: Serve, upstream: FakeUpstream, second: FakeUpstream
) -> None:
    gateway = serve("cooldown_time: 600")
    upstream.always("status:insufficient_quota")
    second.always("status:insufficient_quota")
    assert gateway.generate().status == 502
    answer = gateway.generate()
    assert (answer.status, answer.error["code"]) == (503, "no_deployment_available")
    for told in ("first rests for", "second rests for", "exceeded your current quota"):
        assert told in answer.error["message"]
    assert answer.headers["retry-after"] == "60", "clients ignore more"
    assert len(upstream.calls) == len(second.calls) == 1


def test_tags_lead_to_a_deployment(serve: Serve, upstream: FakeUpstream) -> None:
    gateway = serve("enable_tag_filtering: true")
    call = {"model": "img", "prompt": "a fox"}
    answer = gateway.post("/v1/images/generations", call, x_imagegate_tags="eu")
    assert answer.headers["x-imagegate-deployment"] == "first"
    assert gateway.post("/v1/images/generations", call, x_imagegate_tags="mars").status == 400


def test_each_attempt_is_explained(
    serve: Serve,
    upstream: FakeUpstream,
    second: FakeUpstream,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gateway = serve("")
    upstream.always("status:insufficient_quota")
    second.always("status:moderation")
    failed = gateway.generate().error["imagegate"]["call_id"]
    told = gateway.post("/v1/diagnose", {"call_id": failed}).json()
    assert [one["finding"]["rule"] for one in told["attempts"]] == ["money", "policy.blocked"]
    assert (told["rule"], told["owner"]) == ("policy.blocked", "author")
    assert run(["explain", failed, "--gateway", gateway.url]) == 16
    printed = capsys.readouterr().out
    assert "try 1    first: refused, " in printed
    assert "try 2    second: refused, " in printed


def test_why_a_call_that_is_done_left_its_first_place(serve: Serve, upstream: FakeUpstream) -> None:
    gateway = serve("")
    upstream.always("status:insufficient_quota")
    done = gateway.generate().headers["x-imagegate-call-id"]
    told = gateway.post("/v1/diagnose", {"call_id": done}).json()
    assert (told["state"], told["rule"]) == ("done", "money")
    assert [one["deployment"] for one in told["attempts"]] == ["first"]
