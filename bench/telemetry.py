"""What telemetry costs a call in CPU: `python -m bench.telemetry`. The bar is 0.3 ms.

Each round notes the steps of a call as the pipeline does, makes its closing event and gives it to
Prometheus' numbers, to the JSON log and to an OpenTelemetry collector on loopback that takes
everything; then the same with a collector that hangs. `process_time` counts the threads too.
"""

import asyncio
import io
import time
from collections.abc import Callable

from imagegate import telemetry
from imagegate.config.sinks import SinkSettings
from imagegate.sinks.hub import Sinks
from imagegate.sinks.log import attach_log, detach_log
from imagegate.telemetry import CallEvent
from imagegate.trace import Trace

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
    with trace.step("attempt", "", {"imagegate.deployment": "img", "imagegate.attempt": 1}) as step:
        for name in INNER:
            with trace.step(name, step.span_id):
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


async def measure(serve: Callable[..., object], *, is_on: bool = True) -> tuple[float, int]:
    """Return milliseconds of CPU a call, and how many events were lost."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)  # type: ignore[arg-type]
    port = server.sockets[0].getsockname()[1]
    sink = SinkSettings(
        kind="otel", name="otel", url=f"http://127.0.0.1:{port}", queue_max=QUEUE_MAX
    )
    sinks = Sinks((sink,), {"img"})
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
    server.close()
    return spent_ms, lost


def main() -> None:
    """Measure and print."""
    writer = attach_log(io.StringIO(), "json")
    try:
        idle_ms, _ = asyncio.run(measure(collect, is_on=False))
        live_ms, lost = asyncio.run(measure(collect))
        dead_ms, dead_lost = asyncio.run(measure(hang))
    finally:
        detach_log(writer)
    print(f"loop and clock alone           {idle_ms:.3f} ms a call")
    print(f"OTel + Prometheus + JSON log   {live_ms - idle_ms:.3f} ms a call, {lost} lost")
    print(f"the same, collector hangs      {dead_ms - idle_ms:.3f} ms a call, {dead_lost} lost")


if __name__ == "__main__":
    main()
