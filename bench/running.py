"""Processes of the benchmark: each pinned to its CPU, each stopped by its id."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.contenders import ROOT, Contender, environment_of
from bench.measure import GATEWAY_CPU, LOAD_CPU, cpus, tree

READY_S_MAX = 30.0
STOP_S_MAX = 10.0


class StartError(Exception):
    """A contender did not come up; the message ends with its last words."""


def free_port() -> int:
    """Return a port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Upstream:
    """The fake upstream's process, on the CPU of the load, until the `with` block ends."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.upstream"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus(LOAD_CPU)),
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate(timeout=STOP_S_MAX)


class Gateway:
    """A contender that runs. For `direct` there is no process: its port is the upstream's."""

    def __init__(self, contender: Contender, upstream_port: int, folder: Path) -> None:
        self.contender = contender
        self.upstream_port = upstream_port
        self.port = upstream_port
        self.ready_s = 0.0
        self._parent = folder
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Return the root of its tree of processes."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it in a folder of its own and wait until it answers. Raises StartError."""
        if self.contender.prepare is None:
            return
        self._folder = Path(tempfile.mkdtemp(prefix=f"{self.contender.name}-", dir=self._parent))
        # nginx started by root serves as another user, who must be let in.
        self._folder.chmod(0o755)
        self.port = free_port()
        command = self.contender.prepare(self._folder, self.upstream_port, self.port)
        begin = time.perf_counter()
        with (self._folder / "output.log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=environment_of(self.contender, self._folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cpus(GATEWAY_CPU)),
            )
        await self._wait_ready(begin)
        self.ready_s = time.perf_counter() - begin

    async def _wait_ready(self, begin: float) -> None:
        assert self._process is not None
        while time.perf_counter() - begin < READY_S_MAX:
            if self._process.poll() is not None:
                words = f"ended with {self._process.returncode}: {self._last_words()}"
                await self.stop()
                raise StartError(words)
            if await self._answers():
                return
            await asyncio.sleep(0.01)
        words = self._last_words()
        await self.stop()
        raise StartError(f"not ready after {READY_S_MAX:g} s: {words}")

    async def _answers(self) -> bool:
        request = f"GET {self.contender.ready_path} HTTP/1.0\r\nhost: 127.0.0.1:{self.port}\r\n\r\n"
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            writer.write(request.encode())
            head = await asyncio.wait_for(reader.readline(), 5)
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()
        # Any answer but a 5xx: nginx and Portkey have no path of their own for this.
        return head.startswith(b"HTTP/1.") and head.split(b" ")[1] < b"500"

    def _last_words(self) -> str:
        assert self._folder is not None
        log = (self._folder / "output.log").read_text(errors="replace").strip()
        return " / ".join(log.splitlines()[-3:]) or "without a word"

    async def stop(self) -> None:
        """Stop its processes by their ids and remove its folder."""
        if self._process is not None:
            await asyncio.to_thread(self._stop_tree, self._process)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._process = self._folder = None

    def _stop_tree(self, process: subprocess.Popen[bytes]) -> None:
        pids = tree(process.pid)
        process.send_signal(signal.SIGINT)  # at once: no balancer needs notice
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S_MAX)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(STOP_S_MAX)

    async def restart(self) -> None:
        """Stop and start it anew."""
        await self.stop()
        await self.start()
