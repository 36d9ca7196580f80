"""A job API like Black Forest Labs': a submit names a url to poll, the last poll names an image."""

import json
from collections.abc import Callable

from tests.upstream.answers import Answer
from tests.upstream.bill import Record
from tests.upstream.pictures import picture

SUBMIT = "/v1/flux-"
POLL = "/v1/get_result"


class Jobs:
    """All jobs. They wait until `status` is set to what they end with."""

    def __init__(self, serve: Callable[[bytes, str], str]) -> None:
        self._serve = serve
        self._images: dict[str, bytes] = {}
        self.status = "Pending"

    def answer(self, record: Record, body: bytes, port: int) -> Answer | None:
        """Return the answer, None where it is no route of this API."""
        if record.method == "POST" and record.path.startswith(SUBMIT):
            return self._submit(record, body, f"http://127.0.0.1:{port}{POLL}")
        if record.method == "GET" and record.path == POLL:
            return self._poll(record.query.get("id", ""))
        return None

    def _submit(self, record: Record, body: bytes, url: str) -> Answer:
        record.json = json.loads(body)
        name = f"job-{len(self._images) + 1}"
        image = self._images[name] = picture(record.json["prompt"])
        text = json.dumps({"id": name, "polling_url": f"{url}?id={name}", "cost": 3})
        return Answer(body=text.encode(), images=(image,), images_billed=1)

    def _poll(self, name: str) -> Answer:
        image = self._images.get(name)
        if image is None:
            return Answer(status=404, body=b'{"status":"Task not found"}', billed=False)
        result = {"sample": self._serve(image, "png")} if self.status == "Ready" else None
        text = json.dumps({"id": name, "status": self.status, "result": result})
        return Answer(body=text.encode(), billed=False)
