"""All sinks of one runtime: a closing event goes to each of them, and none is waited for."""

from collections.abc import Collection, Iterable, Mapping

from imagegate.config.sinks import SinkSettings
from imagegate.sinks.file import LineFile
from imagegate.sinks.log import log_event, lost_lines
from imagegate.sinks.metrics import Labels, Metric, Numbers
from imagegate.sinks.otel import Collector
from imagegate.sinks.outlet import Outlet, OutletLimits, Receiver
from imagegate.sinks.python_class import PythonReceiver
from imagegate.sinks.s3 import Bucket
from imagegate.sinks.webhook import Webhook
from imagegate.telemetry import CallEvent
from imagegate.transport.post import Poster

WAITING = Metric("imagegate_sink_waiting", "Events in a sink's queue.", ("sink",), "gauge")
SENT = Metric("imagegate_sink_events", "Events that a sink's receiver took.", ("sink",))
LOST = Metric("imagegate_sink_lost", "Events that a sink's receiver did not take.", ("sink",))


class Sinks:
    """Where closing events go. `models` are the model names that may be label values."""

    def __init__(self, settings: Iterable[SinkSettings], models: Collection[str]) -> None:
        self.numbers = Numbers(models)
        self._poster = Poster()
        self.outlets: list[Outlet] = []
        asked = tuple(settings)
        self.is_traced = any(one.kind in ("otel", "langfuse") for one in asked)
        """Whether somebody gets the traces of all calls."""
        for one in asked:
            receiver = self._receiver(one)
            if receiver is not None:
                self.outlets.append(_outlet(one, receiver))

    def publish(self, event: CallEvent) -> None:
        """Count it, log it, and offer it to each outlet; never waits."""
        self.numbers.count(event)
        log_event(event)
        for outlet in self.outlets:
            outlet.offer(event)

    def gauges(self) -> list[tuple[Metric, Mapping[Labels, float]]]:
        """Return how the sinks themselves do, the log included."""
        lost: dict[Labels, float] = {("log",): float(lost_lines())}
        lost |= {(one.name,): float(one.lost_count) for one in self.outlets}
        return [
            (WAITING, {(one.name,): float(one.waiting_count) for one in self.outlets}),
            (SENT, {(one.name,): float(one.sent_count) for one in self.outlets}),
            (LOST, lost),
        ]

    async def aclose(self) -> None:
        """Hand over what waits, within a few seconds, and close all."""
        for outlet in self.outlets:
            await outlet.aclose()
        await self._poster.aclose()

    def _receiver(self, settings: SinkSettings) -> Receiver | None:
        match settings.kind:
            case "otel" | "langfuse":
                numbers = self.numbers if settings.kind == "otel" else None
                return Collector(settings, self._poster, numbers)
            case "webhook":
                return Webhook(settings, self._poster)
            case "file":
                return LineFile(settings)
            case "s3":
                return Bucket(settings)
            case "python":
                return PythonReceiver(settings)
        return None  # `prometheus`: its numbers are always on


def _outlet(settings: SinkSettings, receiver: Receiver) -> Outlet:
    return Outlet(
        settings.name,
        receiver,
        OutletLimits(queue_max=settings.queue_max),
        on_success=settings.on_success,
        on_failure=settings.on_failure,
    )
