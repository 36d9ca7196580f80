"""kill -9 while a call with a key is under way: the same key asks again, and buys nothing."""

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.process import GatewayProcess
from tests.upstream.fake import FakeUpstream

COUNT = 50


@pytest.mark.parametrize("mode", ["ok", "hold", "hold_body"])
def test_a_key_outlives_a_kill(mode: str, upstream: FakeUpstream, tmp_path: Path) -> None:
    upstream.reply(mode)
    with GatewayProcess(tmp_path, upstream.v1) as gateway:
        caller = threading.Thread(target=ask, args=(gateway,))
        caller.start()
        upstream.wait_received()
        if mode == "ok":
            upstream.wait_finished()
        else:
            upstream.wait_held()
        gateway.wait_read(urlsplit(upstream.url).port or 0)
        gateway.kill()
        caller.join()
    with GatewayProcess(tmp_path, upstream.v1) as gateway:
        with ThreadPoolExecutor(COUNT) as pool:
            asked = [pool.submit(gateway.generate, "fox", "one") for _ in range(COUNT)]
            answers = [json.dumps(one.result(), sort_keys=True) for one in asked]
        assert len(set(answers)) == 1
        assert ("data" in json.loads(answers[0])) == (mode == "ok")
    assert len(upstream.calls) == 1


def ask(gateway: GatewayProcess) -> None:
    with contextlib.suppress(OSError, ValueError):
        gateway.generate("fox", "one")
