"""Clients made for Azure, and configurations made for it."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import AzureOpenAI, OpenAI

from tests.clients.conftest import API_VERSION, AZURE_KEY, KEY
from tests.clients.test_openai_python import hashes
from tests.upstream.bill import Record
from tests.upstream.fake import FakeUpstream

DEPLOYMENT = "/openai/deployments/gpt-image-2-1/images"


def check_reached_the_deployment(call: Record, operation: str) -> None:
    """Assert that `call` has the one path, query and key that the operator configured."""
    assert call.path == f"{DEPLOYMENT}/{operation}"
    assert call.query == {"api-version": API_VERSION}
    assert call.headers["api-key"] == AZURE_KEY
    assert "authorization" not in call.headers
    assert call.field_of("model") is None


def test_a_plain_call_reaches_the_deployment(gateway: str, upstream: FakeUpstream) -> None:
    """The configuration is LiteLLM's, unchanged; the request is OpenAI's."""
    call = {"model": "gpt-image-2", "prompt": "a red circle", "n": 1, "size": "1024x1024"}
    request = urllib.request.Request(
        f"{gateway}/v1/images/generations",
        json.dumps(call).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {KEY}"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        answer = json.load(response)
    [sent] = upstream.calls
    check_reached_the_deployment(sent, "generations")
    # One image is what no `n` means, so it need not be said.
    assert sent.json in (
        {"prompt": "a red circle", "size": "1024x1024"},
        {"prompt": "a red circle", "n": 1, "size": "1024x1024"},
    )
    assert isinstance(answer["created"], int)
    assert len(answer["data"]) == 1
    assert answer["data"][0]["b64_json"]


def test_an_edit_names_no_model_either(gateway: str, files: Path, upstream: FakeUpstream) -> None:
    with OpenAI(base_url=f"{gateway}/v1", api_key=KEY) as client, (files / "a.png").open("rb") as f:
        client.images.edit(model="gpt-image-2", prompt="a hat", image=f)
    [sent] = upstream.calls
    check_reached_the_deployment(sent, "edits")
    assert sent.form == [("prompt", "a hat")]
    assert [part.name for part in sent.files] == ["image"]


@pytest.fixture(params=["model", "azure_deployment"])
def azure(request: pytest.FixtureRequest, gateway: str) -> Iterator[AzureOpenAI]:
    """The deployment is named by the model, or by the client; the body's model may differ then."""
    named: dict[str, Any] = {} if request.param == "model" else {"azure_deployment": "gpt-image-2"}
    version = "2024-02-01"
    with AzureOpenAI(azure_endpoint=gateway, api_key=KEY, api_version=version, **named) as client:
        yield client


def test_generate(azure: AzureOpenAI, upstream: FakeUpstream) -> None:
    """The operator's api-version counts, not the caller's."""
    result = azure.images.generate(model="gpt-image-2", prompt="a fox")
    [sent] = upstream.calls
    check_reached_the_deployment(sent, "generations")
    assert sent.json == {"prompt": "a fox"}
    assert hashes(result.data) == sent.answered_sha256


def test_edit(azure: AzureOpenAI, files: Path, upstream: FakeUpstream) -> None:
    image, mask = (("x.png", (files / name).read_bytes()) for name in ("a.png", "mask.png"))
    result = azure.images.edit(model="gpt-image-2", prompt="a hat", image=[image], mask=mask)
    [sent] = upstream.calls
    check_reached_the_deployment(sent, "edits")
    assert sent.form == [("prompt", "a hat")]
    assert hashes(result.data) == sent.answered_sha256


def test_a_path_beats_the_body(gateway: str, upstream: FakeUpstream) -> None:
    with AzureOpenAI(
        azure_endpoint=gateway, api_key=KEY, api_version="v", azure_deployment="gpt-image-2"
    ) as client:
        client.images.generate(model="my/flux", prompt="a fox")
    check_reached_the_deployment(upstream.calls[0], "generations")


def test_a_deployment_with_a_slash(gateway: str, upstream: FakeUpstream) -> None:
    with AzureOpenAI(azure_endpoint=gateway, api_key=KEY, api_version="v") as client:
        client.images.generate(model="my/flux", prompt="a fox")
    assert upstream.calls[0].json["model"] == "flux"


def test_the_v1_route_of_the_gateway(gateway: str, upstream: FakeUpstream) -> None:
    with OpenAI(base_url=f"{gateway}/openai/v1/", api_key=KEY) as client:
        client.images.generate(model="gpt-image-2", prompt="a fox")
    check_reached_the_deployment(upstream.calls[0], "generations")


def test_the_v1_route_of_azure(gateway: str, files: Path, upstream: FakeUpstream) -> None:
    """There the model is needed, and is the deployment's name."""
    with OpenAI(base_url=f"{gateway}/v1", api_key=KEY) as client:
        client.images.generate(model="azure-v1", prompt="a fox")
        client.images.edit(model="azure-v1", prompt="a hat", image=files / "a.png")
    paths = ["/openai/v1/images/generations", "/openai/v1/images/edits"]
    assert [call.path for call in upstream.calls] == paths
    assert [call.field_of("model") for call in upstream.calls] == ["img2", "img2"]
    assert {call.headers["api-key"] for call in upstream.calls} == {AZURE_KEY}
