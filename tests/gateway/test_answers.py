"""What a caller gets: the image, the headers that say how it went, and honest errors."""

import base64
import http.client
import json
import socket
import time

import pytest

from tests.gateway import pictures
from tests.gateway.conftest import Start
from tests.gateway.running import Part, RunningGateway, form
from tests.upstream.fake import FakeUpstream
from tests.upstream.pictures import picture


def test_a_generation(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    answer = gateway.generate(size="1024x1024", quality="low")
    body = answer.json()
    assert answer.status == 200
    assert base64.b64decode(body["data"][0]["b64_json"]) == picture("a fox", size=(1024, 1024))
    assert isinstance(body["created"], int)
    assert (body["size"], body["quality"], body["output_format"]) == ("1024x1024", "low", "png")
    assert body["usage"]["total_tokens"] > 0
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert answer.headers["content-type"] == "application/json"
    assert upstream.images_billed == 1


def test_the_headers_say_how_it_went(gateway: RunningGateway) -> None:
    headers = gateway.generate(style="vivid").headers
    assert headers["x-imagegate-call-id"].startswith("call_")
    assert headers["x-litellm-call-id"] == headers["x-imagegate-call-id"]
    assert headers["x-imagegate-deployment"]
    assert headers["x-imagegate-attempts"] == "1"
    assert headers["x-imagegate-images"] == "1/1"
    assert float(headers["x-imagegate-cost"]) > 0
    assert headers["x-litellm-response-cost"] == headers["x-imagegate-cost"]
    assert [one["param"] for one in json.loads(headers["x-imagegate-adjustments"])] == ["style"]
    assert "x-imagegate-upstream-request-id" in headers
    assert "server" not in headers


@pytest.mark.parametrize("kind", ["medium", "large"])
def test_a_large_image_comes_whole(
    kind: str, gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.always("ok", picture=kind)
    body = gateway.generate(n=2).json()
    images = [base64.b64decode(one["b64_json"]) for one in body["data"]]
    assert len(images) == 2
    assert all(image.startswith(b"\x89PNG") and image.endswith(b"\xaeB`\x82") for image in images)
    assert len(images[0]) > 1_000_000


def test_an_edit_by_form_sends_the_files_as_they_are(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    files = [pictures.picture("JPEG"), pictures.picture("PNG", size=(300, 64))]
    mask = pictures.picture(mode="RGBA")
    parts = [Part("image[]", file, "upload") for file in files]
    answer = gateway.edit(
        *parts,
        Part("mask", mask, "m"),
        Part("prompt", "a hat"),
        Part("model", "img"),
        Part("n", "2"),
    )
    assert answer.status == 200, answer.body
    assert len(answer.json()["data"]) == 2
    sent = upstream.calls[0].files
    assert [part.size for part in sent] == [len(file) for file in [*files, mask]]


def test_an_edit_by_json_takes_data_urls(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    large = pictures.picture(size=(512, 512))
    url = "data:image/png;base64," + base64.b64encode(large).decode()
    call = {"model": "img", "prompt": "blue", "images": [{"image_url": url}]}
    answer = gateway.post("/v1/images/edits", call)
    assert answer.status == 200, answer.body
    assert [part.size for part in upstream.calls[0].files] == [len(large)]


def test_a_body_without_a_length_is_read(gateway: RunningGateway) -> None:
    """openai-node sends files so; the pieces may be cut anywhere."""
    body, content_type = form(
        Part("image", pictures.picture(), "a.png"), Part("model", "img"), Part("prompt", "a")
    )
    pieces = [body[start : start + 37] for start in range(0, len(body), 37)]
    sent = {"content-type": content_type}
    assert gateway.request("POST", "/v1/images/edits", iter(pieces), sent).status == 200
    call = json.dumps({"model": "img", "prompt": "a"}).encode()
    split = iter([call[:9], call[9:]])
    assert gateway.request("POST", "/v1/images/generations", split).status == 200


def test_a_file_part_needs_no_file_name(gateway: RunningGateway) -> None:
    answer = gateway.edit(
        Part("image", pictures.picture()), Part("model", "img"), Part("prompt", "a")
    )
    assert answer.status == 200, answer.body


@pytest.mark.parametrize("client", ["codex_exec/0.169.0 (Linux)", "curl/8"])
def test_codex_never_reads_a_quality_that_it_does_not_know(
    client: str, gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    call = {"model": "any", "prompt": "a"}
    answer = gateway.post("/v1/images/generations", call, user_agent=client)
    assert upstream.calls[0].field_of("quality") == "max"
    assert "quality" not in answer.json()
    named = gateway.post("/v1/images/generations", call | {"quality": "max"}, user_agent=client)
    assert named.json().get("quality") == (None if "codex" in client else "max")


@pytest.mark.parametrize(
    ("mode", "status", "code"),
    [
        ("drop", 502, "upstream_failed"),
        ("half_body", 502, "upstream_failed"),
        ("not_json", 502, "upstream_invalid_image"),
        ("wrong_base64", 502, "upstream_invalid_image"),
    ],
)
def test_a_failure_upstream_is_never_a_success(
    mode: str, status: int, code: str, gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply(mode)
    answer = gateway.generate()
    assert (answer.status, answer.error["code"]) == (status, code), answer.body
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-imagegate-call-id"].startswith("call_")
    assert len(upstream.calls) == 1


def test_a_rate_limit_says_when_to_come_again(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.always("status:rate_limit")
    answer = gateway.generate()
    assert answer.status == 429, answer.body
    assert "x-should-retry" not in answer.headers
    assert 1 <= int(answer.headers["retry-after"]) <= 60


def test_a_price_limit_refuses_before_anything_is_sent(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    call = {"model": "img", "prompt": "a", "quality": "high"}
    answer = gateway.post("/v1/images/generations", call, x_imagegate_max_cost="0.0001")
    assert (answer.status, answer.error["code"]) == (429, "max_cost_exceeded")
    assert answer.headers["x-should-retry"] == "false"
    assert upstream.bill == []


def test_strict_refuses_what_nearest_adjusts(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    call = {"model": "img", "prompt": "a", "style": "vivid"}
    answer = gateway.post("/v1/images/generations", call, x_imagegate_adjust="strict")
    assert (answer.status, answer.error["param"]) == (400, "style")
    assert upstream.bill == []


def test_a_caller_who_left_does_not_stop_the_call(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply("hold")
    body = json.dumps({"model": "img", "prompt": "a fox"}).encode()
    head = (
        "POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.sendall(head.encode() + body)
        upstream.wait_held()
    assert gateway.get("/healthz").status == 200
    upstream.release()
    upstream.wait_finished()
    assert upstream.images_billed == 1
    assert gateway.generate().status == 200


def test_the_handler_of_a_caller_who_left_ends_before_the_call(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply("hold")
    body = json.dumps({"model": "img", "prompt": "a fox"}).encode()
    head = f"POST /images/generations HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}"
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode() + body)
        upstream.wait_held()
        assert gateway.gateway.traffic.request_count == 1
    deadline = time.monotonic() + 15
    while gateway.gateway.traffic.request_count and time.monotonic() < deadline:
        assert gateway.get("/healthz").status == 200
    assert gateway.gateway.traffic.request_count == 0
    assert gateway.gateway.traffic.running_count == 1
    upstream.release()
    upstream.wait_finished()


def test_a_caller_who_leaves_amid_the_body_buys_nothing(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    body, content_type = form(
        Part("model", "img"), Part("prompt", "a"), Part("image", pictures.picture(), "a.png")
    )
    head = (
        "POST /v1/images/edits HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.sendall(head.encode() + body[:-20])
    gateway.stop()
    gateway.wait_stopped()
    assert upstream.bill == []


def test_more_calls_than_fit_are_sent_away(start: Start, upstream: FakeUpstream) -> None:
    gateway = start(server="calls_max: 1")
    upstream.reply("hold")
    first = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    first.request("POST", "/v1/images/generations", json.dumps({"model": "img", "prompt": "a"}))
    upstream.wait_held()
    second = gateway.generate()
    assert (second.status, second.error["code"]) == (503, "overloaded")
    assert int(second.headers["retry-after"]) >= 1
    assert "x-should-retry" not in second.headers
    upstream.release()
    response = first.getresponse()
    assert response.status == 200
    response.read()
    first.close()
    assert len(upstream.calls) == 1


def test_a_stopping_gateway_finishes_its_calls(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply("hold")
    running = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    running.request("POST", "/v1/images/generations", json.dumps({"model": "img", "prompt": "a"}))
    upstream.wait_held()
    gateway.stop()
    ready = gateway.get("/readyz")
    assert (ready.status, ready.json()) == (503, {"status": "draining"})
    refused = gateway.generate()
    assert (refused.status, refused.error["code"]) == (503, "shutting_down")
    upstream.release()
    response = running.getresponse()
    assert response.status == 200
    assert json.loads(response.read())["data"]
    running.close()
    gateway.wait_stopped()
    assert upstream.images_billed == 1
