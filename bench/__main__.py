"""`python -m bench`: all cases with all contenders, one after the other, in one run."""

import argparse
import fnmatch
import os
import resource
import tempfile
import time
from pathlib import Path

import uvloop

from bench.cases import CASES, Case, Row
from bench.contenders import BENCH, contenders
from bench.measure import LOAD_CPU, cpus, keep_memory
from bench.report import (
    LEGEND,
    as_json,
    case_table,
    start_table,
    telemetry_table,
    write_json,
)
from bench.rounds import Pace, run_case
from bench.running import Gateway, StartError, Upstream
from bench.setup import set_up_litellm, set_up_portkey
from bench.start import Start, measure_start
from bench.telemetry import Telemetry, measure_telemetry

Results = dict[str, tuple[Case, dict[str, Row]]]


def read_arguments() -> argparse.Namespace:
    """Return the command line's wishes."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of 1 s a case")
    parser.add_argument("--rounds", type=int, default=2, help="rounds a case; medians are shown")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a round")
    parser.add_argument("--cases", default="*", help="names or patterns: small-*,sse-c16,start")
    parser.add_argument("--only", default="*", help="contenders: direct,nginx,imagegate*")
    parser.add_argument("--install", action="store_true", help="also count a fresh installation")
    parser.add_argument("--folder", default="/var/tmp", help="a folder on a real disk")
    parser.add_argument("--list", action="store_true", help="name cases and contenders")
    parser.add_argument("--setup-litellm", action="store_true", help="install LiteLLM, then stop")
    parser.add_argument("--setup-portkey", action="store_true", help="install Portkey, then stop")
    return parser.parse_args()


def chosen(name: str, patterns: str) -> bool:
    """Return whether a name fits one of the patterns, which are separated by commas."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns.split(","))


def show_names() -> None:
    """Print what there is to choose from."""
    for case in CASES:
        print(f"{case.name:<16}{case.text}")
    print(f"{'start':<16}import, readiness, size of an installation")
    print(f"{'telemetry':<16}on against off, and a collector that hangs")
    for contender in contenders():
        print(f"{contender.name:<16}{contender.missing or 'installed'}")


async def run_cases(
    cases: list[Case], gateways: list[Gateway], absent: dict[str, str], pace: Pace
) -> Results:
    """Return the rows of all cases; each block is printed when it is complete."""
    results: Results = {}
    for case in cases:
        rows: dict[str, Row] = {}
        for gateway in gateways:
            rows[gateway.contender.name] = await _run_case(case, gateway, pace)
        results[case.name] = (case, rows)
        print(case_table(case, rows, absent), end="\n\n", flush=True)
    return results


async def _run_case(case: Case, gateway: Gateway, pace: Pace) -> Row:
    try:
        return await run_case(case, gateway, pace)
    except StartError as error:
        return Row(note=f"does not start: {error}")


async def run(options: argparse.Namespace, folder: Path) -> None:
    """Measure, print and write the results."""
    pace = Pace(1, 1.0) if options.quick else Pace(options.rounds, options.seconds)
    cases = [case for case in CASES if chosen(case.name, options.cases)]
    wanted = [each for each in contenders() if chosen(each.name, options.only)]
    absent = {each.name: each.missing for each in wanted if each.missing}
    print(LEGEND, end="\n\n")
    results: Results = {}
    starts: dict[str, Start] = {}
    telemetry: Telemetry | None = None
    with Upstream() as upstream:
        taking_part = (each for each in wanted if not each.missing)
        gateways = [Gateway(each, upstream.port, folder) for each in taking_part]
        try:
            results = await run_cases(cases, gateways, absent, pace)
        finally:
            for gateway in gateways:
                await gateway.stop()
        if chosen("start", options.cases):
            names = {each.name for each in wanted}
            starts = await measure_start(names, upstream.port, folder, install=options.install)
            print(start_table(starts), end="\n\n")
        if chosen("telemetry", options.cases) and chosen("imagegate", options.only):
            telemetry = await measure_telemetry(upstream.port, folder, pace)
            print(telemetry_table(telemetry), end="\n\n")
    path = BENCH / "results" / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    write_json(path, as_json(results, starts, telemetry))
    print(f"written: {path}")


def main() -> None:
    """Do what the command line says."""
    options = read_arguments()
    if options.list:
        show_names()
    elif options.setup_litellm or options.setup_portkey:
        set_up_litellm() if options.setup_litellm else None
        set_up_portkey() if options.setup_portkey else None
    else:
        _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))
        keep_memory()
        os.sched_setaffinity(0, cpus(LOAD_CPU))
        with tempfile.TemporaryDirectory(prefix="imagegate-bench-", dir=options.folder) as name:
            Path(name).chmod(0o755)
            uvloop.run(run(options, Path(name)))


main()
