"""A gateway as a user starts it: `imagegate serve --config FILE --port 0`, in its own process."""

import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Self

START_S_MAX = 30.0
STOP_S_MAX = 30.0
READY = "imagegate is ready at "
COMMAND = (sys.executable, "-m", "imagegate", "serve", "--port", "0")


class ServedGateway:
    """The process, until the `with` block ends. `folder` gets its files and its log."""

    def __init__(self, config: str, folder: Path, **env: str) -> None:
        self._folder = folder
        self._config = folder / "config.yaml"
        self._config.write_text(config)
        self._env = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), **env}
        self._lines: queue.Queue[str] = queue.Queue()
        self._process: subprocess.Popen[str]
        self.url = ""

    def __enter__(self) -> Self:
        with (self._folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [*COMMAND, "--config", str(self._config)],
                cwd=self._folder,
                env=self._env,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,))
        self._reader.start()
        try:
            self.url = self._wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_S_MAX)
        self._reader.join(STOP_S_MAX)

    @property
    def log(self) -> str:
        """What the process has written to stderr."""
        return (self._folder / "log").read_text()

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._lines.put(line)
        self._lines.put("")

    def _wait_ready(self) -> str:
        while line := self._lines.get(timeout=START_S_MAX):
            if line.startswith(READY):
                return line.removeprefix(READY).strip()
        raise RuntimeError(f"the gateway ended: {self.log}")
