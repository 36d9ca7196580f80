"""kill -9 while a job is polled: the next start goes on asking, and never submits again."""

import threading
from pathlib import Path

import pytest

from tests.faults.process import WAIT_S_MAX, GatewayProcess
from tests.faults.test_kill import ask
from tests.upstream.fake import FakeUpstream

MODEL = "black_forest_labs/flux-2-pro"


@pytest.mark.parametrize("polls", [1, 3])
def test_a_job_is_followed_after_a_kill(polls: int, upstream: FakeUpstream, tmp_path: Path) -> None:
    killed_while_polling(upstream, tmp_path, polls)
    upstream.end_jobs("Ready")
    with GatewayProcess(tmp_path, upstream.url, model=MODEL) as gateway:
        gateway.wait_settled()
        submits = [record for record in upstream.bill if record.method == "POST"]
        assert len(submits) == 1, "nothing is bought again"
        assert gateway.kept_sha256() == set(submits[0].answered_sha256)
        assert gateway.attempt_states() == ["settled"]
        assert gateway.rows("SELECT state FROM calls") == [("done",)]
        assert gateway.rows("SELECT cost_e10 FROM attempts") == [(300_000_000,)]
        asked = [record for record in upstream.bill if record.path == "/v1/get_result"]
        assert {record.headers.get("x-key") for record in asked} == {"sk-test-upstream"}


def test_a_job_that_is_refused_after_a_kill_costs_nothing(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    killed_while_polling(upstream, tmp_path, 1)
    upstream.end_jobs("Content Moderated")
    with GatewayProcess(tmp_path, upstream.url, model=MODEL) as gateway:
        gateway.wait_settled()
        assert gateway.attempt_states() == ["refused"]
        assert gateway.rows("SELECT error_code FROM attempts") == [("moderation_blocked",)]


def test_a_job_whose_deployment_is_gone_stays_unknown(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    killed_while_polling(upstream, tmp_path, 1)
    upstream.end_jobs("Ready")
    asked = len(upstream.bill)
    with GatewayProcess(tmp_path, upstream.v1) as gateway:
        gateway.wait_settled()
        assert gateway.attempt_states() == ["unknown"]
        assert len(upstream.bill) == asked


def killed_while_polling(upstream: FakeUpstream, folder: Path, polls: int) -> None:
    with GatewayProcess(folder, upstream.url, model=MODEL) as gateway:
        caller = threading.Thread(target=ask, args=(gateway, "a lake", set()))
        caller.start()
        upstream.wait_received(1 + polls)
        gateway.kill()
        caller.join(WAIT_S_MAX)
