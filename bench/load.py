"""The load: many keep-alive connections on one loop, each answer checked byte for byte."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

import httptools

from bench.answers import Sink, check_answer
from bench.payloads import VARIANTS, Order, request_parts

CALL_S_MAX = 60.0


@dataclass(frozen=True)
class Wish:
    """What to send to whom. `headers` and `model` are the contender's."""

    port: int
    order: Order
    model: str = "bench"
    headers: dict[str, str] = field(default_factory=dict)
    upload_bytes: int = 0

    def request(self, number: int) -> tuple[Order, tuple[bytes, ...]]:
        """Return call `number` and its bytes."""
        order = replace(self.order, variant=number % VARIANTS)
        host = f"127.0.0.1:{self.port}"
        return order, request_parts(
            order,
            host=host,
            model=self.model,
            headers=self.headers,
            upload_bytes=self.upload_bytes,
        )


@dataclass
class Tally:
    """What came of a round. Times in seconds; `wrong` counts answers, `example` shows one."""

    latencies_s: list[float] = field(default_factory=list)
    wrong: int = 0
    example: str = ""
    partials_missing: int = 0
    elapsed_s: float = 0.0
    last_s: float = 0.0

    @property
    def calls(self) -> int:
        return len(self.latencies_s) + self.wrong

    def blame(self, reason: str) -> None:
        """Count a wrong answer."""
        self.wrong += 1
        self.example = self.example or reason


class Line(asyncio.Protocol):
    """One connection that carries one call at a time."""

    def __init__(self) -> None:
        self.usable = False
        self._parser = httptools.HttpResponseParser(self)
        self._sink: Sink | None = None
        self._answer: asyncio.Future[tuple[int, float]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do what asyncio's do, but do not inherit from them.
        self._transport, self.usable = cast("asyncio.Transport", transport), True

    def connection_lost(self, _error: Exception | None) -> None:
        self.usable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the connection broke"))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        if self._sink is not None:
            self._sink.feed(data)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 or self._answer is None or self._answer.done():
            return
        self.usable = self._parser.should_keep_alive()
        self._answer.set_result((status, time.perf_counter()))

    async def call(self, pieces: tuple[bytes, ...], sink: Sink) -> tuple[int, float]:
        """Return the status and the moment of the last byte; the body goes into `sink`."""
        assert self._transport is not None
        self._sink = sink
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.writelines(pieces)
        return await asyncio.wait_for(self._answer, CALL_S_MAX)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


async def connect(port: int) -> Line:
    """Return a new connection to a port of loopback."""
    _, line = await asyncio.get_running_loop().create_connection(Line, "127.0.0.1", port)
    return line


async def one_call(line: Line, wish: Wish, number: int, tally: Tally) -> Line:
    """Make call `number`, check and count it; return the line for the next one."""
    order, pieces = wish.request(number)
    sink = Sink(order)
    try:
        if not line.usable:
            line.close()
            line = await connect(wish.port)
        start = time.perf_counter()
        status, end = await line.call(pieces, sink)
    except (OSError, TimeoutError, httptools.HttpParserError) as error:
        line.close()
        tally.blame(f"{type(error).__name__}: {error}")
        return line
    verdict = check_answer(status, sink)
    tally.partials_missing += verdict.partials_missing
    if verdict.fault:
        tally.blame(verdict.fault)
    else:
        tally.latencies_s.append(end - start)
    return line


async def run_load(
    wish: Wish, *, concurrency: int, seconds: float, calls_max: int | None = None
) -> Tally:
    """Keep `concurrency` calls going until `seconds` are over or `calls_max` were started.

    Calls that are under way at the end are waited for and counted.
    """
    lines = await asyncio.gather(*(connect(wish.port) for _ in range(concurrency)))
    tally, begin = Tally(), time.perf_counter()
    more = _counter(begin + seconds, calls_max)

    async def work(line: Line) -> None:
        while (number := more()) is not None:
            line = await one_call(line, wish, number, tally)
        line.close()

    await asyncio.gather(*(work(line) for line in lines))
    tally.elapsed_s = tally.last_s = time.perf_counter() - begin
    return tally


def _counter(end: float, calls_max: int | None) -> Callable[[], int | None]:
    """Return a function that gives the next call's number, None when enough were started."""
    started = -1

    def more() -> int | None:
        nonlocal started
        enough = calls_max is not None and started + 1 >= calls_max
        if enough or (started >= 0 and time.perf_counter() >= end):
            return None
        started += 1
        return started

    return more
