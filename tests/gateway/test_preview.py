"""`POST /v1/images/preview`: what would be sent and what it would cost, without spending."""

import json
from pathlib import Path
from typing import Any

from imagegate.config.load import load_settings
from tests.gateway import pictures
from tests.gateway.running import Part, RunningGateway, form
from tests.upstream.fake import FakeUpstream

SECRETS = ("sk-test-upstream", "sk-test-other", "authorization", "api-key")


def preview(gateway: RunningGateway, **fields: object) -> dict[str, Any]:
    answer = gateway.post("/v1/images/preview", {"model": "img", "prompt": "a fox"} | fields)
    assert answer.status == 200, answer.body
    for secret in SECRETS:
        assert secret not in answer.body.decode().lower()
    found: dict[str, Any] = answer.json()
    return found


def test_the_request_is_the_one_that_the_call_would_become(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    fields = {"size": "512x512", "quality": "low", "output_format": "webp"}
    (one,) = preview(gateway, **fields)["deployments"]
    assert upstream.bill == []
    gateway.generate(**fields)
    (sent,) = upstream.calls
    assert one["request"]["method"] == "POST"
    assert one["request"]["url"].startswith(f"{upstream.url}{sent.path}?")
    assert one["request"]["body"] == sent.json
    assert [each["param"] for each in one["adjustments"]] == ["size", "output_format"]
    prices = [float(one["price"][f"{name}_usd"]) for name in ("lowest", "expected", "highest")]
    assert 0 < prices[0] <= prices[1] <= prices[2]
    assert (one["requests"], one["error"]) == (1, None)


def test_images_are_shown_by_their_size(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    image = pictures.picture()
    body, content_type = form(
        Part("model", "img"), Part("prompt", "blue"), Part("image", image, "a.png")
    )
    answer = gateway.request("POST", "/v1/images/preview", body, {"content-type": content_type})
    (one,) = answer.json()["deployments"]
    assert answer.json()["operation"] == "edit"
    assert f"<image {len(image)} bytes>" in one["request"]["body"]
    assert 'name="prompt"\r\n\r\nblue' in one["request"]["body"]
    assert upstream.bill == []


def test_a_deployment_that_cannot_says_why(gateway: RunningGateway) -> None:
    (one,) = preview(gateway, size="1000x1000")["deployments"]
    assert (one["request"], one["price"], one["error"]["param"]) == (None, None, "size")


def test_an_unknown_model_is_told_as_ever(gateway: RunningGateway) -> None:
    answer = gateway.post("/v1/images/preview", {"model": "imgg", "prompt": "a fox"})
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")


def test_get_is_told_the_method(gateway: RunningGateway) -> None:
    answer = gateway.get("/v1/images/preview")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_all_deployments_of_the_group_are_shown(upstream: FakeUpstream, tmp_path: Path) -> None:
    entries = [
        {"model": "gemini/gemini-3-pro-image", "api_key": "sk-test-other"},
        {"model": "openai/gpt-image-2", "api_key": "sk-test-other"},
    ]
    config = {
        "model_list": [{"model_name": "img", "litellm_params": entry} for entry in entries],
        "assets": {"folder": str(tmp_path / "data")},
        "database_url": f"sqlite:///{tmp_path}/ledger.db",
    }
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    with RunningGateway(load_settings(str(file))) as gateway:
        first, second = preview(gateway, size="1536x1024", n=3)["deployments"]
    assert first["request"]["body"]["generationConfig"]["imageConfig"] == {
        "aspectRatio": "3:2",
        "imageSize": "1K",
    }
    assert (first["requests"], second["requests"]) == (3, 1)
    assert first["adjustments"][0]["sent"] == "3:2 1K"
    assert second["request"]["body"]["size"] == "1536x1024"
    assert second["adjustments"] == []
