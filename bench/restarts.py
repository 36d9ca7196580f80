"""`python -m bench.restarts`: two gateways restart in turn behind a balancer, while callers call.

They share a Postgres and a folder. SIGTERM comes with the notice that a user's gateway gives.
The run fails where a caller gets an error, or an image that the upstream made is not received.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.restarts import Caller, Pair
from tests.ledger.databases import PostgresServer
from tests.upstream.fake import FakeUpstream

DRAIN_S_MAX = 120.0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.restarts", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="length of the run")
    parser.add_argument("--callers", type=int, default=24, help="callers at the same time")
    parser.add_argument("--call-seconds", type=float, default=4.0, help="length of a call")
    parser.add_argument("--notice-seconds", type=float, default=5.0, help="server.drain_notice_s")
    parser.add_argument("--folder", default="/var/tmp", help="a folder on a real disk")
    return parser.parse_args()


def main() -> int:
    wishes = read_arguments()
    with tempfile.TemporaryDirectory(prefix="imagegate-", dir=wishes.folder) as name:
        folder = Path(name)
        server = PostgresServer(folder / "postgres")
        try:
            with FakeUpstream() as upstream:
                upstream.always("ok", delay=wishes.call_seconds, picture="large")
                return run(wishes, folder, server.new_url(), upstream)
        finally:
            server.stop()


def run(wishes: argparse.Namespace, folder: Path, url: str, upstream: FakeUpstream) -> int:
    with Pair(folder, upstream.v1, url, notice_s=wishes.notice_seconds) as pair:
        callers = [Caller(pair.balancer.port, f"caller {n}") for n in range(wishes.callers)]
        for caller in callers:
            caller.start()
        until_s, restarts = time.monotonic() + wishes.seconds, 0
        while time.monotonic() < until_s:
            restart(pair)
            restarts += 1
        for caller in callers:
            caller.end()
        for caller in callers:
            caller.stop()
    return report(callers, upstream, restarts)


def restart(pair: Pair) -> None:
    leaving = pair.take_oldest()
    leaving.process.terminate()
    leaving.process.wait(DRAIN_S_MAX)
    leaving.__exit__()
    pair.start()


def report(callers: list[Caller], upstream: FakeUpstream, restarts: int) -> int:
    statuses = sum((caller.statuses for caller in callers), Counter())
    faults = [fault for caller in callers for fault in caller.faults]
    received = Counter(sha for caller in callers for sha in caller.received)
    answered = Counter(sha for record in upstream.calls for sha in record.answered_sha256)
    lost = (answered - received).total()
    print(
        f"restarts {restarts}, answers by status {dict(statuses)}, connections that broke "
        f"{len(faults)}, images made {answered.total()}, received {received.total()}, lost {lost}"
    )
    for fault in faults[:10]:
        print(f"  {fault}")
    return int(bool(faults or lost or set(statuses) != {200}))


if __name__ == "__main__":
    sys.exit(main())
