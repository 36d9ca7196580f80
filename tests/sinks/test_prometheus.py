"""`/metrics`, read by Prometheus' own parser."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from imagegate import clock
from imagegate.sinks.metrics import SERIES_MAX, Numbers
from imagegate.sinks.prometheus import exposition
from imagegate.telemetry import CallEvent, TraceParent, Verdict
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
