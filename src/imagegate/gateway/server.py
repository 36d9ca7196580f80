"""Starts and stops the gateway's process: socket, event loop, signals, drain."""

import asyncio
import ctypes
import errno
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn

from imagegate import clock, telemetry
from imagegate.config.settings import ServerSettings, Settings
from imagegate.errors import ConfigError
from imagegate.gateway.app import Gateway, build_app
from imagegate.gateway.protocol import GatewayProtocol
from imagegate.runtime.assemble import open_runtime

KEEP_ALIVE_S = 120  # longer than a load balancer's 60 to 75 s, so that it closes first, never we
BACKLOG = 2048
EXIT_DRAINED = 0
EXIT_FORCED = 130
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MALLOC_BYTES = 32 * 1024 * 1024
_COLLECT_AFTER_OBJECTS = 10_000
_BIND_ADVICE = {
    errno.EADDRINUSE: "something listens there already; stop it or choose another --port",
    errno.EACCES: "this user may not listen there; choose a --port above 1023",
    errno.EADDRNOTAVAIL: "this machine has no such address; choose another --host",
}

logger = logging.getLogger(telemetry.LOGGER)


def serve(settings: Settings, *, on_ready: Callable[[str], None]) -> int:
    """Serve until SIGINT or SIGTERM, then drain; return the process's exit code.

    `on_ready` gets the address (`http://127.0.0.1:4000`) once requests are taken. Exit codes: 0
    when all calls have ended, 130 where a second signal or `drain_s` left some to the next start.
    Raises `ConfigError` where the address cannot be had.
    """
    tune_allocator()
    listener = bind(settings.server)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(run_server(settings, listener, on_ready))
    finally:
        listener.close()


def bind(settings: ServerSettings) -> socket.socket:
    """Return a listening socket. Raises `ConfigError` that names the address and what to do."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    address = (settings.host, settings.port)
    try:
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        advice = _BIND_ADVICE.get(error.errno or 0, f"{error.strerror}; check --host and --port")
        raise ConfigError(
            f"Cannot listen on {settings.host} port {settings.port}: {advice}."
        ) from error


async def run_server(
    settings: Settings, listener: socket.socket, on_ready: Callable[[str], None]
) -> int:
    """Serve on `listener` until told to stop; return the exit code."""
    runtime = await open_runtime(settings, embedded=False)
    try:
        server = GatewayServer(Gateway(runtime), listener, on_ready)
        await server.serve(sockets=[listener])
    finally:
        await runtime.aclose()
    logger.info(telemetry.SERVER_STOPPED)
    return EXIT_FORCED if server.force_exit else EXIT_DRAINED


class GatewayServer(uvicorn.Server):
    """uvicorn, which on a signal goes on listening until the running calls have ended.

    A balancer that polls `/readyz` sees 503 before the port closes; new calls are refused with a
    status that makes clients come again.
    """

    def __init__(
        self, gateway: Gateway, listener: socket.socket, on_ready: Callable[[str], None]
    ) -> None:
        super().__init__(
            uvicorn.Config(
                build_app(gateway),
                http=GatewayProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                backlog=BACKLOG,
            )
        )
        self._gateway = gateway
        self._url = url_of(listener)
        self._on_ready = on_ready
        self._drain_until_s = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, then say where."""
        await super().startup(sockets)
        tune_collector()
        logger.info(telemetry.SERVER_READY, extra={"url": self._url})
        self._on_ready(self._url)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Begin the drain at the first signal; leave at once at the second."""
        if self._gateway.is_draining:
            self.force_exit = self.should_exit = True
            _say("Leaving now. Calls that were sent upstream are recovered at the next start.")
            return
        self._gateway.start_drain()
        self._drain_until_s = clock.monotonic_s() + self._gateway.runtime.settings.server.drain_s
        if self._gateway.running_count and sig == signal.SIGINT:
            _say(
                f"Calls still running: {self._gateway.running_count}. Ctrl-C again leaves at once."
            )

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop; asked ten times a second."""
        if self._gateway.is_draining and self._is_drained():
            self.should_exit = True
        return await super().on_tick(counter)

    def _is_drained(self) -> bool:
        if clock.monotonic_s() < self._drain_until_s:
            return not self._gateway.running_count
        self.force_exit = True  # else uvicorn would wait for the last connection without a limit
        return True


def url_of(listener: socket.socket) -> str:
    """Return the address under which a listening socket is reached from this host."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - it is compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def tune_allocator() -> None:
    """Let glibc reuse the pages of large buffers instead of asking the kernel for each one.

    Takes a quarter off the CPU time of 1.5 MB bodies. Elsewhere it does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(_M_MMAP_THRESHOLD, _MALLOC_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _MALLOC_BYTES)


def tune_collector() -> None:
    """Keep the garbage collector off what lives as long as the process.

    Calls make few cycles and many objects; at the default threshold their traces through all
    loaded modules cost as much as a tenth of a small call.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS, 20, 50)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # it is not made for Windows
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _say(text: str) -> None:
    sys.stderr.write(f"\n{text}\n")
    sys.stderr.flush()
