"""Callers of all kinds against a gateway that is killed again and again.

What is claimed of a kill: an answer that the upstream had sent to its last byte and of which the
kernel held nothing any more is adopted. So before every second kill the ledger is locked, that
nothing can be settled any more, answers arrive, and the kernel's buffers are seen empty. Bytes that
were in them die with the process: of what is in flight at the other kills nothing is claimed but
that it ends.
"""

import contextlib
import http.client
import queue
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.faults.audit import Books
from tests.faults.errands import Errand
from tests.faults.process import GatewayProcess
from tests.upstream.fake import FakeUpstream

THREADS = 12
TRIES_MAX = 60
ASKED_MAX = 20_000
TURNS_MAX = 3_000
IN_FLIGHT = 4
ARRIVALS = 2
WHOLE = ("ok", "chunked", "gzip", "escaped", "pretty", "keepalive_stream")
WAIT_S_MAX = 120.0
READ_BYTES = 10_000


CONFIG = """
model_list:
  - model_name: img
    params: &openai
      model: openai/gpt-image-2
      base_model: openai/gpt-image-2
      api_base: "{url}/v1"
      api_key: x
  - model_name: solo
    params: {{<<: *openai, base_model: openai/dall-e-3}}
  - model_name: flux
    params: {{model: black_forest_labs/flux-2-pro, api_base: "{url}", api_key: x}}
router_settings: {{num_retries: 1, cooldown_time: 0.01}}
assets: {{folder: "{folder}/assets", retention_s: {retention_s}{assets}}}
database_url: "{ledger}"
"""


class TortureProcess(GatewayProcess):
    """A gateway with three groups: whole calls, calls in parts, jobs."""

    def __init__(
        self,
        folder: Path,
        upstream: FakeUpstream,
        ledger_url: str,
        *,
        assets: str = "",
        retention_s: int = 86_400,
    ) -> None:
        super().__init__(folder, upstream.v1)
        places = {"folder": folder, "ledger": ledger_url, "assets": assets}
        text = CONFIG.format(url=upstream.url, retention_s=retention_s, **places)
        (folder / "config.yaml").write_text(text)

    def wait_settled(self) -> None:
        """Return when no call is open, in whichever ledger, and the recovery has cleaned up."""
        spool = self.folder / "assets" / "spool"
        for _ in range(ASKED_MAX):
            running = self.get("/v1/images/calls?state=running&limit=1")[1]["data"]
            if not running and len(list(spool.iterdir())) == 1:
                return
        raise TimeoutError("calls stay open")


@dataclass
class Course:
    """What happened: numbers of bill records whose answers had reached the gateway, and counts.

    Those that `arrived` did so while nothing could be settled any more.
    `delivered` are the errands whose caller had an answer, or the beginning of one: bytes that the
    kernel took for a caller count as delivered.
    """

    delivered: set[str] = field(default_factory=set)
    reached: set[int] = field(default_factory=set)
    arrived: int = 0
    kills: int = 0
    asked_again: int = 0
    left: int = 0
    answered: int = 0
    output: list[str] = field(default_factory=list)


class Storm:
    """One run. `new_gateway` returns a process that is not started yet, always over `books`."""

    def __init__(
        self,
        new_gateway: Callable[[], GatewayProcess],
        upstream: FakeUpstream,
        books: Books,
        seed: int,
    ) -> None:
        self._new_gateway = new_gateway
        self._books = books
        self._upstream = upstream
        self._chance = random.Random(seed + 1)
        self._errands: queue.SimpleQueue[Errand] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._begun = 0
        self._generation = 0
        self._asked_before = 0
        self._gateway: GatewayProcess | None = None
        self.course = Course()

    def run(self, errands: list[Errand], kills: int) -> GatewayProcess:
        """Return the gateway that stands at the end, with nothing open any more; stop it."""
        try:
            return self._run_all(errands, kills)
        except BaseException:
            if self._gateway is not None:
                self._gateway.kill()
            raise

    def _run_all(self, errands: list[Errand], kills: int) -> GatewayProcess:
        for errand in errands:
            self._errands.put(errand)
        self._start()
        workers = [threading.Thread(target=self._work) for _ in range(THREADS)]
        for worker in workers:
            worker.start()
        for begun in sorted(self._chance.sample(range(1, len(errands)), kills - 1)):
            self._wait(lambda begun=begun: self._begun >= begun)  # type: ignore[misc]
            self._kill(is_read=self._chance.random() < 0.5)
            self._start()
        for worker in workers:
            worker.join(WAIT_S_MAX)
            assert not worker.is_alive(), "a caller waits in vain"
        self._kill(is_read=True)  # what the upstream never answers ends here
        gateway = self._start()
        gateway.wait_settled()
        self.course.output += gateway.output
        return gateway

    # --- the process ---

    def _start(self) -> GatewayProcess:
        self._asked_before = max((one.number for one in self._upstream.bill), default=0)
        gateway = self._new_gateway().__enter__()
        with self._changed:
            self._gateway = gateway
            self._generation += 1
            self._changed.notify_all()
        return gateway

    def _kill(self, *, is_read: bool) -> None:
        gateway = self._gateway
        assert gateway is not None
        if is_read:
            self._turn_until(gateway, lambda: len(self._in_flight()) >= IN_FLIGHT)
        with self._books.frozen() if is_read else contextlib.nullcontext():
            if is_read:
                self._let_arrive(gateway)
            with self._changed:
                self._gateway = None
            gateway.kill()
        self.course.kills += 1
        self.course.output += gateway.output

    def _let_arrive(self, gateway: GatewayProcess) -> None:
        awaited = self._in_flight()
        self._turn_until(gateway, lambda: len(awaited - self._in_flight()) >= ARRIVALS)
        self.course.arrived += len(awaited - self._in_flight())
        finished = {one.number for one in self._upstream.bill if one.finished}
        gateway.wait_read(urlsplit(self._upstream.url).port or 0)
        self.course.reached |= {number for number in finished if number > self._asked_before}

    def _in_flight(self) -> set[int]:
        """Return the numbers of requests that the upstream has, and will answer to the end."""
        return {
            one.number
            for one in self._upstream.bill
            if one.number > self._asked_before and one.mode in WHOLE and not one.finished
        }

    def _turn_until(self, gateway: GatewayProcess, ready: Callable[[], bool]) -> None:
        """Give it some time; what it waits for need not come."""
        for _ in range(TURNS_MAX):
            if ready():
                return
            gateway.turn()

    def _wait(self, ready: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(ready, WAIT_S_MAX), "the storm has stopped"

    # --- the callers ---

    def _work(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._meet(self._errands.get_nowait())

    def _meet(self, errand: Errand) -> None:
        with self._changed:
            self._begun += 1
            self._changed.notify_all()
        seen = 0
        for _ in range(TRIES_MAX):
            seen, port = self._place(seen)
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S_MAX)
            try:
                connection.connect()
            except OSError:
                continue  # it was killed meanwhile, and nothing was sent
            try:
                has_left = self._ask(connection, errand)
            except (OSError, http.client.HTTPException):
                has_left = False  # it was killed meanwhile
            else:
                if not has_left:
                    return
            finally:
                connection.close()
            if not errand.key:
                return
            self._count("asked_again")
            errand = errand._replace(leaving="stays")
            seen -= has_left  # the same gateway will do
        raise AssertionError(f"{errand.name} meets no gateway that lives")

    def _place(self, seen: int) -> tuple[int, int]:
        """Return the generation and port of a gateway that was not there at `seen` yet."""
        self._wait(lambda: self._gateway is not None and self._generation > seen)
        with self._changed:
            gateway = self._gateway
            return (self._generation, gateway.port) if gateway else (seen, 1)

    def _ask(self, connection: http.client.HTTPConnection, errand: Errand) -> bool:
        """Return whether the caller left before it had read the answer to its end."""
        body = errand.body
        connection.putrequest("POST", errand.path)
        for name, value in (errand.headers | {"content-length": str(len(body))}).items():
            connection.putheader(name, value)
        connection.endheaders()
        if errand.leaving == "uploading":
            connection.send(body[: len(body) // 2])
        else:
            connection.send(body)
        if errand.leaving in ("uploading", "sent"):
            self._count("left")
            return True
        answer = connection.getresponse()
        self.course.delivered.add(errand.name)
        if errand.leaving == "reading":
            answer.read(READ_BYTES)
            self._count("left")
            return True
        answer.read()
        self._count("answered")
        return False

    def _count(self, what: str) -> None:
        with self._changed:
            setattr(self.course, what, getattr(self.course, what) + 1)
