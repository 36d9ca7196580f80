"""The SDK against a Bedrock of our own: settings by LiteLLM's names, whole requests on the wire."""

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from PIL import Image

import imagegate


def png(mode: str, colour: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (128, 96), colour).save(file, "PNG")
    return file.getvalue()


RED = png("RGB", (255, 0, 0))
CLEAR = png("RGBA", (0, 0, 0, 0))


class Bedrock(BaseHTTPRequestHandler):
    """Answers each request with a red image, and keeps what came."""

    seen: ClassVar[list[tuple[str, str, dict[str, Any]]]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.seen.append((self.path, self.headers["authorization"], body))
        image = base64.b64encode(RED).decode()
        answer = json.dumps({"seeds": [1], "finish_reasons": [None], "images": [image]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class Place:
    """A server, and the settings that lead there."""

    def __init__(self, server: ThreadingHTTPServer, handler: type[Bedrock]) -> None:
        self.seen = handler.seen
        self.settings = {
            "aws_bedrock_runtime_endpoint": f"http://127.0.0.1:{server.server_port}",
            "aws_region_name": "us-west-2",
            "aws_access_key_id": "AKIDEXAMPLE",
            "aws_secret_access_key": "s-canary-test",
        }


@pytest.fixture
def place() -> Iterator[Place]:
    handler = type("Handler", (Bedrock,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Place(server, handler)
    server.shutdown()
    thread.join()
    server.server_close()


def test_two_images_are_two_requests(place: Place) -> None:
    result = imagegate.image_generation(
        prompt="a red circle",
        model="bedrock/stability.sd3-5-large-v1:0",
        n=2,
        seed=5,
        size="1024x1024",
        **place.settings,
    )
    assert len(result.data) == 2
    assert str(result.cost_usd) == "0.16"
    assert sorted(body["seed"] for _, _, body in place.seen) == [5, 6]
    for path, authorization, body in place.seen:
        assert path == "/model/stability.sd3-5-large-v1%3A0/invoke"
        assert authorization.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
        assert "canary" not in authorization + json.dumps(body)
        assert body.keys() == {"prompt", "aspect_ratio", "seed"}


def test_a_mask_comes_white_where_it_was_clear(place: Place) -> None:
    imagegate.image_edit(
        image=RED,
        mask=CLEAR,
        prompt="a blue hat",
        model="bedrock/stability.stable-image-inpaint-v1:0",
        grow_mask=7,
        **place.settings,
    )
    ((path, _, body),) = place.seen
    assert path == "/model/us.stability.stable-image-inpaint-v1%3A0/invoke"
    assert body["grow_mask"] == 7
    with Image.open(io.BytesIO(base64.b64decode(body["mask"]))) as mask:
        assert (mask.mode, mask.getextrema()) == ("L", (255, 255))


def test_a_bearer_key_signs_nothing(place: Place) -> None:
    settings = {name: value for name, value in place.settings.items() if "key" not in name}
    imagegate.image_generation(
        prompt="a red circle",
        model="bedrock/stability.stable-image-core-v1:1",
        api_key="k-test",
        **settings,
    )
    ((_, authorization, _),) = place.seen
    assert authorization == "Bearer k-test"
