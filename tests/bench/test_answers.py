"""The checks of the benchmark: right answers pass however they are cut, wrong ones never."""

import asyncio
import hashlib
import json

import pytest

from bench.answers import Sink, Verdict, check_answer
from bench.load import Tally, Wish, run_load
from bench.payloads import PARTIALS, Order, json_response, noise_png, picture_text, stream_response
from bench.rounds import percentile
from bench.running import Upstream

ORDER = Order("json", 9_000, 1)
STREAM = Order("sse", 9_000, 1)


def body_of(response: bytes) -> bytes:
    return response.partition(b"\r\n\r\n")[2]


def frames(order: Order) -> list[bytes]:
    """Return the events of a stream without the framing of chunks."""
    chunks = stream_response(order.answer_bytes, order.variant, "image_generation")[1:-1]
    return [chunk.partition(b"\r\n")[2].removesuffix(b"\r\n") for chunk in chunks]


def verdict(body: bytes, order: Order = ORDER, *, cut: int = 1000, status: int = 200) -> Verdict:
    sink = Sink(order)
    for at in range(0, len(body), cut):
        sink.feed(body[at : at + cut])
    return check_answer(status, sink)


@pytest.mark.parametrize("cut", [1, 7, 64, 4096, 1_000_000])
def test_a_right_answer_passes_however_it_is_cut(cut):
    assert verdict(body_of(json_response(9_000, 1)), cut=cut) == Verdict()


@pytest.mark.parametrize("cut", [1, 64, 1_000_000])
def test_another_spelling_of_the_same_picture_passes(cut):
    text = picture_text(9_000, 1).decode()
    spaced = json.dumps({"data": [{"b64_json": text, "url": None}], "created": 1}, indent=2)
    assert verdict(spaced.replace("/", "\\/").encode(), cut=cut) == Verdict()


@pytest.mark.parametrize("cut", [1, 64, 1_000_000])
@pytest.mark.parametrize("variant", [0, 2])
def test_the_picture_of_another_call_is_wrong(cut, variant):
    fault = verdict(body_of(json_response(9_000, variant)), cut=cut).fault
    assert fault.startswith("another picture")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-8],
        lambda text: text + "AAAA",
        lambda text: text[:5000] + ("A" if text[5000] != "A" else "B") + text[5001:],
        lambda text: "*" + text[1:],
        lambda text: "",
    ],
)
def test_a_spoiled_picture_is_wrong(spoil):
    text = picture_text(9_000, 1).decode()
    assert verdict(json.dumps({"data": [{"b64_json": spoil(text)}]}).encode(), cut=64).fault


def test_a_second_picture_or_none_is_wrong():
    item = {"b64_json": picture_text(9_000, 1).decode()}
    assert verdict(json.dumps({"data": [item, item]}).encode()).fault.startswith("2 images")
    assert verdict(b'{"data": []}').fault.startswith("0 images")
    assert verdict(b'{"error": {}}', status=500).fault.startswith("500")


def test_a_stream_may_lack_partial_images_but_not_its_end():
    whole = frames(STREAM)
    assert verdict(b"".join(whole), STREAM) == Verdict("", 0)
    assert verdict(whole[-1], STREAM) == Verdict("", PARTIALS)
    assert "no completed event" in verdict(b"".join(whole[:-1]), STREAM).fault
    swapped = whole[0].replace(b'"partial_image_index":0', b'"partial_image_index":1')
    assert verdict(swapped + whole[-1], STREAM).fault.startswith("another picture")


def test_percentiles_are_values_that_were_measured():
    values = [float(value) for value in range(100, 0, -1)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([3.0], 0.5)) == (
        50,
        99,
        3,
    )


async def _load(port: int, order: Order, **wish: object) -> Tally:
    return await run_load(Wish(port, order, **wish), concurrency=4, seconds=30, calls_max=12)


def test_the_upstream_answers_and_checks_uploads():
    sha256 = hashlib.sha256(noise_png(5_000, 7)).hexdigest()
    with Upstream() as upstream:
        good = asyncio.run(_load(upstream.port, ORDER))
        stream = asyncio.run(_load(upstream.port, STREAM))
        right = asyncio.run(
            _load(upstream.port, Order("json", 40, 0, 0, sha256), upload_bytes=5000)
        )
        wrong = asyncio.run(_load(upstream.port, Order("json", 40, 0, 0, "00"), upload_bytes=5000))
    assert [tally.wrong for tally in (good, stream, right)] == [0, 0, 0], right.example
    assert (good.calls, wrong.wrong) == (12, 12)
