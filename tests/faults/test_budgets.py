"""Budgets against processes that are many, that die, and whose database goes away."""

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.faults.process import WAIT_S_MAX, GatewayProcess
from tests.ledger.databases import PostgresServer
from tests.upstream.fake import FakeUpstream

CALL = {"model": "img", "prompt": "a fox", "size": "1024x1024", "quality": "low"}
# A server of one's own has no price unless it is said which model it serves.
PRICED = "openai/gpt-image-2, base_model: openai/gpt-image-2"
TRIES_MAX = 500
WAIT_TRIES_MAX = 20_000  # what could not be written is tried again once a second


class BudgetGateway(GatewayProcess):
    """A gateway with a ledger of its own or a shared one."""

    def __init__(
        self, folder: Path, upstream_v1: str, ledger_url: str, assets: Path | None = None
    ) -> None:
        super().__init__(folder, upstream_v1, model=PRICED, ledger_url=ledger_url, assets=assets)

    def ask(
        self, method: str, path: str, body: object = None, *, seconds_max: float = WAIT_S_MAX
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds_max)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def highest_usd(self) -> Decimal:
        """Return what one call is reserved at."""
        _, preview = self.ask("POST", "/v1/images/preview", CALL)
        return Decimal(preview["deployments"][0]["price"]["highest_usd"])

    def add_budget(self, limit_usd: Decimal) -> None:
        body = {"kind": "model", "of": "img", "limit_usd": str(limit_usd)}
        status, answer = self.ask("POST", "/admin/budgets", body)
        assert status == 201, answer

    def budget(self) -> tuple[Decimal, Decimal]:
        """Return what is spent and reserved of the only budget."""
        _, found = self.ask("GET", "/admin/budgets")
        (budget,) = found["data"]
        return Decimal(budget["spent_usd"]), Decimal(budget["reserved_usd"])

    def ready(self) -> bool:
        return self.ask("GET", "/readyz")[0] == 200

    def states(self) -> list[str]:
        _, found = self.ask("GET", "/admin/calls?limit=500")
        return [call["state"] for call in found["data"]]

    def wait_ended(self) -> None:
        """Return when no call is under way any more."""
        for _ in range(WAIT_TRIES_MAX):
            if "running" not in self.states():
                return
        raise TimeoutError("calls stay open")


class Callers:
    """Threads that call, and the status that each got; None where the gateway went away."""

    def __init__(self) -> None:
        self._statuses: list[int | None] = []
        self._threads: list[threading.Thread] = []

    def start(self, gateway: BudgetGateway, count: int) -> None:
        for _ in range(count):
            thread = threading.Thread(target=self._call, args=(gateway,))
            self._threads.append(thread)
            thread.start()

    def _call(self, gateway: BudgetGateway) -> None:
        try:
            status, _ = gateway.ask("POST", "/v1/images/generations", CALL)
        except (OSError, http.client.HTTPException):
            self._statuses.append(None)
        else:
            self._statuses.append(status)

    def wait_refused(self, count: int) -> None:
        for thread in self._threads:
            if self._statuses.count(429) >= count:
                return
            thread.join(WAIT_S_MAX / len(self._threads))
        assert self._statuses.count(429) >= count

    def wait(self) -> Counter[int | None]:
        for thread in self._threads:
            thread.join(WAIT_S_MAX)
        return Counter(self._statuses)


@pytest.fixture
def two_gateways(
    upstream: FakeUpstream, tmp_path: Path, postgres_server: PostgresServer
) -> Iterator[list[BudgetGateway]]:
    url = postgres_server.new_url()
    gateways = [BudgetGateway(tmp_path / name, upstream.v1, url) for name in "ab"]
    with gateways[0], gateways[1]:
        yield gateways


def test_two_gateways_admit_exactly_what_the_budget_is_for(
    two_gateways: list[BudgetGateway], upstream: FakeUpstream
) -> None:
    one = two_gateways[0]
    limit_usd = 100 * one.highest_usd()
    one.add_budget(limit_usd)
    upstream.always("hold")
    callers = Callers()
    for gateway in two_gateways:
        callers.start(gateway, 250)
    seen = []
    while sum(seen[-1] if seen else (0,)) < limit_usd and len(seen) < TRIES_MAX:
        seen.append(one.budget())
    callers.wait_refused(400)
    assert one.budget() == (0, limit_usd)
    assert all(spent + reserved <= limit_usd for spent, reserved in seen)
    upstream.release()
    assert callers.wait() == {200: 100, 429: 400}
    spent, reserved = one.budget()
    assert reserved == 0
    assert spent <= limit_usd
    assert upstream.images_billed == 100


def test_nothing_stays_reserved_after_a_kill(
    ledger_url: str, upstream: FakeUpstream, tmp_path: Path
) -> None:
    upstream.always("hold")
    callers = Callers()
    with BudgetGateway(tmp_path, upstream.v1, ledger_url) as gateway:
        price = gateway.highest_usd()
        gateway.add_budget(20 * price)
        callers.start(gateway, 10)
        upstream.wait_received(10)
        assert gateway.budget() == (0, 10 * price)
        gateway.kill()
        assert callers.wait() == {None: 10}
    with BudgetGateway(tmp_path, upstream.v1, ledger_url) as gateway:
        gateway.wait_ended()
        # Nobody knows whether they were billed: their price is held, as spent.
        assert gateway.budget() == (10 * price, 0)
        assert gateway.states() == ["unknown"] * 10


def test_a_gateway_that_starts_leaves_the_calls_of_its_neighbour_alone(
    upstream: FakeUpstream, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    url = postgres_server.new_url()
    upstream.always("hold")
    callers = Callers()
    with BudgetGateway(tmp_path / "a", upstream.v1, url) as one:
        one.add_budget(9 * one.highest_usd())
        callers.start(one, 3)
        upstream.wait_received(3)
        with BudgetGateway(tmp_path / "b", upstream.v1, url) as other:
            other.turn()
            assert other.states() == ["running"] * 3
            assert other.budget()[0] == 0
        upstream.release()
        assert callers.wait() == {200: 3}
        assert one.states() == ["done"] * 3
