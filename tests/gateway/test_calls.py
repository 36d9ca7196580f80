"""What became of a call: found again by its id, with the images that nobody got."""

import base64
import hashlib
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imagegate.cli.app import run
from tests.gateway.conftest import Start
from tests.gateway.running import Part, RunningGateway, form
from tests.gateway.test_attach import ask, leave, restarted
from tests.upstream.fake import FakeUpstream
from tests.upstream.pictures import picture


def newest(gateway: RunningGateway) -> str:
    [call] = gateway.get("/v1/images/calls?limit=1").json()["data"]
    return str(call["id"])


def ended(gateway: RunningGateway, call_id: str) -> dict[str, object]:
    """Return a call when it is over."""
    for _ in range(20_000):
        call: dict[str, object] = gateway.get(f"/v1/images/calls/{call_id}").json()
        if call["state"] != "running":
            return call
    raise TimeoutError(call_id)


def kept(gateway: RunningGateway, call_id: str) -> dict[str, object]:
    """Return a call when its images are kept: that follows when its caller's leaving is noticed."""
    for _ in range(20_000):
        call = ended(gateway, call_id)
        if call["images"]:
            return call
    raise TimeoutError(call_id)


def test_an_answer_is_told_again_in_its_shape(gateway: RunningGateway) -> None:
    answer = gateway.generate(n=2, quality="low")
    call = gateway.get(f"/v1/images/calls/{answer.headers['x-imagegate-call-id']}").json()
    assert call["result"] == answer.json()
    assert (call["state"], call["operation"], call["model"]) == ("done", "generate", "img")
    assert call["cost"] == answer.headers["x-imagegate-cost"]
    assert [attempt["state"] for attempt in call["attempts"]] == ["settled"]


def test_urls_are_signed_anew(gateway: RunningGateway) -> None:
    answer = gateway.generate(response_format="url")
    call = gateway.get(f"/v1/images/calls/{answer.headers['x-imagegate-call-id']}").json()
    [image] = call["result"]["data"]
    assert set(image) == {"url"}
    assert gateway.get(image["url"].removeprefix(gateway.url)).status == 200


def test_the_image_of_a_caller_who_left(
    gateway: RunningGateway, upstream: FakeUpstream, tmp_path: Path
) -> None:
    leave(gateway, upstream)
    call_id = newest(gateway)
    upstream.release()
    call = ended(gateway, call_id)
    assert (call["state"], call["delivered_at"]) == ("done", None)
    image = gateway.get(f"/v1/images/calls/{call_id}/images/0")
    assert hashlib.sha256(image.body).hexdigest() == upstream.calls[0].answered_sha256[0]
    assert image.headers["content-type"] == "image/png"
    assert image.headers["x-content-type-options"] == "nosniff"
    assert run(["calls", "fetch", call_id, "--gateway", gateway.url, "-o", str(tmp_path)]) == 0
    assert (tmp_path / f"{call_id}-0.png").read_bytes() == image.body


def test_an_image_is_kept_for_who_left_though_none_are(
    upstream: FakeUpstream, start: Start
) -> None:
    gateway = start(assets=", retention_s: 0")
    leave(gateway, upstream)
    upstream.release()
    call = kept(gateway, newest(gateway))
    assert ask(gateway).headers["x-imagegate-call-id"] == call["id"]
    done = gateway.generate(prompt="another")
    told = gateway.get(f"/v1/images/calls/{done.headers['x-imagegate-call-id']}").json()
    assert (told["state"], told["images"]) == ("done", [])
    assert told["error"]["code"] == "image_not_kept"


def test_who_leaves_after_a_large_body_is_noticed(upstream: FakeUpstream, start: Start) -> None:
    """A server that has taken much stops reading, and does not see the connection's end."""
    gateway = start(assets=", retention_s: 0")
    upstream.reply("hold")
    body, media = form(
        Part("model", "img"),
        Part("prompt", "a fox"),
        Part("image", picture("a hat", kind="medium"), "in.png"),
    )
    with socket.create_connection(("127.0.0.1", gateway.port)) as caller:
        head = f"POST /v1/images/edits HTTP/1.1\r\nhost: localhost\r\ncontent-type: {media}\r\n"
        caller.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        upstream.wait_held()
    call_id = newest(gateway)
    upstream.release()
    assert kept(gateway, call_id)["delivered_at"] is None


def test_an_image_with_a_key_is_kept_for_its_answer(upstream: FakeUpstream, start: Start) -> None:
    gateway = start(assets=", retention_s: 0")
    first, again = (ask(gateway, idempotency_key="one") for _ in range(2))
    assert first.body == again.body
    assert len(upstream.calls) == 1


def test_a_late_image_is_kept_and_costs_once(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    upstream.reply("hold")
    late = ask(gateway, x_imagegate_timeout="0.1")
    call_id = late.headers["x-imagegate-call-id"]
    upstream.release()
    call = ended(gateway, call_id)
    assert call["state"] == "done"
    data = call["result"]["data"][0]["b64_json"]  # type: ignore[index]
    sha256 = hashlib.sha256(base64.b64decode(data)).hexdigest()
    assert sha256 == upstream.calls[0].answered_sha256[0]
    assert call["cost"] not in ("0", "unknown")


def test_a_stream_that_breaks_off_loses_nothing(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    leave(gateway, upstream, {"model": "img", "prompt": "a fox", "stream": True})
    upstream.release()
    assert ended(gateway, newest(gateway))["state"] == "done"


def test_an_unknown_end(gateway: RunningGateway, upstream: FakeUpstream) -> None:
    upstream.reply("half_body")
    answer = ask(gateway)
    call = gateway.get(f"/v1/images/calls/{answer.headers['x-imagegate-call-id']}").json()
    assert (call["state"], call["cost"]) == ("unknown", "unknown")
    assert call["error"] == answer.error
    assert call["attempts"][0]["estimate"] != "unknown"
    [row] = gateway.get("/v1/images/calls?state=unknown").json()["data"]
    assert row["id"] == call["id"]


def test_pages(gateway: RunningGateway) -> None:
    for n in range(5):
        ask(gateway, {"model": "img", "prompt": f"fox {n}"})
    first = gateway.get("/v1/images/calls?limit=3").json()
    rest = gateway.get(f"/v1/images/calls?limit=3&before={first['data'][-1]['id']}").json()
    assert (first["has_more"], rest["has_more"]) == (True, False)
    ids = [call["id"] for page in (first, rest) for call in page["data"]]
    assert ids == sorted(set(ids), reverse=True)
    assert len(ids) == 5


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/images/calls/call_none", 404),
        ("/v1/images/calls/call_none/images/0", 404),
        ("/v1/images/calls?limit=0", 400),
        ("/v1/images/calls?state=lost", 400),
    ],
)
def test_what_is_not_there(path: str, status: int, gateway: RunningGateway) -> None:
    assert gateway.get(path).status == status


def test_another_index(gateway: RunningGateway) -> None:
    ask(gateway)
    assert gateway.get(f"/v1/images/calls/{newest(gateway)}/images/1").status == 404
    assert gateway.get(f"/v1/images/calls/{newest(gateway)}/images/-1").status == 404


def test_a_call_is_told_only_with_the_key(start: Start) -> None:
    gateway = start(general="master_key: sk-test-0123456789abcdef")
    assert gateway.get("/v1/images/calls").status == 401


def test_a_call_outlives_the_process(start: Start) -> None:
    gateway = start()
    answer = ask(gateway)
    call_id = answer.headers["x-imagegate-call-id"]
    call = restarted(gateway, start).get(f"/v1/images/calls/{call_id}").json()
    assert call["result"] == answer.json()


def test_who_comes_back_while_another_waits_for_it(
    gateway: RunningGateway, upstream: FakeUpstream
) -> None:
    """The image of a call that was left goes to one caller; the next buys one."""
    leave(gateway, upstream)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, gateway)
        gateway.get("/healthz")
        upstream.release()
        assert first.result().status == 200
    assert ask(gateway).status == 200
    assert len(upstream.calls) == 2


def test_the_command_line_shows_calls(
    gateway: RunningGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    call_id = ask(gateway).headers["x-imagegate-call-id"]
    assert run(["calls", "list", "--gateway", gateway.url]) == 0
    assert call_id in capsys.readouterr().out
    assert run(["calls", "show", call_id, "--gateway", gateway.url]) == 0
    assert "settled" in capsys.readouterr().out
    assert run(["calls", "show", "call_none", "--gateway", gateway.url]) == 2
