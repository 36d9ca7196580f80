"""`imagegate serve` in a process of its own, as a user starts it, and what it left on disk."""

import base64
import contextlib
import hashlib
import http.client
import json
import re
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

WAIT_S_MAX = 20.0
TRIES_MAX = 20_000
READY = re.compile(r"http://127\.0\.0\.1:(\d+)")

CONFIG = """
model_list:
  - model_name: img
    litellm_params: {{model: {model}, api_base: "{upstream}", api_key: sk-test-upstream}}
assets: {{folder: "{assets}", retention_s: {retention_s}}}
database_url: "{ledger_url}"
server: {{drain_notice_s: {notice_s}}}
{extra}
"""


class GatewayProcess:
    """A gateway over one folder; `kill` ends it as a power cut does, `stop` as a manager does."""

    def __init__(
        self,
        folder: Path,
        upstream: str,
        *,
        model: str = "openai/gpt-image-2",
        retention_s: int = 3600,
        notice_s: float = 0,
        ledger_url: str = "",
        assets: Path | None = None,
        extra: str = "",
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        config = folder / "config.yaml"
        config.write_text(
            CONFIG.format(
                upstream=upstream,
                model=model,
                ledger_url=ledger_url or f"sqlite:///{folder}/ledger.db",
                assets=assets or folder / "assets",
                retention_s=retention_s,
                notice_s=notice_s,
                extra=extra,
            )
        )
        self.command = [sys.executable, "-m", "imagegate", "serve"]
        self.command += ["--config", str(config), "--port", "0"]
        self.process: subprocess.Popen[str]
        self.output: list[str] = []
        self.port = 0
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read_output)
        self._reader.start()
        self._ready.wait(WAIT_S_MAX)
        assert self.port, f"the gateway is not ready: {self.output}"
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self._end()

    def kill(self) -> None:
        """End it at once: no handler runs, nothing is flushed."""
        self.process.kill()
        self._end()

    def _end(self) -> None:
        self.process.wait(WAIT_S_MAX)
        self._reader.join(WAIT_S_MAX)

    def _read_output(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.output.append(line)
                if not self.port and (found := READY.search(line)):
                    self.port = int(found[1])
                    self._ready.set()
        self._ready.set()

    def generate(self, prompt: str, key: str = "", **fields: Any) -> dict[str, Any]:
        """Return the answer to one call; raises OSError where the gateway went away."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S_MAX)
        body = json.dumps({"model": "img", "prompt": prompt} | fields)
        headers = {"content-type": "application/json"}
        headers |= {"idempotency-key": key} if key else {}
        try:
            connection.request("POST", "/v1/images/generations", body, headers)
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return answer

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return status and JSON of what is at `path`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S_MAX)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def turn(self) -> None:
        """Return after the gateway's event loop has gone round: it answered a request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S_MAX)
        try:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        finally:
            connection.close()

    def wait_read(self, upstream_port: int) -> None:
        """Return when all that the upstream has sent is out of the kernel and in the gateway."""
        for _ in range(TRIES_MAX):
            self.turn()
            if not _unread_bytes(upstream_port):
                self.turn()
                return
        raise TimeoutError("the gateway does not read what the upstream sent")

    def wait_settled(self) -> None:
        """Return when no attempt is open any more."""
        for _ in range(TRIES_MAX):
            self.turn()
            if "dispatched" not in self.attempt_states():
                return
        raise TimeoutError("attempts stay open")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return what a query finds in the ledger."""
        with contextlib.closing(sqlite3.connect(self.folder / "ledger.db")) as ledger:
            return ledger.execute(query).fetchall()

    def attempt_states(self) -> list[str]:
        """Return the state of each attempt, in order."""
        return [state for (state,) in self.rows("SELECT state FROM attempts ORDER BY id")]

    def kept_sha256(self) -> set[str]:
        """Return the hashes of all images that are kept, read from their files."""
        rows = self.rows("SELECT file, offset, length, encoding FROM assets")
        return {_sha256(self.folder / "assets" / "images" / row[0], *row[1:]) for row in rows}


def _sha256(path: Path, offset: int, length: int, encoding: str) -> str:
    data = path.read_bytes()[offset : offset + length]
    return hashlib.sha256(base64.b64decode(data) if encoding == "base64" else data).hexdigest()


def _unread_bytes(upstream_port: int) -> int:
    """Return how many bytes wait in the receive queues of connections to the upstream."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    wanted = f":{upstream_port:04X}"
    return sum(int(row[4].partition(":")[2], 16) for row in rows if row[2].endswith(wanted))
