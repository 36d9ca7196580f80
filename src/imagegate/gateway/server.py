"""Starts and stops the gateway's process: socket, event loop, signals, drain."""

import asyncio
import ctypes
import errno
import gc
import logging
import os
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
from imagegate.gateway.protocol import protocol_for
from imagegate.runtime.assemble import open_runtime
from imagegate.runtime.reload import Reloader

KEEP_ALIVE_S = 120  # longer than a load balancer's 60 to 75 s, so that it closes first, never we
BACKLOG = 2048
CLOSE = (b"connection", b"close")
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


def serve(
    settings: Settings,
    *,
    on_ready: Callable[[str], None],
    load: Callable[[], Settings] | None = None,
) -> int:
    """Serve until SIGINT or SIGTERM, then drain; return the process's exit code.

    By `load` the settings are read anew at SIGHUP, and when one of their files changes. `on_ready`
    gets the address (`http://127.0.0.1:4000`) once requests are taken. Exit codes: 0
    when all calls have ended, 130 where a second signal or `drain_s` left some to the next start.
    Raises `ConfigError` where the address cannot be had.
    """
    tune_allocator()
    listener = bind(settings.server)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(run_server(settings, listener, on_ready, load))
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
    settings: Settings,
    listener: socket.socket,
    on_ready: Callable[[str], None],
    load: Callable[[], Settings] | None = None,
) -> int:
    """Serve on `listener` until told to stop; return the exit code."""
    runtime = await open_runtime(settings, embedded=False)
    try:
        gateway = Gateway(runtime)
        server = GatewayServer(gateway, listener, on_ready)
        if load is not None:
            gateway.reloader = Reloader(runtime, load)
            runtime.background.append(asyncio.create_task(gateway.reloader.watch_forever()))
            reload_at_hangup(gateway.reloader, server)
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
                http=protocol_for(gateway.runtime.settings.server.docs_url),
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
        self._notice_until_s = 0.0
        self._drain_until_s = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, then say where."""
        await super().startup(sockets)
        tune_collector()
        logger.info(telemetry.SERVER_READY, extra={"url": self._url})
        self._on_ready(self._url)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Begin to leave at the first signal; each further one shortens it by a stage.

        SIGTERM comes from a service manager, before which a balancer may stand: it is given
        notice. Ctrl-C comes from a person, who waits for running calls and for nothing else.
        """
        traffic = self._gateway.traffic
        if traffic.stage == "draining":
            self._leave_now()
        elif traffic.stage == "leaving":
            traffic.stage = "draining"
        else:
            self._begin_to_leave(has_notice=sig == signal.SIGTERM)
        if sig == signal.SIGINT and traffic.running_count and not self.should_exit:
            _say(f"Calls still running: {traffic.running_count}. Ctrl-C again leaves at once.")

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop; asked ten times a second."""
        traffic = self._gateway.traffic
        if traffic.stage == "leaving" and clock.monotonic_s() >= self._notice_until_s:
            traffic.stage = "draining"
        if traffic.stage == "draining" and self._is_drained():
            self.should_exit = True
        return await super().on_tick(counter)

    def _begin_to_leave(self, *, has_notice: bool) -> None:
        traffic, settings = self._gateway.traffic, self._gateway.runtime.settings
        notice_s = settings.server.drain_notice_s if has_notice else 0.0
        traffic.stage = "leaving" if notice_s else "draining"
        self._notice_until_s = clock.monotonic_s() + notice_s
        self._drain_until_s = self._notice_until_s + drain_s(settings)
        self._close_behind_answers()
        told = {"calls": traffic.running_count, "notice_s": notice_s}
        logger.info(telemetry.SERVER_LEAVING, extra=told)

    def _close_behind_answers(self) -> None:
        """Let each answer from now on say that its connection ends with it."""
        self.config.encoded_headers = [*self.config.encoded_headers, CLOSE]
        self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]
        for connection in self.server_state.connections:
            cycle = getattr(connection, "cycle", None)
            # It took its headers when its request came. A head that is out cannot say it any more:
            # then the connection stays, and says it with its next answer.
            if cycle is not None and not cycle.response_started:
                cycle.keep_alive = False

    def _is_drained(self) -> bool:
        if clock.monotonic_s() < self._drain_until_s:
            return not self._gateway.traffic.running_count
        self.force_exit = True  # else uvicorn would wait for the last connection without a limit
        return True

    def _leave_now(self) -> None:
        self.force_exit = self.should_exit = True
        if self._gateway.traffic.running_count:
            _say("Leaving now. Calls that were sent upstream are recovered at the next start.")


def reload_at_hangup(reloader: Reloader, server: GatewayServer) -> None:
    """Read the configuration at SIGHUP; where the signal says that our terminal is gone, leave."""
    reloads: set[asyncio.Task[None]] = set()  # the loop alone does not keep a task alive
    was_on_terminal = _is_on_terminal()

    def hang_up() -> None:
        if was_on_terminal and not _is_on_terminal():
            server.handle_exit(signal.SIGINT, None)
            return
        task = asyncio.create_task(reloader.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hang_up)


def _is_on_terminal() -> bool:
    try:
        os.tcgetpgrp(0)
    except OSError:
        return False
    return True


def drain_s(settings: Settings) -> float:
    """Return how long calls may take to end: as configured, else what the longest may take."""
    if settings.server.drain_s is not None:
        return settings.server.drain_s
    return max(one.timeout_s for one in settings.deployments) + settings.late_s


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
