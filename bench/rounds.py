"""One case with one contender: warm up, measure some rounds, take the medians."""

import hashlib
import math
import statistics
from dataclasses import dataclass, fields

from bench.cases import Case, Row
from bench.load import Tally, Wish, run_load
from bench.measure import Usage, reset_peak, usage
from bench.payloads import Order, noise_png
from bench.running import Gateway

WAVE_S_MAX = 120.0


@dataclass(frozen=True)
class Pace:
    """How long to measure."""

    rounds: int
    seconds: float


async def run_case(case: Case, gateway: Gateway, pace: Pace) -> Row:
    """Return what the contender did; its row has a note and no figures where it fails.

    Raises StartError where the contender does not come up.
    """
    if case.provider and not gateway.contender.translates:
        return Row(note=f"speaks OpenAI's API only, not {case.provider.capitalize()}'s")
    if gateway.pid is None or case.fresh or gateway.contender.one_folder_a_case:
        await gateway.restart()
    wish = wish_for(case, gateway)
    warm = await _warm_up(case, wish)
    if warm.wrong:
        # It may have put its upstream aside, so that the next case would fail as well.
        await gateway.restart()
        return Row(wrong=warm.wrong, calls=warm.calls, note=warm.example)
    rounds = 1 if case.wave else pace.rounds
    return _medians([await _round(case, gateway, wish, pace) for _ in range(rounds)])


def wish_for(case: Case, gateway: Gateway) -> Wish:
    """Return what a call of this case looks like to this contender."""
    sha256 = ""
    if case.upload_bytes:
        sha256 = hashlib.sha256(noise_png(case.upload_bytes, 7)).hexdigest()
    return Wish(
        port=gateway.port,
        order=Order(case.shape, case.answer_bytes, 0, case.hold_s, sha256),
        model=f"{gateway.contender.model}{case.provider and f'-{case.provider}'}",
        headers=gateway.contender.headers(gateway.upstream_port),
        upload_bytes=case.upload_bytes,
    )


async def _warm_up(case: Case, wish: Wish) -> Tally:
    """Make a few calls; in a fresh process only a small one, which leaves no memory behind."""
    if case.fresh:
        small = Wish(wish.port, Order("json", 40), wish.model, wish.headers)
        return await run_load(small, concurrency=1, seconds=1, calls_max=1)
    count = case.concurrency
    return await run_load(wish, concurrency=count, seconds=WAVE_S_MAX, calls_max=count)


async def _round(case: Case, gateway: Gateway, wish: Wish, pace: Pace) -> Row:
    calls_max = case.concurrency if case.wave else None
    bound = gateway.contender.written_bytes_max
    if bound and not case.wave:
        calls_max = max(case.concurrency, bound // (case.stored_bytes * (pace.rounds + 1)))
    if gateway.pid is not None:
        reset_peak(gateway.pid)
    before = usage(gateway.pid) if gateway.pid is not None else Usage()
    tally = await run_load(
        wish,
        concurrency=case.concurrency,
        seconds=WAVE_S_MAX if case.wave else pace.seconds,
        calls_max=calls_max,
    )
    after = usage(gateway.pid) if gateway.pid is not None else None
    return _row(case, tally, before, after)


def _row(case: Case, tally: Tally, before: Usage, after: Usage | None) -> Row:
    row = Row(
        wrong=tally.wrong,
        calls=tally.calls,
        partials_missing=tally.partials_missing,
        note="" if tally.latencies_s else tally.example,
    )
    if tally.latencies_s:
        row.calls_s = tally.calls / tally.elapsed_s
        row.p50_ms = 1000 * percentile(tally.latencies_s, 0.50)
        row.p99_ms = 1000 * percentile(tally.latencies_s, 0.99)
        row.last_s = tally.last_s if case.wave else None
    if after is not None:
        row.cpu_ms = 1000 * (after.cpu_s - before.cpu_s) / tally.calls
        row.peak_mb = after.peak_mb
        row.written_mb = after.written_mb - before.written_mb
    return row


def percentile(values: list[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _medians(rows: list[Row]) -> Row:
    """Return the median of each figure; counts are summed, the peak is the highest."""
    merged = Row(note=next((row.note for row in rows if row.note), ""))
    for name in (field.name for field in fields(Row) if field.name != "note"):
        values = [value for row in rows if (value := getattr(row, name)) is not None]
        if name in ("wrong", "calls", "partials_missing", "written_mb"):
            setattr(merged, name, sum(values))
        elif values:
            setattr(merged, name, max(values) if name == "peak_mb" else statistics.median(values))
    return merged
