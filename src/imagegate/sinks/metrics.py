"""Numbers made of closing events: counters and histograms with bounded label values."""

from bisect import bisect_left
from collections.abc import Collection, Iterator
from functools import cached_property
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


class Counter:
    """A number that grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0


def _counter(metric: Metric) -> "cached_property[Counter]":
    return cached_property(lambda tally: tally.numbers.counter(metric, tally.labels_of(metric)))


def _histogram(metric: Metric) -> "cached_property[Histogram]":
    return cached_property(lambda tally: tally.numbers.histogram(metric, tally.labels_of(metric)))


class Tally:
    """The series of all calls with the same labels: each is found once, when it is first needed."""

    calls = _counter(CALLS)
    seconds = _histogram(CALL_SECONDS)
    images = _counter(IMAGES)
    image_bytes = _counter(IMAGE_BYTES)
    attempts = _counter(ATTEMPTS)
    upstream_seconds = _histogram(UPSTREAM_SECONDS)
    cost_usd = _counter(COST)
    cost_unknown = _counter(COST_UNKNOWN)
    adjustments = _counter(ADJUSTMENTS)
    first_partial = _histogram(FIRST_PARTIAL)

    def __init__(
        self,
        numbers: "Numbers",
        operation: str,
        model: str,
        deployment: str,
        ending: str,
        code: str,
    ) -> None:
        self.numbers = numbers
        self._labels = {
            "operation": operation or "none",
            "model": model,
            "deployment": deployment,
            "ending": ending,
            "code": code,
        }

    def labels_of(self, metric: Metric) -> Labels:
        """Return the values of the metric's labels."""
        return tuple(self._labels[name] for name in metric.labels)

    @cached_property
    def input_tokens(self) -> Counter:
        """Tokens that were sent."""
        return self.numbers.counter(TOKENS, (self._labels["model"], "input"))

    @cached_property
    def output_tokens(self) -> Counter:
        """Tokens that came back."""
        return self.numbers.counter(TOKENS, (self._labels["model"], "output"))


class Numbers:
    """All counters of one process. `models` are the names that may be label values."""

    def __init__(self, models: Collection[str]) -> None:
        self._models: frozenset[str] = frozenset()
        self._counters: dict[Metric, dict[Labels, Counter]] = {}
        self._histograms: dict[Metric, dict[Labels, Histogram]] = {}
        self._tallies: dict[tuple[str, ...], Tally] = {}
        self._phases: dict[str, Counter] = {}
        self.know(models)

    def know(self, models: Collection[str]) -> None:
        """Let these names be label values, too: calls for the former ones may be at work."""
        self._models |= frozenset(models)
        self._tallies.clear()

    def count(self, event: CallEvent) -> None:
        """Count a call that has ended."""
        tally = self._tally(event, event.deployment)
        tally.calls.value += 1
        if event.ending != "joined":  # a stored answer's milliseconds are nobody's latency
            tally.seconds.observe(event.duration_s)
        _count_results(event, tally)
        for span in event.spans:
            if span.name == "attempt":
                at = self._tally(event, str(span.attributes.get("imagegate.deployment", "")))
                at.attempts.value += 1
                at.upstream_seconds.observe(span.end_s - span.start_s)
        for said in event.verdicts:
            self.counter(VERDICTS, (said.guardrail, said.mode, said.action)).value += 1
        for phase, seconds in event.phases_s.items():
            (self._phases.get(phase) or self._phase(phase)).value += seconds

    def all(self) -> Iterator[tuple[Metric, dict[Labels, float] | dict[Labels, Histogram]]]:
        """Yield each metric with its series."""
        for metric, series in self._counters.items():
            yield metric, {labels: counter.value for labels, counter in series.items()}
        yield from self._histograms.items()

    def counter(self, metric: Metric, labels: Labels) -> Counter:
        """Return the counter with these labels, or the one that counts what is beyond the limit."""
        series = self._counters.setdefault(metric, {})
        return series.setdefault(_bounded(series, labels), Counter())

    def histogram(self, metric: Metric, labels: Labels) -> Histogram:
        """Return the histogram with these labels, or the one for what is beyond the limit."""
        series = self._histograms.setdefault(metric, {})
        return series.setdefault(_bounded(series, labels), Histogram())

    def _tally(self, event: CallEvent, deployment: str) -> Tally:
        key = (event.operation, event.model, deployment, event.ending, event.code)
        return self._tallies.get(key) or self._new_tally(*key)

    def _new_tally(self, operation: str, model: str, *rest: str) -> Tally:
        if len(self._tallies) >= SERIES_MAX:
            self._tallies.clear()  # they are found again; callers choose names of models
        name = model if model in self._models else "other"
        tally = self._tallies[operation, model, *rest] = Tally(self, operation, name, *rest)
        return tally

    def _phase(self, phase: str) -> Counter:
        counter = self._phases[phase] = self.counter(PHASE_SECONDS, (phase,))
        return counter


def _bounded(series: Collection[Labels], labels: Labels) -> Labels:
    is_full = labels not in series and len(series) >= SERIES_MAX
    return ("other",) * len(labels) if is_full else labels


def _count_results(event: CallEvent, tally: Tally) -> None:
    if event.images:
        tally.images.value += event.images
        tally.image_bytes.value += event.bytes
    if event.adjustments:
        tally.adjustments.value += len(event.adjustments)
    if event.cost_e10:
        tally.cost_usd.value += event.cost_e10 / 10**10
    if event.cost_e10 is None and event.ending != "refused":
        tally.cost_unknown.value += 1
    if event.input_tokens or event.output_tokens:
        tally.input_tokens.value += event.input_tokens
        tally.output_tokens.value += event.output_tokens
    if event.first_partial_s is not None:
        tally.first_partial.observe(event.first_partial_s)
