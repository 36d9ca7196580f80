"""`n` above what a model makes at a time: parts at once, each with a bill of its own."""

import base64
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest

from imagegate.config.load import load_settings
from tests.gateway.running import Answer, RunningGateway
from tests.upstream.fake import FakeUpstream

ROWS = """
[[model]]
id = "openai/solo"
like = "openai/gpt-image-2"
n_max = {n_max}
source = "test"
checked = 2026-11-20
"""
PATH = "/v1/images/generations"
CONFIG = """
model_list:
  - model_name: solo
    litellm_params: {{model: openai/gpt-image-2, base_model: openai/solo, api_key: sk-test-1,
                      api_base: {v1}}}
  {more}
assets: {{folder: {folder}/data}}
database_url: sqlite:///{folder}/ledger.db
catalogue: [more.toml]
partial: {partial}
"""


class Solo:
    """Starts gateways whose model makes `n_max` images at a time."""

    def __init__(self, upstream: FakeUpstream, folder: Path) -> None:
        self._upstream = upstream
        self._folder = folder

    def settings(self, *, n_max: int = 1, partial: str = "deliver", more: str = "") -> Any:
        (self._folder / "more.toml").write_text(ROWS.format(n_max=n_max))
        text = CONFIG.format(v1=self._upstream.v1, folder=self._folder, partial=partial, more=more)
        file = self._folder / "config.yaml"
        file.write_text(text)
        return load_settings(str(file))


@pytest.fixture
def solo(upstream: FakeUpstream, tmp_path: Path) -> Solo:
    return Solo(upstream, tmp_path)


CALL = {"model": "solo", "prompt": "a fox", "quality": "low", "size": "1024x1024"}


def ask(gateway: RunningGateway, **fields: Any) -> Answer:
    return gateway.generate(**CALL | fields)


def test_each_part_is_a_request_and_the_answer_has_them_all(
    solo: Solo, upstream: FakeUpstream
) -> None:
    with RunningGateway(solo.settings()) as gateway:
        one, four = ask(gateway), ask(gateway, n=4)
    assert four.status == 200, four.body
    assert len(four.json()["data"]) == 4
    assert [call.field_of("n") for call in upstream.calls] == [None] * 5
    assert upstream.images_billed == 5
    assert four.headers["x-imagegate-images"] == "4/4"
    assert four.headers["x-imagegate-attempts"] == "4"
    assert "x-imagegate-warnings" not in four.headers
    cost, once = (float(answer.headers["x-imagegate-cost"]) for answer in (four, one))
    assert cost == pytest.approx(4 * once)
    assert four.json()["usage"]["total_tokens"] == 4 * one.json()["usage"]["total_tokens"]


def test_parts_are_as_large_as_the_model_makes_them(solo: Solo, upstream: FakeUpstream) -> None:
    with RunningGateway(solo.settings(n_max=4)) as gateway:
        answer = ask(gateway, n=10)
    assert len(answer.json()["data"]) == 10
    assert sorted(call.field_of("n") for call in upstream.calls) == [2, 4, 4]


def test_all_parts_are_under_way_at_once(solo: Solo, upstream: FakeUpstream) -> None:
    upstream.always("hold")
    found: list[Answer] = []
    with RunningGateway(solo.settings()) as gateway:
        caller = Thread(target=lambda: found.append(ask(gateway, n=10)))
        caller.start()
        upstream.wait_held(10)
        upstream.release()
        caller.join(20)
    assert found[0].headers["x-imagegate-images"] == "10/10"


def test_what_was_paid_for_is_delivered(solo: Solo, upstream: FakeUpstream) -> None:
    upstream.reply("status:moderation")
    with RunningGateway(solo.settings()) as gateway:
        answer = ask(gateway, n=3)
    assert answer.status == 200, answer.body
    assert len(answer.json()["data"]) == 2
    assert answer.headers["x-imagegate-images"] == "2/3"
    (warning,) = json.loads(answer.headers["x-imagegate-warnings"])
    assert warning.startswith("2 of 3 images: moderation_blocked: ")
    assert float(answer.headers["x-imagegate-cost"]) > 0
    assert upstream.images_billed == 2


@pytest.mark.parametrize("mode", ["status:moderation", "half_body"])
def test_what_is_missing_is_told_again(mode: str, solo: Solo, upstream: FakeUpstream) -> None:
    upstream.reply(mode)
    with RunningGateway(solo.settings()) as gateway:
        first, again = (
            gateway.post(PATH, CALL | {"n": 3}, idempotency_key="one") for _ in range(2)
        )
    assert again.body == first.body
    assert again.headers["x-imagegate-warnings"] == first.headers["x-imagegate-warnings"]
    assert len(upstream.calls) == 3


def test_the_ledger_has_a_row_for_each_part(
    solo: Solo, upstream: FakeUpstream, tmp_path: Path
) -> None:
    upstream.reply("status:moderation")
    with RunningGateway(solo.settings()) as gateway:
        ask(gateway, n=3, size="256x256")
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as ledger:
        ((state, adjustments),) = ledger.execute("select state, adjustments from calls")
        rows = ledger.execute("select number, state, cost_e10 > 0 from attempts order by number")
        attempts = list(rows)
        assets = ledger.execute("select count(*) from assets").fetchone()
    assert (state, assets) == ("done", (2,))
    assert [one["param"] for one in json.loads(adjustments)] == ["size"]
    assert [number for number, _, _ in attempts] == [1, 2, 3]
    assert sorted((state, cost) for _, state, cost in attempts) == [
        ("refused", 0),
        ("settled", 1),
        ("settled", 1),
    ]


def test_the_cost_is_unknown_while_a_part_may_be_charged(
    solo: Solo, upstream: FakeUpstream
) -> None:
    upstream.reply("half_body")
    with RunningGateway(solo.settings()) as gateway:
        answer = ask(gateway, n=3)
    assert answer.headers["x-imagegate-images"] == "2/3"
    assert answer.headers["x-imagegate-cost"] == "unknown"
    assert upstream.images_billed == 3
    assert len(upstream.calls) == 3, "what is ambiguous is never bought again"


def test_all_or_nothing_delivers_nothing_and_says_so(solo: Solo, upstream: FakeUpstream) -> None:
    upstream.reply("status:rate_limit")
    with RunningGateway(solo.settings(partial="refuse")) as gateway:
        answer = ask(gateway, n=3)
    assert (answer.status, answer.error["code"]) == (502, "partial_result")
    assert answer.headers["x-should-retry"] == "false"
    assert answer.error["message"].startswith("2 of 3 images were made and paid for")
    assert upstream.images_billed == 2


def test_what_is_not_delivered_is_kept(solo: Solo, upstream: FakeUpstream, tmp_path: Path) -> None:
    upstream.reply("status:rate_limit")
    settings = solo.settings(partial="refuse")
    assets = msgspec.structs.replace(settings.assets, retention_s=0)
    with RunningGateway(msgspec.structs.replace(settings, assets=assets)) as gateway:
        assert ask(gateway, n=3).status == 502
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as ledger:
        assert ledger.execute("select count(*) from assets").fetchone() == (2,)


def test_the_gravest_error_decides_where_nothing_came(solo: Solo, upstream: FakeUpstream) -> None:
    upstream.reply("status:rate_limit", times=2)
    upstream.reply("half_body")
    with RunningGateway(solo.settings()) as gateway:
        answer = ask(gateway, n=3)
    assert (answer.status, answer.error["imagegate"]["fault"]) == (502, "ambiguous")
    assert answer.headers["x-should-retry"] == "false"
    assert len(answer.error["imagegate"]["attempts"]) == 3


def test_a_part_that_fails_goes_elsewhere_by_itself(solo: Solo, upstream: FakeUpstream) -> None:
    more = (
        "- model_name: solo\n    litellm_params: {model: openai/gpt-image-2, api_key: sk-test-2,"
        f" api_base: {upstream.url}, order: 1}}"
    )
    upstream.reply("status:rate_limit", times=2)
    with RunningGateway(solo.settings(n_max=2, more=more)) as gateway:
        answer, again = (
            gateway.post(PATH, CALL | {"n": 4}, idempotency_key="one") for _ in range(2)
        )
    assert answer.status == 200, answer.body
    assert answer.headers["x-imagegate-images"] == "4/4"
    assert answer.headers["x-imagegate-attempts"] == "4"
    assert not {"x-imagegate-warnings"} & {*answer.headers, *again.headers}
    assert upstream.images_billed == 4
    assert [call.field_of("n") for call in upstream.calls] == [2, 2, 2, 2]


def test_a_stream_has_an_event_an_image(solo: Solo, upstream: FakeUpstream) -> None:
    with RunningGateway(solo.settings()) as gateway:
        answer = ask(gateway, n=3, stream=True)
    names = [name for name, _ in answer.events]
    assert names.count("image_generation.completed") == 3
    images = {
        base64.b64decode(data["b64_json"])[:8]
        for name, data in answer.events
        if name.endswith("completed")
    }
    assert images == {b"\x89PNG\r\n\x1a\n"}
    assert upstream.images_billed == 3


def test_fewer_images_than_asked_for_are_said_to_be_fewer(
    solo: Solo, upstream: FakeUpstream
) -> None:
    upstream.reply("fewer_images")
    with RunningGateway(solo.settings(n_max=10)) as gateway:
        answer = ask(gateway, n=3)
    assert answer.headers["x-imagegate-images"] == "2/3"
    assert "2 of 3 images" in answer.headers["x-imagegate-warnings"]
