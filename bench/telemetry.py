"""What telemetry costs: `python -m bench --cases telemetry`.

Twice. In this process, on against off: the steps of a call are noted as the pipeline does, its
closing event made and given to Prometheus' numbers, to the JSON log and to an OpenTelemetry
collector; `process_time` counts the threads too. And in gateways under load, their rounds in turn:
without a collector, with one, and with one that takes the connection and never answers.
"""

import asyncio
import io
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.cases import CASES, Row
from bench.contenders import Contender, Prepare, model_list
from bench.rounds import Pace, run_case
from bench.running import Gateway
from imagegate import telemetry
from imagegate.config.sinks import SinkSettings
from imagegate.sinks.hub import Sinks
from imagegate.sinks.log import attach_log, detach_log
from imagegate.telemetry import CallEvent
from imagegate.trace import Trace

CASE = "small-c16"
TURNS = 5
ADDED_MS_MAX = 0.3
NOISE = 1.1  # between rounds of the same gateway, p99 moves by as much
CALLS = 4000
BURST = 100
QUEUE_MAX = 2 * CALLS  # what is lost would cost nothing
OUTER = ("read", "plan", "admit")
INNER = ("prepare", "upstream", "collect", "settle")
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


def noted_call(index: int) -> Trace:
    """Return the trace of one call with its eight steps."""
    trace = Trace(f"call_{index}")
    for name in OUTER:
        with trace.step(name):
            pass
    with trace.step("attempt", attributes={"imagegate.deployment": "img"}) as step:
        for name in INNER:
            with trace.step(name, step.number):
                pass
    return trace


def event_of(trace: Trace) -> CallEvent:
    """Return its closing event."""
    return CallEvent(
        name=telemetry.CALL_DONE,
        ending="done",
        call_id=trace.call_id,
        operation="generate",
        model="img",
        deployment="azure/gpt-image-2",
        provider="azure",
        upstream_model="gpt-image-2",
        end_user="someone",
        attempts=1,
        images_asked=1,
        images=1,
        bytes=1_500_000,
        input_tokens=20,
        output_tokens=4160,
        cost_e10=1_664_000_000,
        started_s=trace.started_s,
        duration_s=12.0,
        phases_s=trace.phases_s,
        trace=trace.context,
        spans=tuple(trace.spans),
    )


async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take every request."""
    while not reader.at_eof():
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            break
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        writer.write(ANSWER)
    writer.close()


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer nothing."""
    await reader.read()
    writer.close()


@asynccontextmanager
async def receiver(serve: Callable[..., object]) -> AsyncIterator[int]:
    """Serve on a port of loopback until the block ends."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)  # type: ignore[arg-type]
    try:
        port: int = server.sockets[0].getsockname()[1]
        yield port
    finally:
        server.close()


async def cost_ms(port: int, *, is_on: bool) -> tuple[float, int]:
    """Return milliseconds of CPU a call in this process, and how many events were lost."""
    url = f"http://127.0.0.1:{port}"
    sinks = Sinks((SinkSettings(kind="otel", name="otel", url=url, queue_max=QUEUE_MAX),), {"img"})
    began_s = time.process_time()
    for index in range(CALLS):
        trace = noted_call(index) if is_on else None
        if trace is not None:
            sinks.publish(event_of(trace))
        if index % BURST == 0:
            await asyncio.sleep(0.01)
    await asyncio.sleep(1.0)
    spent_ms = (time.process_time() - began_s) * 1000 / CALLS
    lost = sum(one.lost_count for one in sinks.outlets)
    await sinks.aclose()
    return spent_ms, lost


@dataclass
class Telemetry:
    """What was measured: CPU a call in ms, on less off, and rows of gateways under load."""

    added_ms: float = 0.0
    lost: int = 0
    rows: dict[str, Row] = field(default_factory=dict)

    @property
    def bars(self) -> dict[str, str]:
        """The verdict on each bar."""
        quiet, hung = self.rows["no collector"].p99_ms, self.rows["it hangs"].p99_ms
        verdicts = {
            f"OTel, Prometheus, JSON log: {ADDED_MS_MAX} ms": _judge(self.added_ms, ADDED_MS_MAX)
        }
        if quiet and hung:
            text = f"a collector that hangs: p99 within {NOISE - 1:.0%}"
            verdicts[text] = _judge(hung / quiet, NOISE)
        return verdicts


async def measure_telemetry(upstream_port: int, folder: Path, pace: Pace) -> Telemetry:
    """Measure on against off, then gateways under load."""
    found = Telemetry()
    writer = attach_log(io.StringIO(), "json")
    try:
        async with receiver(collect) as port:
            off_ms, _ = await cost_ms(port, is_on=False)
            on_ms, found.lost = await cost_ms(port, is_on=True)
    finally:
        detach_log(writer)
    found.added_ms = on_ms - off_ms
    async with receiver(collect) as live, receiver(hang) as hung:
        ports = {"no collector": 0, "it answers": live, "it hangs": hung}
        found.rows = await _under_load(ports, upstream_port, folder, pace)
    return found


async def _under_load(
    ports: dict[str, int], upstream_port: int, folder: Path, pace: Pace
) -> dict[str, Row]:
    case = next(one for one in CASES if one.name == CASE)
    gateways = {
        name: Gateway(
            Contender(name.replace(" ", "-"), "", _sinking(port), "/readyz"), upstream_port, folder
        )
        for name, port in ports.items()
    }
    rows: dict[str, list[Row]] = {name: [] for name in ports}
    try:
        for _ in range(TURNS):  # in turn: what else the machine does is shared fairly
            for name, gateway in gateways.items():
                rows[name].append(await run_case(case, gateway, Pace(1, pace.seconds)))
    finally:
        for gateway in gateways.values():
            await gateway.stop()
    return {name: _median(several) for name, several in rows.items()}


def _sinking(port: int) -> Prepare:
    def prepare(folder: Path, upstream_port: int, own_port: int) -> list[str]:
        sink = f'sinks: [{{kind: otel, url: "http://127.0.0.1:{port}"}}]\n' if port else ""
        rest = "assets: {retention_s: 0}\n" + sink
        (folder / "config.yaml").write_text(model_list("openai/bench", upstream_port) + rest)
        arguments = ["serve", "--config", "config.yaml", "--port", str(own_port)]
        return [sys.executable, "-m", "imagegate", *arguments]

    return prepare


def _median(rows: list[Row]) -> Row:
    def of(name: str) -> float | None:
        values = [value for row in rows if (value := getattr(row, name)) is not None]
        return statistics.median(values) if values else None

    return Row(
        cpu_ms=of("cpu_ms"),
        calls_s=of("calls_s"),
        p50_ms=of("p50_ms"),
        p99_ms=of("p99_ms"),
        wrong=sum(row.wrong for row in rows),
        calls=sum(row.calls for row in rows),
    )


def _judge(value: float, limit: float) -> str:
    return f"{value:.3g} {'reached' if value <= limit else 'MISSED'}"
