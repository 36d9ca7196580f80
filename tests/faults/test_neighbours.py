"""Gateways on one Postgres: what one of them leaves behind for good, the others end."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from tests.faults.process import GatewayProcess
from tests.faults.test_budgets import BudgetGateway, Callers
from tests.ledger.databases import PostgresServer
from tests.upstream.fake import FakeUpstream

TRIES_MAX = 20_000


def wait(gateway: GatewayProcess, is_so: Callable[[], bool]) -> None:
    for _ in range(TRIES_MAX):
        if is_so():
            return
        gateway.turn()
    raise TimeoutError(f"in vain: {gateway.output[-5:]}")


def end_leases(url: str, folder: Path) -> None:
    """Let the time of the owners of `folder` be up, as a minute without a sign of life does."""
    dead = [path.name for path in (folder / "assets" / "spool").iterdir()]
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        statement = text("UPDATE owners SET alive_until = 0 WHERE id = ANY(:dead)")
        assert connection.execute(statement, {"dead": dead}).rowcount == len(dead)
    engine.dispose()


def test_what_never_returns_becomes_unknown_and_is_held(
    upstream: FakeUpstream, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    url = postgres_server.new_url()
    upstream.always("hold")
    callers = Callers()
    with BudgetGateway(tmp_path / "a", upstream.v1, url) as one:
        price = one.highest_usd()
        one.add_budget(9 * price)
        callers.start(one, 3)
        upstream.wait_received(3)
        with BudgetGateway(tmp_path / "b", upstream.v1, url) as other:
            one.kill()
            callers.wait()
            assert other.states() == ["running"] * 3
            end_leases(url, tmp_path / "a")
            wait(other, lambda: other.states() == ["unknown"] * 3)
            assert other.budget() == (3 * price, 0)
            assert len(upstream.calls) == 3


def test_a_folder_that_comes_back_settles_what_was_given_up(
    upstream: FakeUpstream, tmp_path: Path, doomed_server: PostgresServer
) -> None:
    url = doomed_server.new_url()
    with BudgetGateway(tmp_path / "b", upstream.v1, url) as other:
        leave_unsettled(BudgetGateway(tmp_path / "a", upstream.v1, url), upstream, doomed_server)
        wait(other, lambda: other.ready())
        end_leases(url, tmp_path / "a")
        wait(other, lambda: other.states() == ["unknown"] * 2)
        held = other.budget()
        with BudgetGateway(tmp_path / "a", upstream.v1, url) as one:
            wait(one, lambda: one.states() == ["done"] * 2)
            assert 0 < one.budget()[0] < held[0]
            assert one.budget()[1] == 0
    assert len(upstream.calls) == 2


def test_a_neighbour_in_the_same_folder_takes_over_at_once(
    upstream: FakeUpstream, tmp_path: Path, doomed_server: PostgresServer
) -> None:
    url = doomed_server.new_url()
    assets = tmp_path / "assets"
    one, other = (BudgetGateway(tmp_path / name, upstream.v1, url, assets) for name in "ab")
    with other:
        leave_unsettled(one, upstream, doomed_server)
        wait(other, lambda: other.ready())
        wait(other, lambda: other.states() == ["done"] * 2)
        _, calls = other.ask("GET", "/v1/images/calls")
        for call in calls["data"]:
            path = f"/v1/images/calls/{call['id']}"
            assert other.ask("GET", path)[1]["result"]["data"]
        wait(other, lambda: len(list((assets / "spool").iterdir())) == 1)
    assert len(upstream.calls) == 2


def leave_unsettled(gateway: BudgetGateway, upstream: FakeUpstream, server: PostgresServer) -> None:
    """Kill a gateway that has delivered two images which the database did not take."""
    callers = Callers()
    upstream.always("hold")
    with gateway:
        gateway.add_budget(9 * gateway.highest_usd())
        callers.start(gateway, 2)
        upstream.wait_received(2)
        server.cut()
        upstream.release()
        assert callers.wait() == {200: 2}
        gateway.kill()
    server.restore()
