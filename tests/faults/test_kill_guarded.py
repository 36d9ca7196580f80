"""kill -9 between an image and its guardrail's verdict: the image is kept, and shown to nobody."""

import threading
from pathlib import Path

from tests.faults.process import GatewayProcess
from tests.faults.test_kill import ask
from tests.sinks.receivers import PostServer
from tests.upstream.fake import FakeUpstream

GUARDRAIL = """
guardrails:
  - guardrail_name: slow
    litellm_params:
      {{guardrail: http, mode: post_call, default_on: true, api_base: "{url}", deadline_s: 100}}
"""


def guarded(folder: Path, upstream: FakeUpstream, service: PostServer) -> GatewayProcess:
    process = GatewayProcess(folder, upstream.v1)
    with (folder / "config.yaml").open("a") as file:
        file.write(GUARDRAIL.format(url=service.url))
    return process


def test_what_nobody_had_looked_at_stays_held(upstream: FakeUpstream, tmp_path: Path) -> None:
    with PostServer(hangs=True) as service:
        with guarded(tmp_path, upstream, service) as gateway:
            caller = threading.Thread(target=ask, args=(gateway, "[picture=medium]", set()))
            caller.start()
            service.wait()
            gateway.kill()
            caller.join()
        with guarded(tmp_path, upstream, service) as gateway:
            gateway.wait_settled()
            ((file,),) = gateway.rows("SELECT file FROM assets")
            assert file.startswith("held/")
            assert gateway.rows("SELECT state, error_code FROM attempts") == [
                ("settled", "guardrail_unchecked")
            ]
            sent = {sha for record in upstream.bill for sha in record.answered_sha256}
            assert gateway.kept_sha256() == sent
            ((call_id,),) = gateway.rows("SELECT id FROM calls")
            status, call = gateway.get(f"/v1/images/calls/{call_id}")
            assert (status, call["error"]["code"]) == (200, "content_policy_violation")
            assert call["images"] == []
