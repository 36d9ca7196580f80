"""Gateways restart in turn while callers call: nobody gets an error, and no image is lost."""

from collections import Counter
from pathlib import Path

from tests.faults.process import TRIES_MAX, WAIT_S_MAX, GatewayProcess
from tests.faults.restarts import Caller, Pair
from tests.ledger.databases import PostgresServer
from tests.upstream.fake import FakeUpstream

RESTARTS = 4
CALLERS = 4


def test_restarts_in_turn_lose_nothing(
    upstream: FakeUpstream, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    url = postgres_server.new_url()
    held: list[Caller] = []
    with Pair(tmp_path, upstream.v1, url, notice_s=600) as pair:
        callers = [Caller(pair.balancer.port, f"caller {n}") for n in range(CALLERS)]
        for caller in callers:
            caller.start()
        for number in range(RESTARTS):
            leaving = pair.take_oldest()
            held.append(restart(pair, leaving, callers, upstream, number))
            assert leaving.process.returncode == 0, leaving.output
            pair.start()
        for caller in callers:
            caller.stop()
    everybody = [*callers, *held]
    assert [fault for caller in everybody for fault in caller.faults] == []
    assert {status for caller in everybody for status in caller.statuses} == {200}
    received = Counter(sha for caller in everybody for sha in caller.received)
    answered = Counter(sha for record in upstream.calls for sha in record.answered_sha256)
    assert received == answered
    assert upstream.images_billed == len(upstream.calls)


def restart(
    pair: Pair, leaving: GatewayProcess, callers: list[Caller], upstream: FakeUpstream, number: int
) -> Caller:
    """Stop a gateway amid a long call; return the caller of that."""
    long = Caller(leaving.port, f"long {number}", "[mode=hold]")
    long.start()
    upstream.wait_held()
    long.end()
    leaving.process.terminate()
    pair.balancer.wait_unready(leaving.port)
    for caller in callers:
        caller.wait_begun(2)  # the first of them may be on a connection that is kept
    leaving.process.terminate()  # no need to wait for the end of the notice
    for _ in range(TRIES_MAX):
        if leaving.get("/readyz")[1] == {"status": "draining"}:
            break
    upstream.release()
    long.stop()
    leaving.process.wait(WAIT_S_MAX)
    leaving.__exit__()
    return long
