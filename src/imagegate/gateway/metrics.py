"""`GET /metrics`: the numbers of this process in Prometheus' text format.

It asks for a key as any route does: Prometheus sends one by `authorization: credentials`.
"""

from starlette.requests import Request
from starlette.responses import Response

from imagegate.sinks.metrics import Metric
from imagegate.sinks.prometheus import CONTENT_TYPE, Gauges, exposition

IN_FLIGHT = Metric("imagegate_in_flight", "Calls at work, also those left.", (), "gauge")
SPOOL_BYTES = Metric("imagegate_spool_bytes", "Bytes of files in flight.", (), "gauge")
READY = Metric("imagegate_ready", "1 where calls are taken, 0 while draining.", (), "gauge")


async def metrics(request: Request) -> Response:
    """Return all counters, histograms and gauges."""
    gateway = request.app.state.gateway
    sinks = gateway.runtime.tools.sinks
    gauges: Gauges = [
        (IN_FLIGHT, {(): float(gateway.running_count)}),
        (READY, {(): 0.0 if gateway.is_draining else 1.0}),
        (SPOOL_BYTES, {(): float(gateway.runtime.spool.bytes_in_use)}),
        *sinks.gauges(),
    ]
    return Response(exposition(sinks.numbers, gauges), headers={"content-type": CONTENT_TYPE})
