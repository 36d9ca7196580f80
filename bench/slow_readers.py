"""`python -m bench.slow_readers`: many large answers at once, half of them to slow readers.

Fails where an answer is wrong, where memory, descriptors or the wait for `/healthz` pass the bars,
or where a call takes longer than a minute.
"""

import argparse
import asyncio
import os
import socket
import sys
import time
from pathlib import Path

import uvloop

from bench.answers import Sink, check_answer
from bench.contenders import contenders
from bench.load import Tally
from bench.measure import LOAD_CPU, cpus, keep_memory, reset_peak, tree, usage
from bench.payloads import VARIANTS, Order, request_parts
from bench.running import Gateway, Upstream

CALL_S_MAX = 60.0
RSS_MB_MAX = 1000.0
HEALTH_MS_MAX = 100.0
POOLED_MAX = 72  # spool files stay open, to be used again; nothing else does
HEALTH_PERIOD_S = 0.05
PIECE_S = 0.1  # a slow reader takes its share of the rate so often
BUFFER_BYTES = 64 * 1024
SETTLE_S = 5.0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.slow_readers", description=__doc__)
    parser.add_argument("--calls", type=int, default=1000, help="calls at the same time")
    parser.add_argument("--answer-bytes", type=int, default=8_000_000, help="bytes of an answer")
    parser.add_argument("--rate", type=int, default=200_000, help="bytes/s of a slow reader")
    parser.add_argument("--hold-seconds", type=float, default=2.0, help="the upstream's work")
    parser.add_argument("--folder", default="/var/tmp", help="a folder on a real disk")
    return parser.parse_args()


async def read_answer(port: int, order: Order, rate: int | None, tally: Tally) -> None:
    """Make one call and read its answer, at `rate` bytes a second where one is given."""
    begun_s = time.perf_counter()
    try:
        async with asyncio.timeout(CALL_S_MAX):
            status, sink = await converse(port, order, rate)
    except (OSError, TimeoutError, ValueError) as error:
        tally.blame(f"{type(error).__name__} {error}")
        return
    verdict = check_answer(status, sink)
    if verdict.fault:
        tally.blame(verdict.fault)
    else:
        tally.latencies_s.append(time.perf_counter() - begun_s)


async def converse(port: int, order: Order, rate: int | None) -> tuple[int, Sink]:
    connection = socket.create_connection(("127.0.0.1", port))
    if rate:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    reader, writer = await asyncio.open_connection(sock=connection, limit=BUFFER_BYTES)
    try:
        host = f"127.0.0.1:{port}"
        parts = request_parts(order, host=host, model="bench", headers={}, upload_bytes=0)
        writer.writelines(parts)
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.splitlines()[1:] if line)
        sink = Sink(order)
        await read_body(reader, int(fields[b"content-length"]), rate, sink)
        return int(head.split()[1]), sink
    finally:
        writer.close()


async def read_body(
    reader: asyncio.StreamReader, length: int, rate: int | None, sink: Sink
) -> None:
    due_s = time.perf_counter()
    while length:
        piece = await reader.read(min(length, int(rate * PIECE_S) if rate else BUFFER_BYTES))
        if not piece:
            raise ConnectionResetError(f"{length} bytes are missing")
        length -= len(piece)
        sink.feed(piece)
        if rate:
            due_s += len(piece) / rate
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))


async def watch_health(port: int, waits_s: list[float]) -> None:
    """Ask for `/healthz` until cancelled, on a new connection each time, as balancers do."""
    while True:
        begun_s = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await reader.read()
        writer.close()
        waits_s.append(time.perf_counter() - begun_s)
        await asyncio.sleep(HEALTH_PERIOD_S)


def descriptors(root: int) -> int:
    """Return how many files and sockets the tree of a process has open."""
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in tree(root))


async def run(wishes: argparse.Namespace, gateway: Gateway) -> int:
    await gateway.start()
    pid = gateway.pid
    assert pid is not None
    try:
        await warm_up(gateway.port)
        before = descriptors(pid)
        reset_peak(pid)
        tally, waits_s = Tally(), list[float]()
        watching = asyncio.create_task(watch_health(gateway.port, waits_s))
        calls = [
            read_answer(
                gateway.port,
                Order("json", wishes.answer_bytes, number % VARIANTS, wishes.hold_seconds),
                wishes.rate if number % 2 else None,
                tally,
            )
            for number in range(wishes.calls)
        ]
        await asyncio.gather(*calls)
        watching.cancel()
        used = usage(pid)
        await asyncio.sleep(SETTLE_S)
        return report(tally, waits_s, used.peak_mb, before, descriptors(pid))
    finally:
        await gateway.stop()


async def warm_up(port: int) -> None:
    tally = Tally()
    await asyncio.gather(*(read_answer(port, Order("json", 100_000), None, tally) for _ in "abcd"))
    assert not tally.wrong, tally.example


def report(tally: Tally, waits_s: list[float], peak_mb: float, before: int, after: int) -> int:
    waits_ms = sorted(wait_s * 1e3 for wait_s in waits_s)
    p99_ms = waits_ms[int(len(waits_ms) * 0.99)]
    print(
        f"answers {len(tally.latencies_s)}, wrong {tally.wrong} {tally.example}\n"
        f"slowest {max(tally.latencies_s, default=0):.1f} s (at most {CALL_S_MAX:g})\n"
        f"peak {peak_mb:.0f} MB (at most {RSS_MB_MAX:g})\n"
        f"/healthz p50 {waits_ms[len(waits_ms) // 2]:.1f} ms, p99 {p99_ms:.1f} ms (at most "
        f"{HEALTH_MS_MAX:g}), slowest {waits_ms[-1]:.0f} ms, of {len(waits_ms)}\n"
        f"descriptors before {before}, after {after} (at most {POOLED_MAX} more)"
    )
    has_leak = after > before + POOLED_MAX
    is_bad = tally.wrong or has_leak or peak_mb > RSS_MB_MAX or p99_ms > HEALTH_MS_MAX
    return int(bool(is_bad))


def main() -> int:
    wishes = read_arguments()
    os.sched_setaffinity(0, cpus(LOAD_CPU))
    keep_memory()
    mine = next(one for one in contenders() if one.name == "imagegate")
    with Upstream() as upstream:
        return uvloop.run(run(wishes, Gateway(mine, upstream.port, Path(wishes.folder))))


if __name__ == "__main__":
    sys.exit(main())
