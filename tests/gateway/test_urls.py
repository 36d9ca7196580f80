"""`response_format: url`: an image of ours behind a signed url, whatever the provider sent."""

import base64
import json
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from imagegate.config.load import load_settings
from tests.gateway.conftest import Start
from tests.gateway.running import Answer, RunningGateway
from tests.upstream.fake import FakeUpstream
from tests.upstream.pictures import picture

FOX = picture("a fox", size=(1024, 1024))


def url_of(gateway: RunningGateway, **fields: object) -> str:
    answer = gateway.generate(size="1024x1024", response_format="url", **fields)
    assert answer.status == 200, answer.body
    (image,) = answer.json()["data"]
    assert "b64_json" not in image
    assert "x-imagegate-adjustments" not in answer.headers
    url: str = image["url"]
    return url


def path_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def fetch(gateway: RunningGateway, url: str, method: str = "GET", **headers: str) -> Answer:
    return gateway.request(
        method, path_of(url), None, {k.replace("_", "-"): v for k, v in headers.items()}
    )


def test_the_url_leads_to_the_image(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    url = url_of(gateway)
    assert url.startswith(f"{gateway.url}/v1/images/assets/img_")
    assert "response_format" not in upstream.calls[0].json
    answer = fetch(gateway, url)
    assert (answer.status, answer.body) == (200, FOX)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(len(FOX))
    digest = b64encode(sha256(FOX).digest()).decode()
    assert answer.headers["repr-digest"] == f"sha-256=:{digest}:"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["content-disposition"].startswith("inline;")


@pytest.mark.parametrize("mode", ["url", "escaped", "data_prefix"])
def test_it_is_ours_however_the_image_came(
    mode: str, gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.always(mode)
    url = url_of(gateway, model="any")
    assert url.startswith(gateway.url)
    assert fetch(gateway, url).body == FOX


def test_bytes_come_from_a_provider_that_sends_urls(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.always("url")
    (image,) = gateway.generate(model="any", size="1024x1024").json()["data"]
    assert base64.b64decode(image["b64_json"]) == FOX
    assert "url" not in image


def test_a_url_with_a_key_needs_none(start: Start) -> None:
    gateway = start(general="master_key: sk-test-master-key")
    call = {"model": "img", "prompt": "a fox", "response_format": "url"}
    sent = gateway.post("/v1/images/generations", call, authorization="Bearer sk-test-master-key")
    url = sent.json()["data"][0]["url"]
    assert fetch(gateway, url).status == 200


def test_a_changed_url_is_refused(gateway: RunningGateway) -> None:
    url, other = url_of(gateway), url_of(gateway)
    good = path_of(url)
    name, query = good.split("?")
    later = int(query.partition("expires=")[2].partition("&")[0]) + 1
    for changed in (
        f"{name}?{path_of(other).split('?')[1]}",
        f"{name}?expires={later}&{query.partition('&')[2]}",
        good[:-1] + ("0" if good[-1] != "0" else "1"),
        name,
        f"{name}?expires=x&signature=y",
    ):
        answer = gateway.get(changed)
        assert (answer.status, answer.error["code"]) == (403, "invalid_signature")
    wrong_type = gateway.get(good.replace(".png?", ".svg?"))
    assert (wrong_type.status, wrong_type.error["code"]) == (404, "image_not_found")


def test_an_expired_url_is_refused(gateway: RunningGateway) -> None:
    links = gateway.gateway.runtime.tools.links
    assert links
    asset_id = urlsplit(url_of(gateway)).path.rpartition("/")[2].partition(".")[0]
    answer = gateway.get(links.path_of(asset_id, "image/png", expires_at=1_700_000_000))
    assert (answer.status, answer.error["code"]) == (403, "url_expired")
    missing = gateway.get(links.path_of("img_x", "image/png", expires_at=4_000_000_000))
    assert (missing.status, missing.error["code"]) == (404, "image_not_found")


def test_head_and_one_range(gateway: RunningGateway) -> None:
    url = url_of(gateway)
    head = fetch(gateway, url, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(FOX))
    size = len(FOX)
    for wanted, start, end in (
        ("bytes=0-3", 0, 4),
        ("bytes=5-", 5, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=10-{size * 2}", 10, size),
    ):
        answer = fetch(gateway, url, range=wanted)
        assert (answer.status, answer.body) == (206, FOX[start:end])
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    for wanted in ("bytes=0-1,4-5", "bytes=9-3", "lines=1-2", "bytes=-"):
        assert fetch(gateway, url, range=wanted).status == 200
    beyond = fetch(gateway, url, range=f"bytes={size}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    etag = head.headers["etag"]
    assert fetch(gateway, url, range="bytes=0-3", if_range=etag).status == 206
    assert fetch(gateway, url, range="bytes=0-3", if_range='"other"').status == 200


def test_an_svg_is_saved_not_shown(tmp_path: Path) -> None:
    entry = {"model": "sandbox/gpt-image-2.6-flare"}
    config = {
        "model_list": [{"model_name": "img", "litellm_params": entry}],
        "assets": {"folder": str(tmp_path / "data"), "retention_s": 0},
        "database_url": f"sqlite:///{tmp_path}/ledger.db",
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    with RunningGateway(load_settings(str(tmp_path / "config.json"))) as gateway:
        url = url_of(gateway, output_format="svg")
        answer = fetch(gateway, url)
    assert (answer.status, answer.body[:4]) == (200, b"<svg")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["content-disposition"].startswith("attachment;")


def test_the_public_address_is_the_operators(start: Start) -> None:
    gateway = start(server='public_url: "https://images.example.com/gate/"')
    url = url_of(gateway)
    assert url.startswith("https://images.example.com/gate/v1/images/assets/img_")
    assert fetch(gateway, url.replace("/gate/", "/")).status == 200


def test_the_host_of_a_request_does_not_decide_where_a_url_leads(start: Start) -> None:
    gateway = start(general="master_key: sk-test-master-key")
    call = json.dumps({"model": "img", "prompt": "a fox", "response_format": "url"}).encode()
    sent = {
        "content-type": "application/json",
        "host": "evil.example",
        "authorization": "Bearer sk-test-master-key",
    }
    answer = gateway.request("POST", "/v1/images/generations", call, sent)
    assert answer.json()["data"][0]["url"].startswith(gateway.url)
