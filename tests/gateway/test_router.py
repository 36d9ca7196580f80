"""A group of two deployments behind the gateway: one fails, the other serves; none is left: 503."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from imagegate.cli.app import run
from imagegate.config.load import load_settings
from tests.gateway.pictures import picture
from tests.gateway.running import Part, RunningGateway
from tests.upstream.fake import FakeUpstream

CONFIG = """
model_list:
  - model_name: img
    model_info: {{id: first}}
    litellm_params:
      {{model: openai/gpt-image-2, api_base: "{first}", api_key: sk-test-1, order: 1, tags: [eu]}}
  - model_name: img
    model_info: {{id: second}}
    litellm_params:
      {{model: openai/gpt-image-2, api_base: "{second}", api_key: sk-test-2, order: 2}}
  - model_name: spare
    model_info: {{id: spare}}
    litellm_params: {{model: openai/gpt-image-2, api_base: "{second}", api_key: sk-test-3}}
router_settings: {{{router}}}
assets: {{folder: {folder}}}
database_url: sqlite:///{folder}.db
attach_s: 0
"""

Serve = Callable[[str], RunningGateway]


@pytest.fixture
def second() -> Iterator[FakeUpstream]:
    with FakeUpstream() as running:
        yield running


@pytest.fixture
def serve(upstream: FakeUpstream, second: FakeUpstream, tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as stack:

        def serve_one(router: str = "") -> RunningGateway:
            file = tmp_path / "config.yaml"
            folder = tmp_path / "data"
            text = CONFIG.format(first=upstream.v1, second=second.v1, folder=folder, router=router)
            file.write_text(text)
            return stack.enter_context(RunningGateway(load_settings(str(file))))

        yield serve_one


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


def test_a_moment_is_waited_for(serve: Serve, upstream: FakeUpstream) -> None:
    gateway = serve("num_retries: 1")
    upstream.reply("status:rate_limit_bare")
    answer = gateway.post(
        "/v1/images/generations", {"model": "spare", "prompt": "a fox"}, x_imagegate_retries="0"
    )
    assert answer.status == 200
    assert answer.headers["x-imagegate-attempts"] == "1"


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
