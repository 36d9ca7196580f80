"""The Postgres dies under a gateway: nothing is bought without a row, nothing paid for is lost."""

from pathlib import Path

from tests.faults.test_budgets import CALL, BudgetGateway, Callers
from tests.ledger.databases import PostgresServer
from tests.upstream.fake import FakeUpstream


def test_images_in_flight_are_delivered_and_settled_when_the_database_is_back(
    doomed_server: PostgresServer, upstream: FakeUpstream, tmp_path: Path
) -> None:
    url = doomed_server.new_url()
    upstream.always("hold")
    callers = Callers()
    with BudgetGateway(tmp_path, upstream.v1, url) as gateway:
        price = gateway.highest_usd()
        gateway.add_budget(9 * price)
        callers.start(gateway, 3)
        upstream.wait_received(3)
        doomed_server.cut()
        status, refused = gateway.ask("POST", "/v1/images/generations", CALL)
        assert (status, refused["error"]["code"]) == (503, "ledger_unavailable")
        upstream.release()
        assert callers.wait() == {200: 3}
        doomed_server.restore()
        gateway.wait_ended()
        assert gateway.states() == ["done"] * 3
        spent, reserved = gateway.budget()
        assert 0 < spent < 3 * price
        assert reserved == 0
        assert upstream.images_billed == 3
        upstream.always("ok")
        assert gateway.ask("POST", "/v1/images/generations", CALL)[0] == 200


def test_what_a_gateway_could_not_write_is_settled_at_its_next_start(
    doomed_server: PostgresServer, upstream: FakeUpstream, tmp_path: Path
) -> None:
    url = doomed_server.new_url()
    upstream.always("hold")
    callers = Callers()
    with BudgetGateway(tmp_path, upstream.v1, url) as gateway:
        gateway.add_budget(9 * gateway.highest_usd())
        callers.start(gateway, 2)
        upstream.wait_received(2)
        doomed_server.cut()
        upstream.release()
        assert callers.wait() == {200: 2}
        gateway.kill()
    doomed_server.restore()
    with BudgetGateway(tmp_path, upstream.v1, url) as gateway:
        gateway.wait_ended()
        assert gateway.states() == ["done"] * 2
        spent, reserved = gateway.budget()
        assert spent > 0
        assert reserved == 0
    assert len(upstream.calls) == 2
