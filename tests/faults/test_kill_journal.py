"""kill -9, and the folder of the dead process is gone: then nobody knows what was bought."""

import contextlib
import shutil
import threading
from pathlib import Path

from tests.faults.process import WAIT_S_MAX, GatewayProcess
from tests.upstream.fake import FakeUpstream


def test_without_a_journal_nothing_is_called_unsent(upstream: FakeUpstream, tmp_path: Path) -> None:
    upstream.reply("hold")
    with GatewayProcess(tmp_path, upstream.v1) as gateway:
        caller = threading.Thread(target=ask, args=(gateway,))
        caller.start()
        upstream.wait_held()
        gateway.kill()
        caller.join(WAIT_S_MAX)
    shutil.rmtree(tmp_path / "assets")
    with GatewayProcess(tmp_path, upstream.v1) as gateway:
        gateway.wait_settled()
        assert gateway.rows("SELECT state, cost_e10 FROM attempts") == [("unknown", None)]


def ask(gateway: GatewayProcess) -> None:
    with contextlib.suppress(OSError, ValueError):
        gateway.generate("a fox")
