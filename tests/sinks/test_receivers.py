"""Closing events reach real receivers: a webhook, a file, a bucket, a class, a collector."""

import asyncio
import datetime
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from imagegate.config.sinks import SinkSettings
from imagegate.sinks.otel import Collector
from imagegate.trace import Trace
from imagegate.transport.post import Poster
from tests.sinks.conftest import Start
from tests.sinks.receivers import PostServer
from tests.sinks.test_prometheus import event_of
from tests.upstream.fake import FakeUpstream

LANGFUSE = {"LANGFUSE_PUBLIC_KEY": "pk-test", "LANGFUSE_SECRET_KEY": "sk-test"}
TRACE_ID, CALLER_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def receiver() -> Iterator[PostServer]:
    with PostServer() as server:
        yield server


def spans_of(body: bytes) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        span
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def attributes_of(span: Span) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_a_signed_webhook_gets_one_line_a_call(start: Start, receiver: PostServer) -> None:
    sink = f"{{kind: webhook, url: '{receiver.url}/hook', secret: sk-test-webhook}}"
    gateway = start(f"sinks: [{sink}]")
    answer = gateway.generate(user="someone")
    (posted,) = receiver.wait()
    (line,) = [json.loads(line) for line in posted.body.splitlines()]
    assert line["event"] == "call.done"
    assert line["call_id"] == answer.headers["x-imagegate-call-id"]
    assert (line["model"], line["end_user"], line["images"], line["attempts"]) == (
        "img",
        "someone",
        1,
        1,
    )
    assert f"{line['cost_usd']:.10f}".rstrip("0") == answer.headers["x-imagegate-cost"]
    assert {"read", "plan", "admit", "attempt", "upstream", "settle"} <= set(line["phases_s"])
    moment, _, digest = posted.headers["x-imagegate-signature"].partition(",v1=")
    signed = moment.removeprefix("t=").encode() + b"." + posted.body
    assert digest == hmac.new(b"sk-test-webhook", signed, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("callback", "events"),
    [
        ("success_callback", ["call.done"]),
        ("failure_callback", ["call.refused", "call.failed"]),
        ("callbacks", ["call.done", "call.refused", "call.failed"]),
    ],
)
def test_callbacks_by_litellms_names(
    start: Start, receiver: PostServer, upstream: FakeUpstream, callback: str, events: list[str]
) -> None:
    gateway = start(
        f"litellm_settings: {{{callback}: webhook}}", {"WEBHOOK_URL": f"{receiver.url}/hook"}
    )
    assert gateway.generate().status == 200
    assert gateway.generate(model="nothing").status == 404
    upstream.reply("status:moderation")
    assert gateway.generate().status == 400
    gateway.stop()
    gateway.wait_stopped()
    lines = [json.loads(line) for one in receiver.posted for line in one.body.splitlines()]
    assert [line["event"] for line in lines] == events


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("otel", "/v1/traces"),
        ("opentelemetry", "/v1/traces"),
        ("langfuse", "/api/public/otel/v1/traces"),
        ("langfuse_otel", "/api/public/otel/v1/traces"),
        ("webhook", "/hook"),
        ("generic_api", "/hook"),
        ("prometheus", None),
    ],
)
def test_each_of_litellms_names_reaches_its_receiver(
    start: Start, receiver: PostServer, name: str, path: str | None
) -> None:
    env = LANGFUSE | {
        "LANGFUSE_HOST": receiver.url,
        "OTEL_ENDPOINT": f"{receiver.url}/v1/traces",
        "GENERIC_LOGGER_ENDPOINT": f"{receiver.url}/hook",
        "GENERIC_LOGGER_HEADERS": "x-tenant=one",
    }
    gateway = start(f"litellm_settings: {{success_callback: [{name}]}}", env)
    call_id = gateway.generate().headers["x-imagegate-call-id"]
    text = gateway.get("/metrics").body.decode()
    gateway.stop()
    gateway.wait_stopped()
    assert 'imagegate_calls_total{operation="generate",model="img",ending="done",code=""} 1' in text
    if path is None:
        assert receiver.posted == []  # it comes and asks
        return
    posted = receiver.posted[0]
    assert posted.path == path
    assert call_id.encode() in posted.body
    assert posted.headers.get("x-tenant") == ("one" if path == "/hook" else None)


def test_events_name_the_tags_of_their_call(start: Start, receiver: PostServer) -> None:
    """Each receiver has them in its own shape; a request without tags has no such field."""
    sinks = [f"{{kind: webhook, url: '{receiver.url}/hook'}}", "{kind: langfuse}"]
    gateway = start(f"sinks: [{', '.join(sinks)}]", LANGFUSE | {"LANGFUSE_HOST": receiver.url})
    call = {"model": "img", "prompt": "a fox"}
    gateway.post("/v1/images/generations", call, x_imagegate_tags="eu, night,eu")
    gateway.generate()
    gateway.stop()
    gateway.wait_stopped()
    lines = [
        json.loads(line)
        for one in receiver.posted
        if one.path == "/hook"
        for line in one.body.splitlines()
    ]
    assert [line.get("tags") for line in lines] == [["eu", "night"], None]
    roots = [
        attributes_of(span)
        for one in receiver.posted
        if one.path != "/hook"
        for span in spans_of(one.body)
        if span.name == "image_generation img"
    ]
    for name in ("imagegate.tags", "langfuse.trace.tags"):
        told = [[tag.string_value for tag in root[name].values] for root in roots if name in root]
        assert told == [["eu", "night"]]


class Taking(Poster):
    """Takes what is posted, at once."""

    async def post(self, *_given: object, **_more: object) -> None:
        """Take it."""


def test_calls_go_on_while_a_batch_is_encoded() -> None:
    """256 events take tens of milliseconds: in one piece every call would wait for them."""
    settings = SinkSettings(kind="otel", name="otel", url="http://127.0.0.1")
    collector = Collector(settings, Taking(), None)

    async def turns_during(events: int) -> int:
        event = event_of(trace=Trace("call_1").context)
        sending = asyncio.create_task(collector.send([event] * events))
        turns = 0
        while not sending.done():
            turns += 1
            await asyncio.sleep(0)
        await sending
        return turns

    assert asyncio.run(turns_during(20)) >= 20


def test_lines_in_a_file(start: Start, tmp_path: Path) -> None:
    gateway = start("sinks: [{kind: file, path: logs/calls.jsonl}]")
    gateway.generate()
    gateway.generate(prompt="")
    gateway.stop()
    gateway.wait_stopped()
    lines = (tmp_path / "logs/calls.jsonl").read_text().splitlines()
    assert [json.loads(line)["ending"] for line in lines] == ["done", "refused"]


def test_a_bucket_gets_objects_of_lines(start: Start) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        keys = {"aws_access_key_id": "AKTEST", "aws_secret_access_key": "test"}
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
        client.create_bucket(Bucket="calls")
        gateway = start(
            "litellm_settings: {success_callback: [s3], s3_callback_params: {s3_bucket_name: calls,"
            f" s3_region_name: us-east-1, s3_endpoint_url: '{url}', s3_path: images,"
            " s3_aws_access_key_id: AKTEST, s3_aws_secret_access_key: test}}"
        )
        call_id = gateway.generate().headers["x-imagegate-call-id"]
        gateway.stop()
        gateway.wait_stopped()
        (found,) = client.list_objects_v2(Bucket="calls")["Contents"]
        assert found["Key"].startswith("images/20")
        body = client.get_object(Bucket="calls", Key=found["Key"])["Body"].read()
        assert json.loads(body)["call_id"] == call_id
        client.close()
    finally:
        server.stop()


OWN = """
import pathlib
class Own:
    def send(self, events):
        with open({file!r}, "a") as file:
            for event in events:
                file.write(event.call_id + "\\n")
"""

LITELLMS = """
class Logger:
    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        assert end_time > start_time and response_obj is None
        with open({file!r}, "a") as file:
            file.write(kwargs["litellm_call_id"] + "\\n")
proxy_handler = Logger()
"""


@pytest.mark.parametrize(("code", "name"), [(OWN, "Own"), (LITELLMS, "proxy_handler")])
def test_a_class_beside_the_configuration(
    start: Start, tmp_path: Path, code: str, name: str
) -> None:
    told = tmp_path / "told.txt"
    (tmp_path / "my_sinks.py").write_text(code.format(file=str(told)))
    gateway = start(f"litellm_settings: {{success_callback: my_sinks.{name}}}")
    call_id = gateway.generate().headers["x-imagegate-call-id"]
    gateway.stop()
    gateway.wait_stopped()
    assert told.read_text().split() == [call_id]


def test_a_collector_gets_the_spans_of_a_call_below_its_callers(
    start: Start, receiver: PostServer, upstream: FakeUpstream
) -> None:
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=one",
    }
    gateway = start("litellm_settings: {callbacks: [otel]}", env)
    call = {"model": "img", "prompt": "a fox"}
    parent = f"00-{TRACE_ID}-{CALLER_SPAN}-01"
    answer = gateway.post("/v1/images/generations", call, traceparent=parent)
    traces, numbers = receiver.wait(2)
    assert (traces.path, numbers.path) == ("/v1/traces", "/v1/metrics")
    assert traces.headers["x-tenant"] == "one"
    spans = {span.name: span for span in spans_of(traces.body)}
    root = spans["image_generation img"]
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE_ID}
    assert root.parent_span_id.hex() == CALLER_SPAN
    attributes = attributes_of(root)
    assert attributes["gen_ai.operation.name"] == "image_generation"
    assert attributes["gen_ai.provider.name"] == "azure.ai.openai"
    assert attributes["gen_ai.response.model"] == "gpt-image-2"
    assert attributes["imagegate.call_id"] == answer.headers["x-imagegate-call-id"]
    for name in ("read", "plan", "admit", "attempt"):
        assert spans[name].parent_span_id == root.span_id
    for name in ("upstream", "collect", "keep", "settle"):
        assert spans[name].parent_span_id == spans["attempt"].span_id
    sent = upstream.bill[-1].headers["traceparent"]
    assert sent == f"00-{TRACE_ID}-{spans['attempt'].span_id.hex()}-01"
    request = ExportMetricsServiceRequest.FromString(numbers.body)
    metrics = request.resource_metrics[0].scope_metrics[0].metrics
    points = {metric.name: metric for metric in metrics}
    assert points["imagegate.calls"].sum.data_points[0].as_double == 1
    assert points["imagegate.call_seconds"].histogram.data_points[0].count == 1


def test_a_callers_unsampled_trace_is_not_exported(start: Start, receiver: PostServer) -> None:
    gateway = start(f"sinks: [{{kind: otel, url: '{receiver.url}'}}]")
    call = {"model": "img", "prompt": "a fox"}
    gateway.post("/v1/images/generations", call, traceparent=f"00-{TRACE_ID}-{CALLER_SPAN}-00")
    gateway.stop()
    gateway.wait_stopped()
    assert [one.path for one in receiver.posted] == ["/v1/metrics"]


def test_a_failure_is_a_span_with_its_code(
    start: Start, receiver: PostServer, upstream: FakeUpstream
) -> None:
    gateway = start(f"sinks: [{{kind: otel, url: '{receiver.url}'}}]")
    upstream.reply("status:moderation")
    gateway.generate()
    spans = {span.name: span for span in spans_of(receiver.wait()[0].body)}
    assert spans["attempt"].status.code == 2
    assert spans["attempt"].status.message
    assert attributes_of(spans["image_generation img"])["error.type"]


def test_langfuse_gets_a_call_as_it_reads_one(start: Start, receiver: PostServer) -> None:
    """Names and shapes are those of Langfuse's own page on OpenTelemetry."""
    env = LANGFUSE | {"LANGFUSE_HOST": receiver.url}
    gateway = start("litellm_settings: {success_callback: [langfuse]}\nlog_prompts: true", env)
    answer = gateway.generate(user="someone", stream=True, partial_images=1)
    (posted,) = receiver.wait()
    assert posted.path == "/api/public/otel/v1/traces"
    assert posted.headers["authorization"] == "Basic cGstdGVzdDpzay10ZXN0"
    assert posted.headers["x-langfuse-ingestion-version"] == "4"
    spans = {span.name: attributes_of(span) for span in spans_of(posted.body)}
    root = spans["image_generation img"]
    completed = answer.events[-1][1]
    usage, cost = completed["usage"], completed["imagegate"]["cost"]
    assert json.loads(root["langfuse.observation.usage_details"]) == {
        "input": usage["input_tokens"],
        "output": usage["output_tokens"],
        "total": usage["input_tokens"] + usage["output_tokens"],
        "images": 1,
    }
    total = json.loads(root["langfuse.observation.cost_details"])["total"]
    assert total == pytest.approx(float(cost))
    moment = datetime.datetime.fromisoformat(root["langfuse.observation.completion_start_time"])
    assert moment.tzinfo is not None
    expected = {
        "langfuse.trace.name": "image_generation",
        "langfuse.user.id": "someone",
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "gpt-image-2",
        "langfuse.observation.input": "a fox",
        "langfuse.observation.level": "DEFAULT",
        "langfuse.trace.metadata.call_id": answer.headers["x-imagegate-call-id"],
    }
    assert expected.items() <= root.items()
    assert "langfuse.observation.type" not in spans["attempt"]


def test_langfuse_is_told_of_guardrails_and_failures(start: Start, receiver: PostServer) -> None:
    guardrail = "{guardrail: sensitive, mode: pre_call, default_on: true}"
    gateway = start(
        "litellm_settings: {callbacks: [langfuse]}\n"
        f"guardrails: [{{guardrail_name: private, litellm_params: {guardrail}}}]",
        LANGFUSE | {"LANGFUSE_HOST": receiver.url},
    )
    gateway.generate(prompt="for ann@example.com")
    spans = {span.name: attributes_of(span) for span in spans_of(receiver.wait()[0].body)}
    assert spans["guardrail"]["langfuse.observation.type"] == "guardrail"
    assert spans["guardrail"]["imagegate.verdict"] == "deny"
    root = spans["image_generation img"]
    assert root["langfuse.observation.level"] == "ERROR"
    assert root["langfuse.observation.status_message"] == "content_policy_violation"
    assert b"ann@example.com" not in receiver.posted[0].body


def test_the_last_numbers_are_sent_when_it_stops(start: Start, receiver: PostServer) -> None:
    gateway = start(f"sinks: [{{kind: otel, url: '{receiver.url}'}}]")
    gateway.generate()
    receiver.wait(2)  # its trace, and the first numbers
    gateway.generate()
    receiver.wait(3)
    gateway.stop()
    gateway.wait_stopped()
    assert [one.path for one in receiver.posted] == [
        "/v1/traces",
        "/v1/metrics",
        "/v1/traces",
        "/v1/metrics",
    ]
    request = ExportMetricsServiceRequest.FromString(receiver.posted[-1].body)
    points = {one.name: one for one in request.resource_metrics[0].scope_metrics[0].metrics}
    assert points["imagegate.images"].sum.data_points[0].as_double == 2


def test_a_prompt_is_a_message_as_the_convention_has_it(start: Start, receiver: PostServer) -> None:
    gateway = start(f"sinks: [{{kind: otel, url: '{receiver.url}'}}]\nlog_prompts: true")
    gateway.generate()
    spans = {span.name: attributes_of(span) for span in spans_of(receiver.wait()[0].body)}
    (message,) = json.loads(spans["image_generation img"]["gen_ai.input.messages"])
    assert message == {"role": "user", "parts": [{"type": "text", "content": "a fox"}]}


@pytest.mark.parametrize("server", [PostServer(hangs=True), PostServer(status=503)])
def test_a_receiver_that_takes_nothing_costs_no_call(start: Start, server: PostServer) -> None:
    with server:
        gateway = start(f"sinks: [{{kind: webhook, url: '{server.url}', queue_max: 2}}]")
        for _ in range(6):
            assert gateway.generate().status == 200
        server.wait()
        for _ in range(6):
            assert gateway.generate().status == 200
        text = gateway.get("/metrics").body.decode()
        assert _value(text, 'imagegate_sink_lost_total{sink="webhook"}') > 0
        assert _value(text, 'imagegate_sink_waiting{sink="webhook"}') <= 2


def _value(text: str, series: str) -> float:
    (line,) = [line for line in text.splitlines() if line.startswith(series)]
    return float(line.rpartition(" ")[2])
