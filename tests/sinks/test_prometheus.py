"""`/metrics`, read by Prometheus' own parser."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from imagegate import clock
from imagegate.sinks.log import EVENT
from imagegate.sinks.metrics import SERIES_MAX, Numbers
from imagegate.sinks.prometheus import exposition
from imagegate.telemetry import CallEvent, TraceParent, Verdict
from tests.gateway.running import Answer, RunningGateway
from tests.sinks.conftest import Start
from tests.upstream.fake import FakeUpstream

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples_of(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    return sum(
        value
        for (found, pairs), value in samples.items()
        if found == name and labels.items() <= dict(pairs).items()
    )


def ask(gateway: RunningGateway) -> Answer:
    call = {"model": "img", "prompt": "a fox"}
    return gateway.post("/v1/images/generations", call, idempotency_key="one")


def event_of(**values: object) -> CallEvent:
    fields = {"name": "call.done", "ending": "done", "call_id": "call_1", "started_s": 0.0}
    fields |= {"duration_s": 3.0, "trace": TraceParent(clock.new_trace_id())}
    return CallEvent(**{**fields, **values})  # type: ignore[arg-type]


def test_calls_cost_and_time(start: Start, upstream: FakeUpstream) -> None:
    gateway = start()
    cost = float(gateway.generate().headers["x-imagegate-cost"])
    gateway.generate(stream=True, partial_images=1)
    gateway.generate(model="img2")
    upstream.reply("status:moderation")
    gateway.generate()
    answer = gateway.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = samples_of(answer.body.decode())
    assert total(samples, "imagegate_calls_total", ending="done", model="img") == 2
    assert total(samples, "imagegate_calls_total", ending="failed", model="img") == 1
    assert total(samples, "imagegate_calls_total", code="model_not_found", model="other") == 1
    assert total(samples, "imagegate_images_total") == 2
    assert total(samples, "imagegate_cost_usd_total") >= cost
    assert total(samples, "imagegate_upstream_seconds_count", model="img") == 3
    assert total(samples, "imagegate_call_seconds_bucket", le="+Inf") == 4
    assert total(samples, "imagegate_first_partial_seconds_count", model="img") == 1
    assert total(samples, "imagegate_first_partial_seconds_sum") > 0
    assert total(samples, "imagegate_phase_seconds_total", phase="upstream") > 0
    assert total(samples, "imagegate_in_flight") == 0
    assert total(samples, "imagegate_ready") == 1
    assert ("imagegate_spool_bytes", ()) in samples


def test_who_joins_a_call_is_counted_and_adds_nothing(
    start: Start, upstream: FakeUpstream, tmp_path: Path
) -> None:
    file = tmp_path / "calls.jsonl"
    gateway = start(f"sinks: [{{kind: file, path: {file}}}]")
    upstream.reply("hold")
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, gateway) for _ in range(4)]
        upstream.wait_held()
        upstream.release()
        call = asked[0].result()
        asked[-1].result()
    ask(gateway)  # its answer is told from the ledger
    samples = samples_of(gateway.get("/metrics").body.decode())
    assert total(samples, "imagegate_calls_total", ending="done") == 1
    assert total(samples, "imagegate_calls_total", ending="joined") == 4
    assert total(samples, "imagegate_images_total") == 1
    cost = float(call.headers["x-imagegate-cost"])
    assert total(samples, "imagegate_cost_usd_total") == pytest.approx(cost)
    assert total(samples, "imagegate_call_seconds_count") == 1
    gateway.stop()
    gateway.wait_stopped()
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert {one["call_id"] for one in events} == {call.headers["x-imagegate-call-id"]}
    assert len({one["trace_id"] for one in events}) == 5
    joined = [one for one in events if one["event"] == "call.joined"]
    assert [one["cost_usd"] for one in joined] == [0.0] * 4


def test_who_joins_a_failure_is_told_so(
    start: Start, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.reply("status:moderation")
    gateway = start()
    with caplog.at_level("INFO", "imagegate"):
        assert [ask(gateway).status for _ in range(2)] == [400, 400]
        gateway.get("/healthz")
    [joined] = [one for one in caplog.records if one.message == "call.joined"]
    event: CallEvent = getattr(joined, EVENT)
    assert (event.code, joined.levelname) == ("moderation_blocked", "INFO")


def test_the_numbers_are_for_who_has_the_key(start: Start) -> None:
    gateway = start("general_settings: {master_key: sk-0123456789abcdef-test}")
    assert gateway.get("/metrics").status == 401
    bearer = "Bearer sk-0123456789abcdef-test"
    assert gateway.get("/metrics", authorization=bearer).status == 200


def test_what_is_left_of_budgets(start: Start) -> None:
    gateway = start("general_settings: {master_key: sk-0123456789abcdef-test}")
    master = {"authorization": "Bearer sk-0123456789abcdef-test"}
    asked = {"kind": "model", "of": "img", "limit_usd": "5.00"}
    budget = gateway.post("/admin/budgets", asked, **master).json()
    call = {"model": "img", "prompt": "a fox"}
    answer = gateway.post("/v1/images/generations", call, **master)
    samples = samples_of(gateway.get("/metrics", **master).body.decode())
    left = total(samples, "imagegate_budget_left_usd", budget=budget["id"], kind="model")
    assert left == pytest.approx(5 - float(answer.headers["x-imagegate-cost"]))


def test_label_values_that_callers_choose_are_bounded() -> None:
    numbers = Numbers({"img"})
    for index in range(3 * SERIES_MAX):
        numbers.count(event_of(model=f"model-{index}", deployment=f"d-{index}", images=1))
    text = exposition(numbers, ())
    samples = samples_of(text)
    assert total(samples, "imagegate_calls_total", model="other") == 3 * SERIES_MAX
    assert total(samples, "imagegate_images_total") == 3 * SERIES_MAX
    assert len({pairs for name, pairs in samples if name == "imagegate_images_total"}) == (
        SERIES_MAX + 1
    )


def test_odd_characters_and_verdicts() -> None:
    numbers = Numbers({'a"\\\nb'})
    verdict = Verdict(guardrail="g", mode="pre_call", action="deny", category="c")
    numbers.count(event_of(model='a"\\\nb', verdicts=(verdict,)))
    samples = samples_of(exposition(numbers, ()))
    assert total(samples, "imagegate_calls_total", model='a"\\\nb') == 1
    assert total(samples, "imagegate_guardrail_verdicts_total", action="deny") == 1
