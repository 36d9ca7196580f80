"""Who may use the gateway, with and without a master key."""

import json

import pytest

from tests.gateway.conftest import Start
from tests.gateway.running import Answer, RunningGateway
from tests.upstream.fake import FakeUpstream

KEY = "sk-test-master-0123456789"
CALL = {"model": "img", "prompt": "a fox"}
PATH = "/v1/images/generations"


@pytest.fixture
def closed(start: Start) -> RunningGateway:
    """Return a gateway with a master key."""
    return start(general=f"master_key: {KEY}")


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer  {KEY}"},
        {"api_key": KEY},
        {"api_key": KEY, "authorization": "Bearer something-else"},
        {"authorization": f"Bearer {KEY}", "host": "images.example", "origin": "https://x.example"},
    ],
)
def test_the_key_opens(headers: dict[str, str], closed: RunningGateway) -> None:
    assert closed.post(PATH, CALL, **headers).status == 200
    assert closed.get("/v1/models", **headers).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": KEY},
        {"authorization": "Bearer"},
        {"authorization": f"Basic {KEY}"},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": f"Bearer {KEY[:-1]}"},
        {"api_key": "sk-test-upstream"},
        {"api_key": "' or 1=1 --"},
    ],
)
def test_all_else_does_not(
    headers: dict[str, str], closed: RunningGateway, upstream: FakeUpstream
) -> None:
    for answer in (closed.post(PATH, CALL, **headers), closed.get("/v1/models", **headers)):
        assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
        assert answer.headers["x-should-retry"] == "false"
        assert KEY not in answer.body.decode()
    assert upstream.bill == []


def test_health_and_the_description_need_no_key(closed: RunningGateway) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json", "/"):
        assert closed.get(path).status == 200


def test_the_key_is_asked_for_before_the_body(closed: RunningGateway) -> None:
    """A caller without a key cannot make the gateway read anything."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nConnection: close\r\n"
    answer = closed.send_raw(f"{head}Expect: 100-continue\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:4000", "LOCALHOST:80"])
def test_without_a_key_programs_on_this_host_are_served(host: str, gateway: RunningGateway) -> None:
    assert gateway.post(PATH, CALL, host=host).status == 200
    assert gateway.post(PATH, CALL, host=host, authorization="Bearer any").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "localhost.evil.example"},
        {"host": "127.0.0.1@evil.example"},
        {"host": "127.0.0.1/x"},
        {"host": "localhost:4000:4000"},
        {"host": ""},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "file://"},
        {"origin": "http://localhost.evil.example"},
        {"sec_fetch_site": "cross-site"},
    ],
)
def test_without_a_key_a_web_page_is_refused(
    headers: dict[str, str], gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    for answer in (gateway.post(PATH, CALL, **headers), gateway.get("/v1/models", **headers)):
        assert (answer.status, answer.error["code"]) == (403, "not_allowed")
        assert "master_key" in answer.error["message"]
    assert upstream.bill == []


def test_a_page_of_this_host_is_served(gateway: RunningGateway) -> None:
    assert gateway.post(PATH, CALL, origin="http://localhost:3000").status == 200


def test_two_hosts_are_refused(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    body = json.dumps(CALL).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    assert gateway.send_raw(head.encode() + body).startswith(b"HTTP/1.1 403 ")
    assert upstream.bill == []


def test_a_refusal_says_what_to_do(closed: RunningGateway) -> None:
    answer: Answer = closed.post(PATH, CALL)
    assert "Authorization: Bearer" in answer.error["message"]
