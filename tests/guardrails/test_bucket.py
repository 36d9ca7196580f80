"""An image that a guardrail holds moves to the bucket as well, apart, and is told to nobody."""

import json
from pathlib import Path

from imagegate.config.load import load_settings
from tests.gateway.running import RunningGateway
from tests.gateway.test_bucket import wait_moved
from tests.guardrails.test_services import HTTP
from tests.s3 import PREFIX, S3
from tests.sinks.receivers import PostServer


def test_a_held_image_stays_held_in_the_bucket(config, s3: S3, tmp_path: Path) -> None:
    s3.create()
    with PostServer() as service:
        service.answer = json.dumps({"action": "hold", "category": "violence"}).encode()
        file = config(HTTP.format(mode="post_call", url=service.url, more=""))
        file.write_text(
            file.read_text().replace(f"{tmp_path}/data}}", f"{tmp_path}/data{s3.config}}}")
        )
        with RunningGateway(load_settings(str(file))) as gateway:
            call_id = gateway.generate().headers["x-imagegate-call-id"]
            wait_moved(gateway, tmp_path)
            (name,) = s3.names()
            assert name.startswith(f"{PREFIX}/held/img_")
            call = gateway.get(f"/v1/images/calls/{call_id}").json()
            assert call["images"] == []
            links = gateway.gateway.runtime.tools.links
            path = links.path_of(Path(name).stem, "image/png", expires_at=4_000_000_000)
            assert gateway.get(path).error["code"] == "image_not_found"
