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
    """Where closing events go. `models` are the model names that may be label values.

    What `former` counted is counted on, and its outlets go on where their settings are the same.
    Raises `ConfigError` where a class of one's own is missing; then no outlet was opened.
    """

    def __init__(
        self,
        settings: Iterable[SinkSettings],
        models: Collection[str],
        former: "Sinks | None" = None,
    ) -> None:
        self.numbers: Numbers = former.numbers if former else Numbers(())
        self.numbers.know(models)
        self._poster: Poster = former._poster if former else Poster()
        asked = tuple(settings)
        self.is_traced = any(one.kind in ("otel", "langfuse") for one in asked)
        """Whether somebody gets the traces of all calls."""
        going_on = list(former.outlets) if former else []
        found = [self._outlet_or_receiver(one, going_on) for one in asked]
        self.outlets: list[Outlet] = [
            one if isinstance(one, Outlet) else _outlet(given, one)
            for given, one in zip(asked, found, strict=True)
            if one is not None
        ]

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

    async def close_outlets(self, others: Iterable["Sinks"] = ()) -> None:
        """Hand over what waits, within a few seconds; what `others` go on with stays open."""
        going_on = {outlet for sinks in others for outlet in sinks.outlets}
        for outlet in self.outlets:
            if outlet not in going_on:
                await outlet.aclose()

    async def aclose(self) -> None:
        """Close all outlets, and the connections that they share with those before them."""
        await self.close_outlets()
        await self._poster.aclose()

    def _outlet_or_receiver(
        self, settings: SinkSettings, going_on: list[Outlet]
    ) -> Outlet | Receiver | None:
        for at, outlet in enumerate(going_on):
            if outlet.settings == settings:
                return going_on.pop(at)
        return self._receiver(settings)

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
    return Outlet(settings, receiver, OutletLimits(queue_max=settings.queue_max))
