"""OpenTelemetry over OTLP/HTTP: closing events become spans, the process's numbers metrics.

The extra `[otel]` is opentelemetry's protobufs and no more: spans are built from closing events, a
batch at a time and behind the calls, so nothing of theirs runs while an image is made. `langfuse`
is this with Langfuse's address, sign-in and attributes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from imagegate import clock
from imagegate.config.load_object import require
from imagegate.config.sinks import SinkSettings
from imagegate.sinks import langfuse
from imagegate.sinks.metrics import SECONDS, Histogram, Labels, Metric, Numbers
from imagegate.telemetry import OPERATION_NAMES, Attribute, CallEvent, Span, TraceParent
from imagegate.transport.post import Poster, PostError

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.metrics.v1 import metrics_pb2
    from opentelemetry.proto.trace.v1 import trace_pb2

POST_S_MAX = 10.0
LAST_POST_S_MAX = 2.0
METRICS_EVERY_S = 60.0
SCOPE = "imagegate"
PROVIDER_NAMES = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "vertex_ai": "gcp.vertex_ai",
}
"""`gen_ai.provider.name` where the convention has another name than ours."""

_NANO = 10**9
Value: TypeAlias = Attribute | tuple[str, ...]
_CUMULATIVE = "AGGREGATION_TEMPORALITY_CUMULATIVE"


class Collector:
    """Posts spans, and once a minute all numbers, to one OTLP/HTTP endpoint."""

    def __init__(self, settings: SinkSettings, poster: Poster, numbers: Numbers | None) -> None:
        require("opentelemetry.proto", "otel")
        base = settings.url.rstrip("/").removesuffix("/v1/traces")
        self._traces_url, self._metrics_url = f"{base}/v1/traces", f"{base}/v1/metrics"
        self._headers = {name: value.reveal() for name, value in settings.headers.items()}
        self._is_langfuse = settings.kind == "langfuse"
        if self._is_langfuse:
            self._headers |= langfuse.HEADERS
        self._service = settings.service or "imagegate"
        self._poster = poster
        self._numbers = numbers
        self._started_s = clock.now_s()
        self._metrics_at_s = 0.0
        self._is_behind = False

    async def send(self, events: Sequence[CallEvent]) -> None:
        """Post the spans of a batch, and the numbers where a minute has passed."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )

        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        resource.resource.attributes.extend(_attributes({"service.name": self._service}))
        scope = resource.scope_spans.add()
        scope.scope.name = SCOPE
        for event in events:
            if event.trace.is_sampled:
                add_spans(scope, event, for_langfuse=self._is_langfuse)
                await clock.sleep(0)  # a batch takes tens of ms to encode: calls go on in between
        if scope.spans:
            await self._post(self._traces_url, request.SerializeToString())
        self._is_behind = self._numbers is not None
        if clock.monotonic_s() >= self._metrics_at_s:
            await self._send_numbers()

    async def aclose(self) -> None:
        """Post the last numbers, where they have not been; the poster belongs to the runtime."""
        if self._is_behind:
            with suppress(PostError):
                await self._send_numbers(LAST_POST_S_MAX)

    async def _send_numbers(self, seconds_max: float = POST_S_MAX) -> None:
        if self._numbers is not None:
            self._metrics_at_s = clock.monotonic_s() + METRICS_EVERY_S
            body = encode_numbers(self._numbers, self._service, self._started_s)
            await self._post(self._metrics_url, body, seconds_max)
            self._is_behind = False

    async def _post(self, url: str, body: bytes, seconds_max: float = POST_S_MAX) -> None:
        headers = {"content-type": "application/x-protobuf", **self._headers}
        await self._poster.post(url, body, headers, seconds_max=seconds_max)


def add_spans(scope: trace_pb2.ScopeSpans, event: CallEvent, *, for_langfuse: bool = False) -> None:
    """Add the span of the call and one for each of its steps."""
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as Kind

    attributes = call_attributes(event)
    if for_langfuse:
        attributes |= langfuse.call_attributes(event)
    root = Span(
        name=f"{OPERATION_NAMES.get(event.operation, 'image')} {event.model}".strip(),
        number=0,
        above=0,
        start_s=event.started_s,
        end_s=event.ended_s,
        error="" if event.is_success else event.code,
    )
    _add_span(
        scope, event.trace, root, event.parent_span_id, attributes, kind=Kind.SPAN_KIND_SERVER
    )
    for step in event.spans:
        more = langfuse.step_attributes(step) if for_langfuse else {}
        above_id = event.trace.span_id_of(step.above)
        kind = Kind.SPAN_KIND_CLIENT if step.name == "attempt" else Kind.SPAN_KIND_INTERNAL
        _add_span(scope, event.trace, step, above_id, {**step.attributes, **more}, kind=kind)


def call_attributes(event: CallEvent) -> dict[str, Value]:
    """Return the attributes of a call's span: GenAI's names where there are any, else ours."""
    given: dict[str, Value | None] = {
        "gen_ai.operation.name": OPERATION_NAMES.get(event.operation),
        "gen_ai.provider.name": PROVIDER_NAMES.get(event.provider, event.provider),
        "gen_ai.request.model": event.model,
        "gen_ai.response.model": event.upstream_model,
        "gen_ai.output.type": "image",
        "gen_ai.request.choice.count": event.images_asked,
        "gen_ai.usage.input_tokens": event.input_tokens,
        "gen_ai.usage.output_tokens": event.output_tokens,
        "gen_ai.input.messages": None if event.prompt is None else _message(event.prompt),
        "error.type": "" if event.is_success else event.code,
        "enduser.id": event.end_user,
        "imagegate.call_id": event.call_id,
        "imagegate.deployment": event.deployment,
        "imagegate.attempts": event.attempts,
        "imagegate.images": event.images,
        "imagegate.ending": event.ending,
        "imagegate.fault": event.fault,
        "imagegate.key_id": event.key_id,
        "imagegate.team_id": event.team_id,
        "imagegate.tags": event.tags,
        "imagegate.adjustments": ",".join(event.adjustments),
        "imagegate.guardrails": ",".join(str(one) for one in event.verdicts),
    }
    if event.cost_e10 is not None:
        given["imagegate.cost_usd"] = event.cost_e10 / 10**10
    return {name: value for name, value in given.items() if value not in (None, "", ())}


def _message(prompt: str) -> str:
    """Return a prompt as the convention has messages."""
    part = {"type": "text", "content": prompt}
    return msgspec.json.encode([{"role": "user", "parts": [part]}]).decode()


def _add_span(
    scope: trace_pb2.ScopeSpans,
    trace: TraceParent,
    span: Span,
    above_id: str,
    attributes: Mapping[str, Value],
    *,
    kind: trace_pb2.Span.SpanKind.ValueType,
) -> None:
    made = scope.spans.add(
        trace_id=bytes.fromhex(trace.trace_id),
        span_id=bytes.fromhex(trace.span_id_of(span.number)),
        parent_span_id=bytes.fromhex(above_id),
        name=span.name,
        kind=kind,
        start_time_unix_nano=int(span.start_s * _NANO),
        end_time_unix_nano=int(span.end_s * _NANO),
        attributes=_attributes(attributes),
    )
    if span.error:
        made.status.code = 2
        made.status.message = span.error


def _attributes(values: Mapping[str, Value]) -> list[KeyValue]:
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

    return [KeyValue(key=name, value=_any(value)) for name, value in values.items()]


def _any(value: Value) -> AnyValue:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue

    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case tuple():
            return AnyValue(array_value=ArrayValue(values=[_any(one) for one in value]))
    return AnyValue(string_value=value)


def encode_numbers(numbers: Numbers, service: str, started_s: float) -> bytes:
    """Return all numbers as an OTLP metrics request; counts are since the process's start."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.extend(_attributes({"service.name": service}))
    scope = resource.scope_metrics.add()
    scope.scope.name = SCOPE
    span_nano = (int(started_s * _NANO), int(clock.now_s() * _NANO))
    for metric, series in numbers.all():
        made = scope.metrics.add(name=metric.name.replace("_", ".", 1), description=metric.text)
        for labels, value in series.items():
            _add_point(made, metric, labels, value, span_nano)
    body: bytes = request.SerializeToString()
    return body


def _add_point(
    made: metrics_pb2.Metric,
    metric: Metric,
    labels: Labels,
    value: float | Histogram,
    span_nano: tuple[int, int],
) -> None:
    from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

    attributes = _attributes(dict(zip(metric.labels, labels, strict=True)))
    times = {"start_time_unix_nano": span_nano[0], "time_unix_nano": span_nano[1]}
    if isinstance(value, Histogram):
        made.histogram.aggregation_temporality = AggregationTemporality.Value(_CUMULATIVE)
        made.histogram.data_points.add(
            attributes=attributes,
            count=value.count,
            sum=value.sum,
            bucket_counts=value.counts,
            explicit_bounds=SECONDS,
            **times,
        )
        return
    made.sum.aggregation_temporality = AggregationTemporality.Value(_CUMULATIVE)
    made.sum.is_monotonic = True
    made.sum.data_points.add(attributes=attributes, as_double=value, **times)
