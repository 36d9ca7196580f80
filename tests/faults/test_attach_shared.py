"""One key at two gateways on one Postgres and one folder: one purchase, whoever is asked."""

import contextlib
import http.client
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.faults.process import WAIT_S_MAX, GatewayProcess
from tests.gateway.test_later import feed
from tests.ledger.databases import PostgresServer
from tests.upstream.fake import FakeUpstream

COUNT = 50
KEY = "order-17"


class SharingGateway(GatewayProcess):
    """A gateway whose ledger and images are also another's."""

    def __init__(self, folder: Path, name: str, upstream_v1: str, ledger_url: str) -> None:
        own = folder / name
        own.mkdir(exist_ok=True)
        super().__init__(own, upstream_v1)
        config = own / "config.yaml"
        text = config.read_text().replace(f"sqlite:///{own}/ledger.db", ledger_url)
        config.write_text(text.replace(f"{own}/assets", f"{folder}/assets"))

    def ask(self) -> str:
        """Return the answer as text, the same for equal answers."""
        return json.dumps(self.generate("fox", KEY), sort_keys=True)


Make = Callable[[str], SharingGateway]


@pytest.fixture
def make(upstream: FakeUpstream, tmp_path: Path, postgres_server: PostgresServer) -> Make:
    url = postgres_server.new_url()
    return lambda name: SharingGateway(tmp_path, name, upstream.v1, url)


@contextlib.contextmanager
def asking(*gateways: SharingGateway) -> Iterator[list[Future[str]]]:
    """Ask all gateways at once, `COUNT` times in all."""
    with ThreadPoolExecutor(COUNT) as pool:
        yield [pool.submit(gateways[at % len(gateways)].ask) for at in range(COUNT)]


def test_fifty_at_two_gateways_and_again_after_a_restart(
    make: Make, upstream: FakeUpstream
) -> None:
    upstream.reply("hold")
    with make("a") as one, make("b") as other, asking(one, other) as asked:
        upstream.wait_held()
        upstream.release()
        answers = {each.result() for each in asked}
    with make("a") as one, make("b") as other, asking(one, other) as asked:
        answers |= {each.result() for each in asked}
    [answer] = answers
    assert json.loads(answer)["data"][0]["b64_json"]
    assert len(upstream.calls) == 1


def test_who_waits_at_another_gateway_learns_of_a_kill(make: Make, upstream: FakeUpstream) -> None:
    upstream.reply("hold")
    with make("a") as one, make("b") as other, ThreadPoolExecutor(1) as pool:
        left = pool.submit(one.ask)
        upstream.wait_held()
        with asking(other) as asked:
            other.turn()
            one.kill()
            assert left.exception() is not None
            with make("a") as again, asking(again, other) as asked_again:
                [answer] = {each.result() for each in (*asked, *asked_again)}
    assert json.loads(answer)["error"]["code"] == "process_ended"
    assert len(upstream.calls) == 1


def test_a_call_is_followed_from_another_gateway(make: Make, upstream: FakeUpstream) -> None:
    upstream.reply("hold")
    with make("a") as one, make("b") as other:
        told = ask_json(one, "POST", "/v1/images/generations", prefer="respond-async")
        path = f"/v1/images/calls/{told['id']}"
        upstream.wait_held()
        with feed(other, told["id"]) as events:
            name, call = events.next()
            assert (name, call["progress"]) == ("image.call.running", None)
            refused = ask_json(other, "POST", f"{path}/cancel")
            assert "another process" in refused["error"]["message"]
            upstream.release()
            name, call = events.next()
        assert (name, call["id"]) == ("image.call.done", told["id"])
        assert other.get(path)[1]["result"] == one.get(path)[1]["result"]


def ask_json(gateway: GatewayProcess, method: str, path: str, **headers: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=WAIT_S_MAX)
    body = json.dumps({"model": "img", "prompt": "a fox"})
    connection.request(method, path, body, {"content-type": "application/json"} | headers)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer
