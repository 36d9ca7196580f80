"""Clients that repeat a request by themselves, at their defaults: one purchase each."""

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import openai
import pytest
from openai import OpenAI

from tests.clients.conftest import KEY, OTHERS
from tests.clients.gateway import ServedGateway
from tests.clients.test_openai_node import RUN_S_MAX, SCRIPT, find_node
from tests.clients.test_openai_python import FLARE, hashes
from tests.upstream.fake import FakeUpstream

AMBIGUOUS = (
    "drop",
    "half_body",
    "status:500",
    "status:502",
    "status:504",
    "status:524",
    "empty_data",
    "wrong_base64",
)


@pytest.fixture
def gateway(upstream: FakeUpstream, tmp_path: Path) -> Iterator[str]:
    """Return the address of a gateway as it is without settings of ours.

    A new one for each test: a deployment that fails as often as here would rest.
    """
    folder = tmp_path
    config = OTHERS.format(upstream=upstream.url, key=KEY, folder=folder)
    config = "model_list:\n" + config.partition("attach_s:")[0]
    with ServedGateway(config, folder, AZURE_API_KEY="sk-test-azure-upstream") as served:
        yield served.url


@pytest.mark.parametrize("mode", AMBIGUOUS)
def test_openai_python(mode: str, gateway: str, upstream: FakeUpstream) -> None:
    upstream.always(mode)
    with OpenAI(base_url=f"{gateway}/v1", api_key=KEY) as client:
        for _ in range(2):
            with pytest.raises(openai.InternalServerError):
                client.images.generate(model=FLARE, prompt=f"python {mode}")
    assert len(upstream.calls) == 1


def test_openai_python_and_its_deadline(gateway: str, upstream: FakeUpstream) -> None:
    """The client gives up and asks again twice, while the first image is still in the making."""
    upstream.reply("hold")
    release = threading.Thread(target=release_after_three, args=(upstream,))
    with OpenAI(base_url=f"{gateway}/v1", api_key=KEY, timeout=0.5) as client:
        with pytest.raises(openai.APITimeoutError):
            client.images.generate(model=FLARE, prompt="python deadline")
        release.start()
        result = client.with_options(timeout=60).images.generate(
            model=FLARE, prompt="python deadline"
        )
    release.join()
    assert hashes(result.data) == upstream.calls[0].answered_sha256
    assert len(upstream.calls) == 1


def release_after_three(upstream: FakeUpstream) -> None:
    upstream.wait_held()
    upstream.release()


@pytest.mark.parametrize("mode", AMBIGUOUS)
def test_openai_node(mode: str, gateway: str, files: Path, upstream: FakeUpstream) -> None:
    upstream.always(mode)
    env = {"GATEWAY": gateway, "KEY": KEY, "FILES": str(files), "PROMPT": f"node {mode}"}
    command = [find_node(), str(SCRIPT), "generate"]
    env["PATH"] = os.environ["PATH"]
    done = subprocess.run(command, env=env, capture_output=True, timeout=RUN_S_MAX, check=True)
    assert json.loads(done.stdout)["error"] == "InternalServerError"
    assert len(upstream.calls) == 1


def test_answers_that_are_lost_on_the_way(gateway: str, upstream: FakeUpstream) -> None:
    """A proxy drops the first two answers; the third try gets the first image."""
    with (
        DroppingProxy(gateway, drops=2) as proxy,
        OpenAI(base_url=f"{proxy.url}/v1", api_key=KEY) as client,
    ):
        result = client.images.generate(model=FLARE, prompt="lost on the way")
    assert proxy.connections == 3
    assert hashes(result.data) == upstream.calls[0].answered_sha256
    assert len(upstream.calls) == 1


class DroppingProxy:
    """Passes connections on; of the first `drops` it takes the answer and passes none of it."""

    def __init__(self, gateway: str, drops: int) -> None:
        parts = urlsplit(gateway)
        self._target = (parts.hostname or "", parts.port or 0)
        self._drops = drops
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.connections = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with caller, socket.create_connection(self._target) as gateway:
                self._pass(caller, gateway, is_dropped=self.connections <= self._drops)

    def _pass(self, caller: socket.socket, gateway: socket.socket, *, is_dropped: bool) -> None:
        request = b""
        while b"\r\n\r\n" not in request or not request.endswith(b"}"):
            request += caller.recv(65536)
        gateway.sendall(request.replace(b"keep-alive", b"close", 1))
        while chunk := gateway.recv(65536):
            if not is_dropped:
                caller.sendall(chunk)
