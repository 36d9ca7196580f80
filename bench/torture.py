"""`python -m bench.torture`: thousands of mixed calls while the gateway is killed, then the books.

Callers stay, leave or ask again with their key; the upstream answers, breaks off, refuses or is
silent; the process dies by kill -9. At the end each request on the upstream's bill stands beside
the attempt that made it. What is drawn follows from `--seed`; what is in flight at a kill does not.
"""

import argparse
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.contenders import BENCH
from imagegate.catalogue.price import format_usd
from tests.faults.audit import Books, Verdict, audit, unbalanced
from tests.faults.errands import draw
from tests.faults.settling import settle_all
from tests.faults.storm import Course, Storm, TortureProcess
from tests.ledger.databases import PostgresServer
from tests.upstream.fake import FakeUpstream


def read_arguments() -> argparse.Namespace:
    """Return the command line's wishes."""
    parser = argparse.ArgumentParser(prog="python -m bench.torture", description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=32, help="how often kill -9 strikes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ledger", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--retention-s", type=int, default=86_400, help="0: delivered images go")
    parser.add_argument("--folder", default="/var/tmp", help="a folder on a real disk")
    return parser.parse_args()


def run(options: argparse.Namespace, folder: Path) -> tuple[Course, Verdict, int]:
    """Return what happened, what the books say of it, and their sum after reconciliation."""
    with ExitStack() as stack:
        upstream = stack.enter_context(FakeUpstream())
        upstream.end_jobs("Ready")
        url = _ledger_url(options.ledger, folder, stack)

        def new_gateway() -> TortureProcess:
            return TortureProcess(folder, upstream, url, retention_s=options.retention_s)

        books = Books(url)
        stack.callback(books.close)
        storm = Storm(new_gateway, upstream, books, options.seed)
        gateway = storm.run(draw(options.seed, options.calls), options.kills)
        stack.callback(gateway.__exit__)
        course, port = storm.course, gateway.port
        not_kept = () if options.retention_s else course.delivered
        verdict = audit(upstream.bill, books, course.reached, port, not_kept=not_kept)
        settle_all(upstream.bill, books, f"http://127.0.0.1:{port}", folder)
        verdict.faults.extend(unbalanced(books))
        return course, verdict, books.number("SELECT sum(cost_e10) FROM attempts")


def _ledger_url(kind: str, folder: Path, stack: ExitStack) -> str:
    if kind == "sqlite":
        return f"sqlite:///{folder}/ledger.db"
    server = PostgresServer(folder / "postgres")
    stack.callback(server.stop)
    return server.new_url()


def table(
    options: argparse.Namespace, course: Course, verdict: Verdict, sum_e10: int, seconds: float
) -> str:
    """Return the result as a table."""
    states = ", ".join(f"{count} {state}" for state, count in sorted(verdict.states.items()))
    rows = {
        "ledger, retention, seed": f"{options.ledger}, {options.retention_s} s, {options.seed}",
        "calls, kills": f"{options.calls}, {course.kills}",
        "answered, left, asked again": f"{course.answered}, {course.left}, {course.asked_again}",
        "requests on the bill": f"{verdict.posts}",
        "attempts": states,
        "answers that had reached it at a kill": f"{len(course.reached)}",
        "of them not settled yet": f"{course.arrived}",
        "images kept and fetched": f"{verdict.images}",
        "bill": f"{format_usd(verdict.billed_e10)} USD",
        "of it settled": f"{format_usd(verdict.settled_e10)} USD",
        "of it unknown, held": f"{format_usd(verdict.unknown_e10)} USD",
        "ledger after calls reconcile": f"{format_usd(sum_e10)} USD",
        "differences": f"{len(verdict.faults)}",
        "time": f"{seconds:.0f} s",
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(["| torture | |", "| --- | --- |", *lines, *verdict.faults[:50]])


def main() -> None:
    """Run, print and write the table; exit 1 where bill and ledger differ."""
    options = read_arguments()
    folder = Path(tempfile.mkdtemp(prefix="imagegate-torture-", dir=options.folder))
    begun_s = time.monotonic()
    try:
        course, verdict, sum_e10 = run(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = table(options, course, verdict, sum_e10, time.monotonic() - begun_s)
    path = BENCH / "results" / f"torture-{options.ledger}-{options.seed}.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{text}\n")
    print(text, f"written: {path}", sep="\n")
    raise SystemExit(bool(verdict.faults) or sum_e10 != verdict.billed_e10)


if __name__ == "__main__":
    main()
