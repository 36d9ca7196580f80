"""What a deployment's own price, or none at all, means for a call: estimate, budget, bill."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from imagegate.config.load import load_settings
from tests.gateway.admin.conftest import MASTER_KEY, Operator
from tests.gateway.running import RunningGateway
from tests.upstream.fake import FakeUpstream

CONFIG = """
model_list:
  - model_name: own
    litellm_params:
      {{model: openai/gpt-image-2, api_base: "{v1}", api_key: sk-test-1, base_model: gpt-image-2,
        output_cost_per_image: 0.0123456789}}
  - model_name: tokens
    model_info: {{mode: image_generation, input_cost_per_token: 1.0e-06}}
    litellm_params:
      {{model: openai/gpt-image-2, api_base: "{v1}", api_key: sk-test-1, base_model: gpt-image-2,
        output_cost_per_image_token: 1.0e-06}}
  - model_name: any
    model_info: {{mode: image_generation}}
    litellm_params: {{model: openai/mine, api_base: "{v1}", api_key: sk-test-1}}
  - model_name: group
    model_info: {{id: unpriced, mode: image_generation}}
    litellm_params: {{model: openai/mine, api_base: "{v1}", api_key: sk-test-1, order: 1}}
  - model_name: group
    model_info: {{id: priced, mode: image_generation}}
    litellm_params:
      {{model: openai/mine, api_base: "{v1}", api_key: sk-test-1, order: 2,
        output_cost_per_image: 0.5}}
general_settings: {{master_key: {key}}}
assets: {{folder: {folder}}}
database_url: sqlite:///{folder}.db
{more}
"""
CALL = {"prompt": "a fox", "size": "1024x1024", "quality": "low"}

Serve = Callable[..., Operator]


@pytest.fixture
def serve(upstream: FakeUpstream, tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as stack:

        def serve_one(more: str = "") -> Operator:
            file, folder = tmp_path / "config.yaml", tmp_path / "data"
            file.write_text(CONFIG.format(v1=upstream.v1, key=MASTER_KEY, folder=folder, more=more))
            return Operator(stack.enter_context(RunningGateway(load_settings(str(file)))))

        yield serve_one


def previewed(operator: Operator, model: str, **fields: Any) -> dict[str, str] | None:
    (found,) = operator.post("/v1/images/preview", **CALL | {"model": model} | fields)[
        "deployments"
    ]
    return found["price"]


def attempt_of(operator: Operator) -> dict[str, Any]:
    """Return the attempt of the newest call."""
    call = operator.get("/admin/calls")["data"][0]["id"]
    (attempt,) = operator.get(f"/admin/calls/{call}")["attempts"]
    return attempt


def test_an_own_price_is_estimated_reserved_charged_and_named(serve: Serve, tmp_path: Path) -> None:
    operator = serve()
    price = {"lowest_usd": "0.0246913578", "expected_usd": "0.0246913578"}
    assert previewed(operator, "own", n=2) == price | {"highest_usd": "0.0246913578"}
    budget = operator.post("/admin/budgets", kind="model", of="own", limit_usd="0.03")
    answer = operator.generate(model="own", n=2)
    assert answer.headers["x-imagegate-cost"] == "0.0246913578"
    attempt = attempt_of(operator)
    assert (attempt["reserved_usd"], attempt["cost_usd"]) == ("0.0246913578", "0.0246913578")
    assert attempt["price"]["source"] == "configuration"
    assert attempt["price"]["price"]["image_e10"] == 123_456_789
    assert operator.get(f"/admin/budgets/{budget['id']}")["spent_usd"] == "0.0246913578"
    assert operator.generate(model="own").status == 429, "what is left is less than one image"
    with sqlite3.connect(f"{tmp_path}/data.db") as database:
        query = "SELECT amount_e10, price FROM entries JOIN attempts ON attempts.id = attempt_id"
        ((amount_e10, named),) = database.execute(query)
    assert (amount_e10, json.loads(named)["source"]) == (246_913_578, "configuration")


def test_own_prices_of_tokens_are_settled_by_the_usage(serve: Serve) -> None:
    operator = serve()
    answer = operator.generate(model="tokens")
    usage = answer.json()["usage"]
    expected_e10 = (usage["input_tokens"] + usage["output_tokens"]) * 10_000
    assert answer.headers["x-imagegate-cost"] == f"{expected_e10 / 10**10:.6f}"


def test_a_price_of_the_catalogue_names_it(serve: Serve) -> None:
    operator = serve()
    operator.generate(model="tokens")
    assert attempt_of(operator)["price"]["model"] == "openai/gpt-image-2"


def test_without_a_price_the_cost_is_unknown_and_never_0(serve: Serve) -> None:
    operator = serve()
    assert previewed(operator, "any") is None
    answer = operator.generate(model="any")
    assert (answer.status, answer.headers["x-imagegate-cost"]) == (200, "unknown")
    assert "x-litellm-response-cost" not in answer.headers
    assert (attempt_of(operator)["cost_usd"], attempt_of(operator)["price"]) == (None, {})
    (spent,) = operator.get("/admin/spend")["data"]
    assert (spent["unknown"], spent["charged_usd"]) == (1, "0")


def test_refuse_sends_nothing_without_a_price(serve: Serve, upstream: FakeUpstream) -> None:
    operator = serve("unknown_price: refuse")
    refused = operator.generate(model="any")
    assert (refused.status, refused.error["code"]) == (400, "unknown_price")
    assert "catalogue" in refused.error["message"]
    assert upstream.calls == []
    answer = operator.generate(model="group")
    assert answer.headers["x-imagegate-deployment"] == "priced", "one with a price is taken"
    assert operator.generate(model="own").status == 200


def test_ceiling_reserves_that_much_an_image_and_still_says_unknown(serve: Serve) -> None:
    operator = serve("unknown_price: ceiling\nunknown_price_ceiling_usd: 0.3")
    budget = operator.post("/admin/budgets", kind="model", of="any", limit_usd=1)
    answer = operator.generate(model="any", n=2)
    assert (answer.status, answer.headers["x-imagegate-cost"]) == (200, "unknown")
    assert attempt_of(operator)["reserved_usd"] == "0.6"
    held = operator.get(f"/admin/budgets/{budget['id']}")
    assert (held["spent_usd"], held["reserved_usd"]) == ("0.6", "0"), "held until somebody knows"
    refused = operator.generate(model="any", n=2)
    assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")


def test_allow_is_the_default_and_passes_no_budget(serve: Serve, upstream: FakeUpstream) -> None:
    operator = serve()
    operator.post("/admin/budgets", kind="provider", of="openai_compatible", limit_usd=9)
    refused = operator.generate(model="any")
    assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")
    assert "is unknown" in refused.error["message"]
    assert upstream.calls == []


@pytest.mark.parametrize("policy", ["allow", "refuse", "ceiling"])
def test_a_callers_limit_refuses_what_nobody_can_price(
    serve: Serve, upstream: FakeUpstream, policy: str
) -> None:
    operator = serve(f"unknown_price: {policy}")
    headers = {"authorization": f"Bearer {MASTER_KEY}", "content-type": "application/json"}
    body = json.dumps(CALL | {"model": "any"}).encode()
    headers["x-imagegate-max-cost"] = "1000"
    answer = operator.gateway.request("POST", "/v1/images/generations", body, headers)
    expected = (400, "unknown_price") if policy == "refuse" else (429, "max_cost_exceeded")
    assert (answer.status, answer.error["code"]) == expected
    assert upstream.calls == []


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({"size": "1024x1024", "quality": "low"}, 196),
        ({"size": "1024x1024", "quality": "auto"}, 7024),
        ({"size": "auto", "quality": "low"}, 659),
        ({"size": "auto", "quality": "auto"}, 23719),
    ],
)
def test_what_the_model_may_choose_is_reserved_at_the_dearest(
    serve: Serve, fields: dict[str, str], tokens: int
) -> None:
    operator = serve()
    assert operator.generate(model="tokens", **fields).status == 200
    prompt = len("a fox") + 16
    reserved_e10 = (tokens + prompt) * 10_000
    assert attempt_of(operator)["reserved_usd"] == f"{reserved_e10 / 10**10:.6f}".rstrip("0")
