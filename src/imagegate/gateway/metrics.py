"""`GET /metrics`: the numbers of this process in Prometheus' text format.

It asks for a key as any route does: Prometheus sends one by `authorization: credentials`.
"""

from starlette.requests import Request
from starlette.responses import Response

from imagegate import clock
from imagegate.ledger.records import LedgerError
from imagegate.ledger.registry import Registry
from imagegate.ledger.reviews import Reviews
from imagegate.ledger.store import SqlLedger
from imagegate.pipeline import Pipeline
from imagegate.runtime.reload import Reloader
from imagegate.sinks.metrics import Labels, Metric
from imagegate.sinks.prometheus import CONTENT_TYPE, Gauges, exposition

IN_FLIGHT = Metric("imagegate_in_flight", "Calls at work, also those left.", (), "gauge")
SPOOL_BYTES = Metric("imagegate_spool_bytes", "Bytes of files in flight.", (), "gauge")
READY = Metric("imagegate_ready", "1 where `/readyz` says 200, else 0.", (), "gauge")
DISK_FREE = Metric("imagegate_disk_free_bytes", "Room on the disk of the assets.", (), "gauge")
CONFIG_CURRENT = Metric(
    "imagegate_config_current", "1 where the newest configuration is served.", (), "gauge"
)
CONFIG_RELOADS = Metric("imagegate_config_reloads", "Configurations read.", ("result",))
BUDGET_LEFT = Metric(
    "imagegate_budget_left_usd", "Neither spent nor set aside, in USD.", ("budget", "kind"), "gauge"
)
QUEUED = Metric("imagegate_queue_waiting", "Calls that wait for a place.", (), "gauge")
QUEUE_REFUSED = Metric("imagegate_queue_refused", "Calls that found no place in time.", ("code",))
RESTING = Metric(
    "imagegate_deployment_resting", "1 while it rests after failures.", ("deployment",), "gauge"
)
RESTS = Metric("imagegate_deployment_rests", "Rests after failures.", ("deployment",))
AT_WORK = Metric(
    "imagegate_deployment_in_flight", "Requests at work there.", ("deployment",), "gauge"
)
HELD = Metric("imagegate_held_images", "Images that wait for a review.", (), "gauge")
BUDGETS_MAX = 200
"""So many budgets are shown, by id; which is whose is told by /admin/budgets."""


async def metrics(request: Request) -> Response:
    """Return all counters, histograms and gauges."""
    gateway = request.app.state.gateway
    sinks = gateway.runtime.tools.sinks
    gauges: Gauges = [
        (IN_FLIGHT, {(): float(gateway.traffic.running_count)}),
        (READY, {(): 0.0 if gateway.unready_reason else 1.0}),
        (DISK_FREE, {(): float(gateway.runtime.spool.room.free_bytes)}),
        *_reloads(gateway.reloader),
        (SPOOL_BYTES, {(): float(gateway.runtime.spool.bytes_in_use)}),
        (BUDGET_LEFT, await _budgets_left(gateway.runtime.ledger)),
        (HELD, await _held(gateway.runtime.ledger)),
        *_routing(gateway.runtime.pipeline),
        *sinks.gauges(),
    ]
    return Response(exposition(sinks.numbers, gauges), headers={"content-type": CONTENT_TYPE})


def _routing(pipeline: Pipeline) -> Gauges:
    """Return how the queue and the deployments do that were asked so far."""
    now_s, turns = clock.monotonic_s(), pipeline.turns
    health = {(name,): one for name, one in pipeline.router.health.items()}
    return [
        (QUEUED, {(): float(turns.waiting_count)}),
        (QUEUE_REFUSED, {(code,): float(count) for code, count in turns.refused.items()}),
        (RESTING, {name: float(one.is_resting(now_s)) for name, one in health.items()}),
        (RESTS, {name: float(one.rests) for name, one in health.items()}),
        (AT_WORK, {name: float(one.in_flight) for name, one in health.items()}),
    ]


def _reloads(reloader: Reloader | None) -> Gauges:
    if reloader is None:
        return []
    counts = {("served",): reloader.reloaded_count, ("refused",): reloader.refused_count}
    return [
        (CONFIG_CURRENT, {(): 0.0 if reloader.is_refused else 1.0}),
        (CONFIG_RELOADS, {labels: float(count) for labels, count in counts.items()}),
    ]


async def _budgets_left(ledger: SqlLedger) -> dict[Labels, float]:
    """Return what is left by budget; nothing while the ledger is away: the rest is still told."""
    try:
        budgets = await Registry(ledger).budgets(None, limit=BUDGETS_MAX)
    except LedgerError:
        return {}
    now_s = clock.now_s()
    left: dict[Labels, float] = {}
    for budget in budgets:
        is_over = budget.resets_at is not None and now_s >= budget.resets_at
        used_e10 = budget.reserved_e10 + (0 if is_over else budget.spent_e10)
        kind = budget.subject.partition(":")[0]
        left[budget.id, kind] = (budget.limit_e10 - used_e10) / 10**10
    return left


async def _held(ledger: SqlLedger) -> dict[Labels, float]:
    """Return how many images are held; nothing while the ledger is away."""
    try:
        return {(): float(await Reviews(ledger).held_count())}
    except LedgerError:
        return {}
