"""Two gateways on one Postgres and one folder behind a balancer, restarted while callers call."""

import base64
import hashlib
import http.client
import itertools
import json
import threading
from collections import Counter
from pathlib import Path
from typing import Self

from tests.faults.balancer import Balancer
from tests.faults.process import GatewayProcess

CALL_S_MAX = 120.0


class Pair:
    """Two gateways; `turn` is the one that is to be restarted next."""

    def __init__(self, folder: Path, upstream: str, ledger_url: str, *, notice_s: float) -> None:
        self.balancer = Balancer()
        self._folder = folder
        self._upstream = upstream
        self._ledger_url = ledger_url
        self._notice_s = notice_s
        self._numbers = itertools.count()
        self.gateways: list[GatewayProcess] = []

    def __enter__(self) -> Self:
        self.balancer.__enter__()
        for _ in range(2):
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        for gateway in self.gateways:
            gateway.kill()
        self.balancer.__exit__(None, None, None)

    def start(self) -> None:
        """Start a gateway and let the balancer know it."""
        gateway = GatewayProcess(
            self._folder / f"gateway-{next(self._numbers)}",
            self._upstream,
            notice_s=self._notice_s,
            ledger_url=self._ledger_url,
            assets=self._folder / "assets",
        )
        gateway.__enter__()
        self.gateways.append(gateway)
        self.balancer.add(gateway.port)

    def take_oldest(self) -> GatewayProcess:
        """Return the gateway that has run for longest; whoever takes it ends it."""
        return self.gateways.pop(0)


class Caller:
    """Calls again and again through one port, on a kept connection where it may be kept."""

    def __init__(self, port: int, name: str, marks: str = "") -> None:
        self.statuses: Counter[int] = Counter()
        self.received: list[str] = []
        self.faults: list[str] = []
        self.begun_count = 0
        self._port = port
        self._prompt = f"{marks} {name}"
        self._changed = threading.Condition()
        self._is_over = False
        self._thread = threading.Thread(target=self._call_on, name=name)

    def start(self) -> None:
        """Call until told to end."""
        self._thread.start()

    def end(self) -> None:
        """Begin no further call."""
        self._is_over = True

    def stop(self) -> None:
        """End, and return when the call that is under way has."""
        self.end()
        self._thread.join(CALL_S_MAX)

    def wait_begun(self, count: int) -> None:
        """Return when so many further calls have begun."""
        with self._changed:
            wanted = self.begun_count + count
            assert self._changed.wait_for(lambda: self.begun_count >= wanted, CALL_S_MAX)

    def _call_on(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=CALL_S_MAX)
        while not self._is_over:
            with self._changed:
                self.begun_count += 1
                self._changed.notify_all()
            try:
                self._call(connection)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.faults.append(f"{type(error).__name__}: {error}")
                connection.close()
        connection.close()

    def _call(self, connection: http.client.HTTPConnection) -> None:
        call = {"model": "img", "prompt": f"{self._prompt} {self.begun_count}"}
        headers = {"content-type": "application/json"}
        connection.request("POST", "/v1/images/generations", json.dumps(call), headers)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        self.statuses[answer.status] += 1
        for image in body.get("data", ()):
            data = base64.b64decode(image["b64_json"])
            self.received.append(hashlib.sha256(data).hexdigest())
