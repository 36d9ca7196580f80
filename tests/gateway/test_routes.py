"""The paths: OpenAI's, the same without /v1, Azure's; and what is said where there is none."""

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from imagegate.config.load import load_settings
from tests.gateway import pictures
from tests.gateway.running import Part, RunningGateway, form
from tests.upstream.fake import FakeUpstream

BODY_PATHS = (
    "/v1/images",
    "/images",
    "/openai/v1/images",
    "/openai/images",
)


@pytest.mark.parametrize("path", BODY_PATHS)
def test_the_model_stands_in_the_body(path: str, gateway: RunningGateway) -> None:
    assert gateway.post(f"{path}/generations", {"model": "img", "prompt": "a"}).status == 200
    query = f"{path}/generations?api-version=2020-01-01"
    assert gateway.post(query, {"model": "img", "prompt": "a"}).status == 200
    assert gateway.post(f"{path}/generations/", {"model": "img", "prompt": "a"}).status == 200
    body, content_type = form(
        Part("prompt", "a"), Part("image", pictures.picture(), "upload"), Part("model", "img")
    )
    answer = gateway.request("POST", f"{path}/edits", body, {"content-type": content_type})
    assert answer.status == 200, answer.body


@pytest.mark.parametrize("prefix", ["/openai/deployments", "/openai/v1/deployments"])
def test_the_path_wins_over_the_body(
    prefix: str, gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    path = f"{prefix}/img/images/generations?api-version=2024-02-01"
    for call in ({"prompt": "a"}, {"prompt": "a", "model": "another"}):
        assert gateway.post(path, call, api_key="any").status == 200
    body, content_type = form(
        Part("model", "another"), Part("prompt", "a"), Part("image", pictures.picture(), "u")
    )
    edits = path.replace("generations", "edits")
    assert gateway.request("POST", edits, body, {"content-type": content_type}).status == 200
    assert len(upstream.calls) == 3


def test_a_name_in_the_path_may_hold_slashes(gateway: RunningGateway) -> None:
    for name in ("a/b:c d", "openai/gpt-image-2", "Ünï"):
        path = f"/openai/deployments/{quote(name, safe='')}/images/generations"
        answer = gateway.post(path, {"prompt": "a"})
        assert (answer.status, answer.error["code"]) == (404, "model_not_found")
        assert name in answer.error["message"]


def test_a_models_end_is_listed(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        f"""
model_list:
  - {{model_name: old, params: {{model: gpt-image-1.5, api_key: sk-test-x}}}}
  - {{model_name: both, params: {{model: gpt-image-1.5, api_key: sk-test-x}}}}
  - {{model_name: both, params: {{model: gpt-image-2, api_key: sk-test-x}}}}
assets: {{folder: {tmp_path}/data}}
database_url: sqlite:///{tmp_path}/data.db
"""
    )
    with RunningGateway(load_settings(str(file))) as gateway:
        assert gateway.get("/v1/models/old").json()["shutdown_date"] == "2026-12-01"
        assert "shutdown_date" not in gateway.get("/v1/models/both").json()


def test_models(gateway: RunningGateway) -> None:
    expected = {"id": "img", "object": "model", "created": 0, "owned_by": "azure"}
    other = {"id": "any", "object": "model", "created": 0, "owned_by": "openai_compatible"}
    for path in ("/v1/models", "/models"):
        assert gateway.get(path).json() == {"object": "list", "data": [expected, other]}
    assert gateway.get("/v1/models/img").json() == expected
    missing = gateway.get("/v1/models/openai/none")
    assert (missing.status, missing.error["code"]) == (404, "model_not_found")
    assert "img" in missing.error["message"]


def test_what_is_not_there_is_named_with_what_is(gateway: RunningGateway) -> None:
    for answer in (gateway.get("/v1/nothing"), gateway.post("/v1/chat/completions", {})):
        assert (answer.status, answer.error["code"]) == (404, "unknown_url")
        assert "/v1/images/generations" in answer.error["message"]
    azure = gateway.post("/openai/deployments//images/generations", {"prompt": "a"})
    assert azure.status == 404


def test_another_method_is_told_which_one(gateway: RunningGateway) -> None:
    for path, allowed in (("/v1/images/generations", "POST"), ("/v1/models", "GET")):
        answer = gateway.request("DELETE", path)
        assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
        assert answer.headers["allow"] == allowed


def test_health(gateway: RunningGateway) -> None:
    assert gateway.get("/healthz").json() == {"status": "ok"}
    assert gateway.get("/readyz").json() == {"status": "ready"}
    assert gateway.get("/").json()["base_url"] == "/v1"


def test_the_description_is_whole(gateway: RunningGateway) -> None:
    document = gateway.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert {"/v1/images/generations", "/v1/responses", "/v1/diagnose"} <= document["paths"].keys()
    schemas = document["components"]["schemas"]
    references = _references(document)
    assert references == {f"#/components/schemas/{name}" for name in schemas}
    assert "gpt-image-2" in schemas["GenerateCall"]["properties"]["model"]["examples"]


def _references(value: object) -> set[str]:
    text = json.dumps(value)
    return {part.split('"')[0] for part in text.split('"$ref": "')[1:]}
