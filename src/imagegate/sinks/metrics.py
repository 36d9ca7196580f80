"""Numbers made of closing events: counters and histograms with bounded label values."""

from bisect import bisect_left
from collections.abc import Collection, Iterator
from typing import Literal

from msgspec import Struct

from imagegate.telemetry import CallEvent

SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0)
SERIES_MAX = 1000
"""So many label sets has one metric; what is beyond them is counted under `other`."""

Labels = tuple[str, ...]


class Metric(Struct, frozen=True, eq=False):
    """A metric's name without its ending, its meaning, and the names of its labels."""

    name: str
    text: str
    labels: tuple[str, ...] = ()
    kind: Literal["counter", "gauge", "histogram"] = "counter"


CALLS = Metric(
    "imagegate_calls", "Calls by how they ended.", ("operation", "model", "ending", "code")
)
IMAGES = Metric("imagegate_images", "Images delivered.", ("model", "deployment"))
IMAGE_BYTES = Metric("imagegate_image_bytes", "Bytes of delivered images.", ("model", "deployment"))
ATTEMPTS = Metric("imagegate_attempts", "Requests to upstreams.", ("model", "deployment"))
COST = Metric("imagegate_cost_usd", "Cost of calls in USD, as far as known.", ("model",))
COST_UNKNOWN = Metric("imagegate_cost_unknown", "Calls whose cost is not known.", ("model",))
TOKENS = Metric("imagegate_tokens", "Tokens that upstreams counted.", ("model", "direction"))
ADJUSTMENTS = Metric("imagegate_adjustments", "Differences between asked and sent.", ("model",))
VERDICTS = Metric(
    "imagegate_guardrail_verdicts", "What guardrails said.", ("guardrail", "mode", "action")
)
CALL_SECONDS = Metric("imagegate_call_seconds", "Whole calls.", ("operation", "model"), "histogram")
UPSTREAM_SECONDS = Metric(
    "imagegate_upstream_seconds", "Attempts at upstreams.", ("model", "deployment"), "histogram"
)
FIRST_PARTIAL = Metric(
    "imagegate_first_partial_seconds", "Until the first partial image.", ("model",), "histogram"
)
PHASE_SECONDS = Metric("imagegate_phase_seconds", "Seconds by phase of calls.", ("phase",))


class Histogram:
    """Counts by upper bound, the last one without a bound, and the sum in seconds."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(SECONDS, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)


class Numbers:
    """All counters of one process. `models` are the names that may be label values."""

    def __init__(self, models: Collection[str]) -> None:
        self._models: frozenset[str] = frozenset()
        self.counters: dict[Metric, dict[Labels, float]] = {}
        self.histograms: dict[Metric, dict[Labels, Histogram]] = {}
        self.know(models)

    def know(self, models: Collection[str]) -> None:
        """Let these names be label values, too: calls for the former ones may be at work."""
        self._models |= frozenset(models)

    def count(self, event: CallEvent) -> None:
        """Count a call that has ended."""
        model = event.model if event.model in self._models else "other"
        operation = event.operation or "none"
        place = (model, event.deployment)
        self._add(CALLS, (operation, model, event.ending, event.code))
        if event.ending != "joined":  # a stored answer's milliseconds are nobody's latency
            self._observe(CALL_SECONDS, (operation, model), event.duration_s)
        self._count_results(event, model, place)
        for span in event.spans:
            if span.name == "attempt":
                at = (model, str(span.attributes.get("imagegate.deployment", "")))
                self._add(ATTEMPTS, at)
                self._observe(UPSTREAM_SECONDS, at, span.end_s - span.start_s)
        for verdict in event.verdicts:
            self._add(VERDICTS, (verdict.guardrail, verdict.mode, verdict.action))
        for phase, seconds in event.phases_s.items():
            self._add(PHASE_SECONDS, (phase,), seconds)
        if event.first_partial_s is not None:
            self._observe(FIRST_PARTIAL, (model,), event.first_partial_s)

    def all(self) -> Iterator[tuple[Metric, dict[Labels, float] | dict[Labels, Histogram]]]:
        """Yield each metric with its series."""
        yield from self.counters.items()
        yield from self.histograms.items()

    def _count_results(self, event: CallEvent, model: str, place: Labels) -> None:
        if event.images:
            self._add(IMAGES, place, event.images)
            self._add(IMAGE_BYTES, place, event.bytes)
        if event.adjustments:
            self._add(ADJUSTMENTS, (model,), len(event.adjustments))
        if event.cost_e10:
            self._add(COST, (model,), event.cost_e10 / 10**10)
        if event.cost_e10 is None and event.ending != "refused":
            self._add(COST_UNKNOWN, (model,))
        if event.input_tokens or event.output_tokens:
            self._add(TOKENS, (model, "input"), event.input_tokens)
            self._add(TOKENS, (model, "output"), event.output_tokens)

    def _add(self, metric: Metric, labels: Labels, value: float = 1) -> None:
        series = self.counters.setdefault(metric, {})
        if labels not in series and len(series) >= SERIES_MAX:
            labels = ("other",) * len(labels)
        series[labels] = series.get(labels, 0.0) + value

    def _observe(self, metric: Metric, labels: Labels, seconds: float) -> None:
        series = self.histograms.setdefault(metric, {})
        if labels not in series and len(series) >= SERIES_MAX:
            labels = ("other",) * len(labels)
        series.setdefault(labels, Histogram()).observe(seconds)
