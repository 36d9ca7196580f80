"""kill -9 amid a call in parts: each part ends by what had arrived of it, and the call by all."""

import contextlib
import http.client
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.faults.process import TRIES_MAX, WAIT_S_MAX, GatewayProcess
from tests.upstream.fake import FakeUpstream

SOLO = "openai/gpt-image-2, base_model: openai/dall-e-3"  # it makes one image at a time


@pytest.mark.parametrize("retention_s", [0, 3600])
def test_each_part_ends_by_what_had_arrived_of_it(
    retention_s: int, upstream: FakeUpstream, tmp_path: Path
) -> None:
    for mode in ("ok", "hold", "ok", "status:moderation"):
        upstream.reply(mode)
    options: dict[str, Any] = {"model": SOLO, "retention_s": retention_s}
    with GatewayProcess(tmp_path, upstream.v1, **options) as gateway:
        caller = threading.Thread(target=ask, args=(gateway,))
        caller.start()
        upstream.wait_received(4)
        finished = upstream.wait_finished(3)
        gateway.wait_read(urlsplit(upstream.url).port or 0)
        gateway.kill()
        caller.join(WAIT_S_MAX)
    with GatewayProcess(tmp_path, upstream.v1, **options) as gateway:
        gateway.wait_settled()
        for _ in range(TRIES_MAX):
            gateway.turn()
            if len(gateway.rows("SELECT id FROM assets")) == 2:
                break
        assert sorted(gateway.attempt_states()) == ["refused", "settled", "settled", "unknown"]
        assert gateway.rows("SELECT state FROM calls") == [("done",)]
        sent = {sha for record in finished for sha in record.answered_sha256}
        assert sent == gateway.kept_sha256()
        assert len(upstream.calls) == 4, "nothing is bought again"


def ask(gateway: GatewayProcess) -> None:
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        gateway.generate("a fox", n=4)
