"""A configuration for LiteLLM to the letter, its real address included: the whole way to Azure."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from openai import OpenAI

from tests.clients.conftest import AZURE_ADDRESS, AZURE_KEY, AZURE_YAML
from tests.clients.gateway import ServedGateway
from tests.clients.test_azure_openai import check_reached_the_deployment
from tests.clients.tls_proxy import TlsProxy
from tests.upstream.fake import FakeUpstream

HOST = urlsplit(AZURE_ADDRESS).netloc


@pytest.fixture(scope="module")
def proxy(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsProxy]:
    """Return a proxy that is the host of the configuration, with the fake upstream behind it."""
    port = urlsplit(upstream.url).port
    assert port
    with TlsProxy(port, HOST, tmp_path_factory.mktemp("tls")) as running:
        yield running


@pytest.fixture(scope="module")
def address(proxy: TlsProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return a gateway that was given nothing but the configuration and the environment."""
    env = {
        "AZURE_API_KEY": AZURE_KEY,
        "HTTPS_PROXY": proxy.url,
        "SSL_CERT_FILE": str(proxy.certificate),
    }
    with ServedGateway(AZURE_YAML, tmp_path_factory.mktemp("served"), **env) as served:
        yield served.url


def test_a_generation(address: str, proxy: TlsProxy, upstream: FakeUpstream) -> None:
    call = {"model": "gpt-image-2", "prompt": "a red circle", "n": 1, "size": "1024x1024"}
    answer = post(f"{address}/v1/images/generations", call)
    assert answer["data"][0]["b64_json"]
    [sent] = upstream.calls
    check_reached_the_deployment(sent, "generations")
    assert sent.headers["host"] == HOST
    assert sent.json["prompt"] == "a red circle"
    assert sent.json["size"] == "1024x1024"
    assert set(proxy.asked) == {f"{HOST}:443"}


def test_an_edit(address: str, files: Path, upstream: FakeUpstream) -> None:
    with OpenAI(base_url=f"{address}/v1", api_key="any") as client:
        client.images.edit(model="gpt-image-2", prompt="a hat", image=files / "a.png")
    [sent] = upstream.calls
    check_reached_the_deployment(sent, "edits")
    assert dict(sent.form) == {"prompt": "a hat"}


def post(url: str, call: object) -> Any:
    """Send JSON without any client; return the JSON that comes back."""
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(call).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)
