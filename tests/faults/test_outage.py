"""The Postgres dies under a gateway: nothing is bought without a row, nothing paid for is lost."""

from collections import Counter
from pathlib import Path

from tests.faults.test_budgets import CALL, WAIT_TRIES_MAX, BudgetGateway, Callers
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
        status, refused = gateway.ask("POST", "/v1/images/generations", CALL, seconds_max=1)
        assert (status, refused["error"]["code"]) == (503, "ledger_unavailable")
        assert not gateway.ready()
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


def test_a_database_that_is_silent_keeps_nobody_waiting(
    doomed_server: PostgresServer, upstream: FakeUpstream, tmp_path: Path
) -> None:
    url = doomed_server.new_url()
    upstream.always("hold")
    at_work, surprised = Callers(), Callers()
    with BudgetGateway(tmp_path, upstream.v1, url) as gateway:
        price = gateway.highest_usd()
        gateway.add_budget(9 * price)
        at_work.start(gateway, 2)
        upstream.wait_received(2)
        doomed_server.freeze()
        try:
            surprised.start(gateway, 2)
            upstream.release()
            assert at_work.wait() == {200: 2}
            assert surprised.wait() == {503: 2}
            assert not gateway.ready()
            refused = gateway.ask("POST", "/v1/images/generations", CALL, seconds_max=1)
            assert (refused[0], refused[1]["error"]["code"]) == (503, "ledger_unavailable")
        finally:
            doomed_server.thaw()
        gateway.wait_ended()
        upstream.always("ok")
        for _ in range(WAIT_TRIES_MAX):
            if gateway.ready():
                break
        assert gateway.ask("POST", "/v1/images/generations", CALL)[0] == 200
        assert len(upstream.calls) == 3
        made, *late = sorted(Counter(gateway.states()).items())
        assert made == ("done", 3)
        assert {state for state, _ in late} <= {"failed"}, "what was written late is withdrawn"
        assert gateway.budget()[1] == 0
