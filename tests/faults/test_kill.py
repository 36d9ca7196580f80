"""kill -9 of the gateway: every answer that had reached it is adopted at the next start."""

import base64
import contextlib
import hashlib
import http.client
import random
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.process import WAIT_S_MAX, GatewayProcess
from tests.upstream.fake import FakeUpstream

MODES = ("ok", "ok", "ok", "hold", "hold_body", "chunked")


@pytest.mark.parametrize("seed", range(20))
def test_what_had_arrived_is_adopted(seed: int, upstream: FakeUpstream, tmp_path: Path) -> None:
    chance = random.Random(seed)
    modes = chance.sample(MODES, len(MODES))
    for mode in modes:
        upstream.reply(mode)
    received: set[str] = set()
    retention_s = chance.choice((0, 3600))
    with GatewayProcess(tmp_path, upstream.v1, retention_s=retention_s) as gateway:
        callers = [
            threading.Thread(target=ask, args=(gateway, f"{kind_of(chance)} {n}", received))
            for n in range(len(modes))
        ]
        for caller in callers:
            caller.start()
        finished = upstream.wait_finished(chance.randint(1, 4))
        upstream.wait_received(len(modes))
        gateway.wait_read(urlsplit(upstream.url).port or 0)
        gateway.kill()
        for caller in callers:
            caller.join(WAIT_S_MAX)
    with GatewayProcess(tmp_path, upstream.v1, retention_s=retention_s) as gateway:
        gateway.wait_settled()
        gateway.turn()
        sent = {sha for record in finished for sha in record.answered_sha256}
        assert sent <= gateway.kept_sha256() | received
        states = gateway.attempt_states()
        assert set(states) <= {"settled", "unknown"}
        assert states.count("settled") >= len(finished)
        ids = {found for (found,) in gateway.rows("SELECT upstream_request_id FROM attempts")}
        assert {f"req_{record.number:032x}" for record in finished} <= ids
        assert len(upstream.calls) == len(modes), "nothing is bought again"


def kind_of(chance: random.Random) -> str:
    return chance.choice(("[picture=tiny]", "[picture=medium]"))


def ask(gateway: GatewayProcess, prompt: str, received: set[str]) -> None:
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        for image in gateway.generate(prompt)["data"]:
            received.add(hashlib.sha256(base64.b64decode(image["b64_json"])).hexdigest())
