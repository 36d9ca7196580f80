"""A real gateway on a free port of loopback, in a thread of the test's own process."""

import asyncio
import http.client
import json
import queue
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Self

import msgspec

from imagegate.config.settings import Settings
from imagegate.gateway.app import Gateway
from imagegate.gateway.server import GatewayServer, bind
from imagegate.runtime.assemble import open_runtime
from imagegate.runtime.reload import Reloader

WAIT_S_MAX = 20.0


class Answer(msgspec.Struct, frozen=True):
    """What came back: the status, the headers (lower case) and the whole body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """Return OpenAI's error object."""
        error: dict[str, Any] = self.json()["error"]
        return error

    @property
    def events(self) -> list[tuple[str, Any]]:
        """Return the events of a stream, comments left out, by name."""
        frames = self.body.decode().removesuffix("\n\n").split("\n\n")
        return [_event(frame) for frame in frames if frame and not frame.startswith(":")]


class RunningGateway:
    """A gateway over `settings`, until the `with` block ends; used from the test's thread.

    `reload` serves other settings. Nobody needs notice of a stop unless a test gives `notice_s`.
    """

    def __init__(self, settings: Settings, *, notice_s: float = 0.0) -> None:
        self._settings: Settings | None = settings
        self._notice_s = notice_s
        self._load: Callable[[], Settings]
        self._ready: queue.Queue[object] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)
        self.server: GatewayServer
        self.gateway: Gateway
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        result = self._ready.get(timeout=WAIT_S_MAX)
        if isinstance(result, BaseException):
            raise result
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(WAIT_S_MAX)
        assert not self._thread.is_alive()

    def reload(self, load: Callable[[], Settings]) -> None:
        """Serve what `load` returns, as at SIGHUP, where it can be served."""
        assert self.gateway.reloader is not None
        self._load = load
        reloading = self.gateway.reloader.reload()
        asyncio.run_coroutine_threadsafe(reloading, self._loop).result(WAIT_S_MAX)

    def stop(self) -> None:
        """Send what a service manager sends."""
        self.server.handle_exit(signal.SIGTERM, None)

    def wait_stopped(self) -> None:
        """Return when the process would have ended."""
        self._thread.join(WAIT_S_MAX)
        assert not self._thread.is_alive()

    @property
    def url(self) -> str:
        """Return the address of this gateway."""
        return f"http://127.0.0.1:{self.port}"

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request on a new connection; an iterable body goes out chunked."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S_MAX)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        """GET `path`; `_` in the name of a header is `-`."""
        return self.request("GET", path, None, _names(headers))

    def post(self, path: str, call: object, **headers: str) -> Answer:
        """POST `call` as JSON, or as it is where it is bytes."""
        body = call if isinstance(call, bytes) else json.dumps(call).encode()
        return self.request(
            "POST", path, body, {"content-type": "application/json"} | _names(headers)
        )

    def generate(self, **fields: Any) -> Answer:
        """Ask for an image with the fields given over a call that is fine."""
        return self.post("/v1/images/generations", {"model": "img", "prompt": "a fox"} | fields)

    def edit(self, *parts: "Part", **headers: str) -> Answer:
        """Send a form to the edits route."""
        body, content_type = form(*parts)
        sent = {"content-type": content_type} | _names(headers)
        return self.request("POST", "/v1/images/edits", body, sent)

    def send_raw(self, data: bytes) -> bytes:
        """Send bytes on a new connection; return what came until the gateway closed it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S_MAX) as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._ready.put(error)
            raise

    def run(self, work: Coroutine[Any, Any, object]) -> None:
        """Run what belongs to the gateway's event loop there, to its end."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S_MAX)

    def _here(self, settings: Settings) -> Settings:
        server = settings.server
        server = msgspec.structs.replace(server, port=0, drain_notice_s=self._notice_s)
        return msgspec.structs.replace(settings, server=server)

    def _take_settings(self) -> Settings:
        assert self._settings is not None
        settings, self._settings = self._here(self._settings), None  # they may be replaced
        return settings

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        runtime = await open_runtime(self._take_settings(), embedded=False)
        with bind(runtime.settings.server) as listener:
            self.port = listener.getsockname()[1]
            self.gateway = Gateway(runtime)
            self.gateway.reloader = Reloader(runtime, lambda: self._here(self._load()))
            self.server = GatewayServer(self.gateway, listener, self._ready.put)
            try:
                await self.server.serve(sockets=[listener])
            finally:
                await runtime.aclose()


class Part(msgspec.Struct, frozen=True):
    """A part of a form; with a file name it is a file."""

    name: str
    value: bytes | str
    filename: str | None = None

    def build(self) -> bytes:
        tail = "" if self.filename is None else f'; filename="{self.filename}"'
        head = f'Content-Disposition: form-data; name="{self.name}"{tail}\r\n\r\n'
        value = self.value.encode() if isinstance(self.value, str) else self.value
        return head.encode() + value


def form(*parts: Part, boundary: str = "a-boundary") -> tuple[bytes, str]:
    """Return a form and its content type."""
    body = b"".join(b"--%s\r\n%s\r\n" % (boundary.encode(), part.build()) for part in parts)
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def _names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def _event(frame: str) -> tuple[str, Any]:
    name, data = frame.split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))
