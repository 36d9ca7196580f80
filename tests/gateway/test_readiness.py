"""When a balancer should send calls elsewhere: no room on the disk, a ledger that takes nothing."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from imagegate.assets.room import ANSWER_BYTES, Room
from imagegate.errors import ImageError
from tests.gateway.conftest import Start
from tests.gateway.running import RunningGateway
from tests.upstream.fake import FakeUpstream

TRIES_MAX = 20_000
FULL = ", free_bytes_min: 100000000000000000"


def wait(gateway: RunningGateway, is_so: Callable[[], bool]) -> None:
    for _ in range(TRIES_MAX):
        if is_so():
            return
        gateway.get("/healthz")
    raise TimeoutError(gateway.get("/readyz").body)


def test_nothing_is_bought_that_could_not_be_kept(
    start: Start, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = start(assets=FULL)
    assert gateway.get("/readyz").json() == {"status": "disk_low"}
    answer = gateway.generate()
    assert (answer.status, answer.error["code"]) == (503, "disk_low")
    assert answer.headers["retry-after"] == "30"
    finding = answer.error["imagegate"]["finding"]
    assert (finding["owner"], finding["rule"]) == ("operator", "imagegate.disk_low")
    assert not upstream.calls
    assert any(record.message == "disk.low" for record in caplog.records)
    metrics = gateway.get("/metrics").body
    assert b"imagegate_ready 0" in metrics
    assert b"imagegate_disk_free_bytes " in metrics


def test_what_was_bought_is_told_again_and_read_on_a_full_disk(
    start: Start, upstream: FakeUpstream, tmp_path: Path
) -> None:
    gateway, call = start(), {"model": "img", "prompt": "a fox"}
    bought = gateway.post("/v1/images/generations", call, idempotency_key="k-1")
    call_id = bought.headers["x-imagegate-call-id"]
    gateway.stop()
    gateway.wait_stopped()
    gateway = start(assets=FULL)
    assert gateway.get("/readyz").status == 503
    again = gateway.post("/v1/images/generations", call, idempotency_key="k-1")
    assert (again.status, again.json()["data"]) == (200, bought.json()["data"])
    assert gateway.get(f"/v1/images/calls/{call_id}/images/0").status == 200
    assert len(upstream.calls) == 1


def test_each_call_takes_room_between_two_looks(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.look(0, 0)
    room.look(room.free_bytes - 3 * ANSWER_BYTES - ANSWER_BYTES // 2, 1)
    assert not room.is_low
    room.take()
    room.take()
    with pytest.raises(ImageError, match="free_bytes_min"):
        room.take()
    room.look(0, 0)
    room.take()


def test_a_ledger_that_takes_nothing_makes_unready_and_recovers(
    start: Start, upstream: FakeUpstream, tmp_path: Path
) -> None:
    gateway = start()
    holder = sqlite3.connect(tmp_path / "data.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        wait(gateway, lambda: gateway.get("/readyz").status == 503)
        assert gateway.get("/readyz").json() == {"status": "ledger_unavailable"}
        refused = gateway.generate()
        assert (refused.status, refused.error["code"]) == (503, "ledger_unavailable")
    finally:
        holder.execute("ROLLBACK")
        holder.close()
    wait(gateway, lambda: gateway.get("/readyz").status == 200)
    assert gateway.generate().status == 200
    assert len(upstream.calls) == 1
