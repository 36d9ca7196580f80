"""Prometheus' text format 0.0.4, written by hand: two hundred lines of numbers need no library."""

from collections.abc import Iterable, Iterator, Mapping

from imagegate.sinks.metrics import SECONDS, Histogram, Labels, Metric, Numbers

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Gauges = Iterable[tuple[Metric, Mapping[Labels, float]]]


def exposition(numbers: Numbers, gauges: Gauges) -> str:
    """Return the page that Prometheus scrapes."""
    lines: list[str] = []
    for metric, series in numbers.all():
        lines += _metric(metric, series)
    for metric, values in gauges:
        lines += _metric(metric, values)
    return "\n".join([*lines, ""])


def _metric(
    metric: Metric, series: Mapping[Labels, float] | Mapping[Labels, Histogram]
) -> Iterator[str]:
    name = f"{metric.name}_total" if metric.kind == "counter" else metric.name
    yield f"# HELP {name} {metric.text}"
    yield f"# TYPE {name} {metric.kind}"
    for labels, value in series.items():
        if isinstance(value, Histogram):
            yield from _histogram(metric, labels, value)
        else:
            yield f"{name}{_labels(metric, labels)} {value:.16g}"


def _histogram(metric: Metric, labels: Labels, histogram: Histogram) -> Iterator[str]:
    total = 0
    bounds = [*(f"{bound:g}" for bound in SECONDS), "+Inf"]
    for bound, count in zip(bounds, histogram.counts, strict=True):
        total += count
        yield f"{metric.name}_bucket{_labels(metric, labels, le=bound)} {total}"
    yield f"{metric.name}_sum{_labels(metric, labels)} {histogram.sum:.16g}"
    yield f"{metric.name}_count{_labels(metric, labels)} {total}"


def _labels(metric: Metric, values: Labels, **more: str) -> str:
    pairs = [*zip(metric.labels, values, strict=True), *more.items()]
    shown = ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs)
    return f"{{{shown}}}" if shown else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
