"""kill -9 between an answer and its settlement: the price of admission is that of the recovery."""

import contextlib
import sqlite3
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.process import WAIT_S_MAX, GatewayProcess
from tests.upstream.fake import FakeUpstream

OWN = "output_cost_per_image: 0.25"


@pytest.mark.parametrize("name", ["gpt-image-2", "my-image"])
def test_an_own_price_outlives_the_process(
    upstream: FakeUpstream, tmp_path: Path, name: str
) -> None:
    upstream.reply("hold")
    with GatewayProcess(tmp_path, upstream.v1, model=f"openai/{name}, {OWN}") as gateway:
        caller = threading.Thread(target=ask, args=(gateway,))
        caller.start()
        upstream.wait_held()
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
            database.execute("BEGIN IMMEDIATE")  # so that the settlement has to wait
            upstream.release()
            upstream.wait_finished()
            gateway.wait_read(urlsplit(upstream.url).port or 0)
            gateway.kill()
        caller.join(WAIT_S_MAX)
        assert gateway.rows("SELECT state, cost_e10 FROM attempts") == [("dispatched", None)]
    with GatewayProcess(tmp_path, upstream.v1, model=f"openai/{name}") as gateway:
        gateway.wait_settled()
        assert gateway.rows("SELECT state, cost_e10 FROM attempts") == [("settled", 25 * 10**8)]


def ask(gateway: GatewayProcess) -> None:
    with contextlib.suppress(OSError, ValueError):
        gateway.generate("a fox")
