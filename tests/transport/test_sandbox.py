"""The sandbox as an upstream: it answers like OpenAI, and fails in every named way when told to."""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pytest
from openai.types import ImageGenStreamEvent, ImagesResponse
from openai.types.image_edit_stream_event import ImageEditStreamEvent
from PIL import Image
from pydantic import TypeAdapter

from imagegate.errors import (
    BadRequestError,
    ContentPolicyViolationError,
    ImageError,
    RateLimitError,
    UpstreamCredentialError,
    UpstreamFailedError,
    UpstreamModelNotFoundError,
    UpstreamTimeoutError,
)
from imagegate.providers.sandbox import PROVIDER
from imagegate.transport.sandbox import SandboxUpstream
from imagegate.transport.sandbox_orders import FAILURES
from imagegate.types import Blob, ImageCall
from imagegate.wire.exchange import Send, UpstreamRequest, UpstreamResponse
from imagegate.wire.lift import Lift
from imagegate.wire.provider import Target

MODEL = "gpt-image-2.5-flare"
SMALL = {"model": MODEL, "prompt": "a red circle", "size": "96x64", "quality": "low"}
NOW_S = 1795160000


@dataclass
class Answered:
    """One answer, read to its end; `broke_off` says that its body ended with an error."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    broke_off: bool = False
    pauses_s: list[float] = field(default_factory=list)

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> list[tuple[str, Any]]:
        frames = [frame.split("\n") for frame in self.body.decode().split("\n\n")[:-1]]
        return [(name[7:], json.loads(data[6:])) for name, data in frames]


PAUSES_S: list[float] = []


async def note_pause(seconds: float) -> None:
    PAUSES_S.append(seconds)


# One for the whole file: its worker takes a moment to start.
UPSTREAM = SandboxUpstream(sleep=note_pause, now_s=lambda: float(NOW_S))


@pytest.fixture(scope="module", autouse=True)
def _closed_upstream() -> Iterator[None]:
    yield
    asyncio.run(UPSTREAM.aclose())


def ask(request: UpstreamRequest) -> Answered:
    answered = Answered()
    PAUSES_S.clear()

    async def main() -> None:
        try:
            answer = await UPSTREAM.send(request)
            answered.status, answered.headers = answer.status, answer.headers
            async for chunk in answer.chunks:
                answered.body += chunk
        except ConnectionError:
            answered.broke_off = True

    asyncio.run(main())
    answered.pauses_s = list(PAUSES_S)
    return answered


def post(path: str = "generations", **fields: object) -> Answered:
    body = json.dumps({**SMALL, **fields}).encode()
    return ask(UpstreamRequest("POST", f"sandbox://local/images/{path}", (body,)))


def data_url(image: Image.Image) -> str:
    target = BytesIO()
    image.save(target, "PNG")
    return f"data:image/png;base64,{b64encode(target.getvalue()).decode()}"


def size_of(text: str) -> tuple[int, int]:
    return Image.open(BytesIO(b64decode(text, validate=True))).size


def test_an_answer_is_openais_own_type_with_a_picture_in_it() -> None:
    answered = post()
    parsed = ImagesResponse.model_validate(answered.json(), strict=False)
    assert answered.status == 200
    assert answered.headers["content-type"] == "application/json"
    assert answered.headers["x-request-id"].startswith("req_")
    assert (parsed.created, parsed.size, parsed.quality) == (NOW_S, "96x64", "low")
    assert (parsed.background, parsed.output_format) == ("opaque", "png")
    assert parsed.data
    assert parsed.data[0].b64_json
    assert size_of(parsed.data[0].b64_json) == (96, 64)


@pytest.mark.parametrize(
    ("model", "quality", "size", "tokens"),
    [
        ("gpt-image-2", "low", "1024x1024", 196),
        ("gpt-image-2.5-flare", "high", "1536x1024", 1372),
        ("gpt-image-2.5-flare", "max", "1024x1024", 7024),
        ("gpt-image-1.5", "medium", "1024x1536", 1584),
    ],
)
def test_usage_follows_the_token_formula(model: str, quality: str, size: str, tokens: int) -> None:
    usage = post(model=model, quality=quality, size=size).json()["usage"]
    assert usage["output_tokens"] == usage["output_tokens_details"]["image_tokens"] == tokens
    assert usage["input_tokens"] == usage["input_tokens_details"]["text_tokens"] == 3
    assert usage["total_tokens"] == tokens + 3


def test_usage_counts_each_image_and_a_model_that_nobody_knows_is_served() -> None:
    one, three = (post(model="my-model", n=n).json() for n in (1, 3))
    assert len(three["data"]) == 3
    assert len({item["b64_json"] for item in three["data"]}) == 3
    assert three["usage"]["output_tokens"] == 3 * one["usage"]["output_tokens"] > 0


def test_automatic_values_are_answered_as_what_they_became() -> None:
    answer = post(size="auto", quality="auto", background="auto").json()
    assert answer["size"] == "1024x1024"
    assert answer["quality"] in ("low", "medium", "high")
    assert answer["background"] == "opaque"


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp", "gif", "svg"])
def test_every_format_is_answered(output_format: str) -> None:
    answer = post(output_format=output_format).json()
    data = b64decode(answer["data"][0]["b64_json"])
    marks = {
        "png": b"\x89PNG",
        "jpeg": b"\xff\xd8",
        "webp": b"RIFF",
        "gif": b"GIF8",
        "svg": b"<svg",
    }
    assert data.startswith(marks[output_format])
    assert answer["output_format"] == output_format


def test_a_stream_has_openais_events() -> None:
    answered = post(stream=True, partial_images=2, n=2)
    assert answered.headers["content-type"] == "text/event-stream"
    kind: TypeAdapter[Any] = TypeAdapter(ImageGenStreamEvent)
    events = answered.events()
    partial, completed = "image_generation.partial_image", "image_generation.completed"
    assert [name for name, _ in events] == [partial, partial, completed] * 2
    for name, data in events:
        event = kind.validate_python(data)
        assert event.type == name
        assert (event.created_at, event.size) == (NOW_S, "96x64")
        assert size_of(event.b64_json) == (96, 64)
    assert [data.get("partial_image_index") for _, data in events[:3]] == [0, 1, None]


def test_the_usage_of_a_streams_events_adds_up() -> None:
    whole = post(n=2).json()["usage"]
    events = post(stream=True, n=2, partial_images=1).events()
    usages = [data["usage"] for _, data in events if "usage" in data]
    assert sum(usage["input_tokens"] for usage in usages) == whole["input_tokens"]
    assert sum(usage["output_tokens"] for usage in usages) == whole["output_tokens"] + 200


def test_an_edit_has_its_own_events_and_counts_its_inputs() -> None:
    images = [{"image_url": data_url(Image.new("RGB", (64, 64), "red"))}]
    answer = post("edits", images=images, size="auto").json()
    assert answer["size"] == "64x64"
    assert answer["usage"]["input_tokens_details"]["image_tokens"] > 0
    ((name, data),) = post("edits", images=images, stream=True).events()
    kind: TypeAdapter[Any] = TypeAdapter(ImageEditStreamEvent)
    assert kind.validate_python(data).type == name == "image_edit.completed"


def test_the_callers_identifier_comes_back() -> None:
    assert post(safety_identifier="u_1").json()["safety_identifier"] == "u_1"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"model": None}, "model"),
        ({"colour": "red"}, "colour"),
        ({"size": "large"}, "size"),
        ({"size": "99999x99999"}, "size"),
        ({"size": "3840x3840"}, "size"),
        ({"size": "1024x1024", "output_format": "gif", "frame_count": 16}, "size"),
        ({"n": 0}, None),
        ({"n": 11}, None),
        ({"n": "2"}, None),
        ({"partial_images": 4}, None),
        ({"output_format": "tiff"}, "output_format"),
        ({"background": "transparent", "output_format": "jpeg"}, "background"),
        ({"stream": True, "output_format": "svg"}, "stream"),
        ({"images": [{"image_url": "https://example.com/a.png"}]}, "images"),
        ({"images": [{"image_url": "data:image/png;base64,AAAA"}]}, "image"),
        ({"images": [{"file_id": "file-1"}]}, None),
        ({"sandbox": "slow"}, "sandbox"),
        ({"sandbox": {"delay": 3}}, "sandbox.delay"),
        ({"sandbox": {"delay_s": -1}}, None),
        ({"sandbox": {"delay_s": 601}}, None),
        ({"sandbox": {"fail": "cut_stream"}}, "sandbox.fail"),
    ],
    ids=str,
)
def test_a_wrong_request_is_refused_as_openai_would(
    fields: dict[str, object], param: str | None
) -> None:
    answered = post(**fields)
    error = answered.json()["error"]
    assert answered.status == 400
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["param"] == param


def test_a_body_that_is_no_json_is_refused() -> None:
    for body in (b"", b"{", b"[]", b"\xff"):
        answered = ask(UpstreamRequest("POST", "sandbox://local/images/generations", (body,)))
        assert answered.status == 400


def test_an_unknown_failure_is_refused_with_the_list_of_known_ones() -> None:
    message = post(sandbox={"fail": "explode"}).json()["error"]["message"]
    assert all(f"'{name}'" in message for name in FAILURES)


def test_the_delay_is_waited_for_before_the_answer() -> None:
    assert post(sandbox={"delay_s": 3}).pauses_s == [3]


def test_the_delay_is_spread_over_a_stream() -> None:
    answered = post(stream=True, partial_images=2, sandbox={"delay_s": 3})
    assert answered.pauses_s == [1, 1, 1]


@pytest.mark.parametrize(
    ("fail", "status", "code"),
    [
        ("rate_limit", 429, "rate_limit_exceeded"),
        ("invalid_key", 401, "invalid_api_key"),
        ("insufficient_quota", 429, "insufficient_quota"),
        ("moderation", 400, "moderation_blocked"),
        ("bad_request", 400, "invalid_value"),
        ("model_not_found", 404, "model_not_found"),
        ("server_error", 500, None),
        ("timeout", 504, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_answer_has_openais_shape(
    fail: str, status: int, code: str | None, stream: bool
) -> None:
    answered = post(sandbox={"fail": fail}, stream=stream)
    assert (answered.status, answered.json()["error"]["code"]) == (status, code)
    assert ("retry-after" in answered.headers) == (fail == "rate_limit")


def test_a_timeout_stays_silent_for_an_hour() -> None:
    assert post(sandbox={"fail": "timeout", "delay_s": 1}).pauses_s == [3600]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("fail", "broke_off"), [("drop", True), ("half_body", False)])
def test_half_an_answer_comes_and_then_nothing(fail: str, broke_off: bool, stream: bool) -> None:
    whole = post(stream=stream)
    answered = post(stream=stream, sandbox={"fail": fail})
    assert answered.status == 200
    assert answered.broke_off is broke_off
    assert whole.body.startswith(answered.body)
    assert 0 < len(answered.body) < len(whole.body)


def test_an_empty_answer_is_a_success_without_an_image() -> None:
    assert post(sandbox={"fail": "empty"}).json()["data"] == []
    assert post(sandbox={"fail": "empty"}, stream=True).events() == []


def test_an_invalid_image_is_valid_base64_of_something_else() -> None:
    text = post(sandbox={"fail": "invalid_image"}).json()["data"][0]["b64_json"]
    with pytest.raises(OSError, match="cannot identify"):
        size_of(text)


def test_a_cut_stream_ends_without_its_completed_event() -> None:
    events = post(sandbox={"fail": "cut_stream"}, stream=True, partial_images=2).events()
    assert [name for name, _ in events] == ["image_generation.partial_image"] * 2


# The adapter


def call(**options: Any) -> ImageCall:
    return ImageCall(
        id="call_1",
        operation="edit" if "images" in options else "generate",
        model="my-group",
        prompt="a red circle",
        size="96x64",
        **options,
    )


def request_of(image_call: ImageCall, **traits: object) -> UpstreamRequest:
    adapter = PROVIDER.adapter(image_call.operation)
    assert adapter is not None
    command = next(adapter(image_call, Target("sandbox://local", MODEL, traits)))
    assert isinstance(command, Send)
    return command.request


def run(image_call: ImageCall, **traits: object) -> Any:
    """Run the adapter's exchange against the sandbox; return its result or raise its error."""
    adapter = PROVIDER.adapter(image_call.operation)
    assert adapter is not None
    exchange = adapter(image_call, Target("sandbox://local", MODEL, traits))
    command = next(exchange)
    assert isinstance(command, Send)
    answered = ask(command.request)
    lift = Lift("blob:")
    lift.feed(answered.body)
    lifted = lift.finish(answered.body)
    try:
        exchange.send(UpstreamResponse(answered.status, answered.headers, lifted))
    except StopIteration as stop:
        return stop.value
    raise AssertionError


def test_a_generation_goes_all_the_way_through() -> None:
    result = run(call(n=2, quality="low"))
    assert len(result.images) == 2
    assert (result.size, result.quality, result.created) == ("96x64", "low", NOW_S)
    assert result.usage.output_tokens > 0


def test_an_edit_goes_all_the_way_through_with_its_mask() -> None:
    def blob(image: Image.Image) -> Blob:
        target = BytesIO()
        image.save(target, "PNG")
        data = target.getvalue()
        return Blob(data, 0, len(data), media_type="image/png")

    base = Image.new("RGB", (96, 64), "red")
    mask = Image.new("RGBA", (96, 64), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (48, 0, 96, 64))
    result = run(call(images=(blob(base),), mask=blob(mask)))
    drawn = result.images[0].blob
    text = drawn.source[drawn.offset : drawn.offset + drawn.length]
    image = Image.open(BytesIO(b64decode(text))).convert("RGB")
    assert image.crop((0, 0, 48, 64)).getcolors() == [(48 * 64, (255, 0, 0))]
    assert image.crop((48, 0, 96, 64)).getcolors() != [(48 * 64, (255, 0, 0))]


@pytest.mark.parametrize(
    ("fail", "error", "fault"),
    [
        ("rate_limit", RateLimitError, "moment"),
        ("invalid_key", UpstreamCredentialError, "deployment"),
        ("insufficient_quota", UpstreamCredentialError, "deployment"),
        ("moderation", ContentPolicyViolationError, "call"),
        ("bad_request", BadRequestError, "call"),
        ("model_not_found", UpstreamModelNotFoundError, "deployment"),
        ("server_error", UpstreamFailedError, "ambiguous"),
        ("timeout", UpstreamTimeoutError, "ambiguous"),
    ],
)
def test_each_failure_becomes_the_error_that_it_stands_for(
    fail: str, error: type[ImageError], fault: str
) -> None:
    with pytest.raises(error, match="sandbox") as raised:
        run(call(extra={"sandbox": {"fail": fail}}))
    assert raised.value.fault == fault
    assert raised.value.retry_after_s == (2 if fail == "rate_limit" else None)


@pytest.mark.parametrize(
    ("traits", "extra", "expected"),
    [
        ({}, {}, None),
        ({"fail": "empty", "other": 1}, {}, {"fail": "empty"}),
        (
            {"fail": "empty", "delay_s": 2},
            {"sandbox": {"delay_s": 1}},
            {"fail": "empty", "delay_s": 1},
        ),
        ({"fail": "empty"}, {"sandbox": {"fail": None}}, {"fail": None}),
        ({}, {"sandbox": {"delay_s": 1}}, {"delay_s": 1}),
    ],
)
def test_the_calls_behaviour_wins_over_the_deployments(
    traits: dict[str, object], extra: dict[str, object], expected: dict[str, object] | None
) -> None:
    request = request_of(call(extra=extra), **traits)
    assert isinstance(request.body[0], bytes)
    assert json.loads(request.body[0]).get("sandbox") == expected


def test_the_adapter_is_deterministic_and_names_the_upstreams_model() -> None:
    one, other = (request_of(call(quality="low")) for _ in range(2))
    assert one == other
    assert isinstance(one.body[0], bytes)
    assert json.loads(one.body[0])["model"] == MODEL
