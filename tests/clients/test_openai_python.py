"""openai-python, as its own documentation shows it."""

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.clients.conftest import KEY
from tests.upstream.fake import FakeUpstream

FLARE = "gpt-image-2.5-flare"


@pytest.fixture
def client(gateway: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway}/v1", api_key=KEY) as client:
        yield client


def hashes(images: Any) -> list[str]:
    return [sha256(base64.b64decode(image.b64_json)).hexdigest() for image in images]


def test_generate(client: OpenAI, upstream: FakeUpstream) -> None:
    result = client.images.generate(model=FLARE, prompt="a red circle", n=2, size="1536x1024")
    [call] = upstream.calls
    assert hashes(result.data) == call.answered_sha256
    assert (result.size, result.output_format, result.background) == ("1536x1024", "png", "opaque")
    assert result.usage
    assert result.usage.total_tokens == result.usage.input_tokens + result.usage.output_tokens
    wanted = {"model": FLARE, "prompt": "a red circle", "n": 2, "size": "1536x1024"}
    assert call.json == wanted
    assert call.headers["authorization"] == "Bearer sk-test-upstream"


def test_everything_that_a_model_takes(client: OpenAI, upstream: FakeUpstream) -> None:
    asked: dict[str, Any] = {
        "background": "transparent",
        "moderation": "low",
        "output_compression": 80,
        "output_format": "webp",
        "quality": "max",
        "size": "1536x864",
        "user": "u",
    }
    result = client.images.generate(model=FLARE, prompt="p", **asked)
    assert upstream.calls[0].json == {"model": FLARE, "prompt": "p", **asked}
    assert (result.quality, result.background, result.output_format) == (
        "max",
        "transparent",
        "webp",
    )
    assert hashes(result.data) == upstream.calls[0].answered_sha256


def test_a_server_of_ones_own_gets_its_own_fields(client: OpenAI, upstream: FakeUpstream) -> None:
    client.images.generate(model="my/flux", prompt="p", response_format="b64_json", size="512x512")
    assert upstream.calls[0].json == {
        "model": "flux",
        "prompt": "p",
        "response_format": "b64_json",
        "size": "512x512",
    }


def test_async(gateway: str, upstream: FakeUpstream) -> None:
    async def generate() -> list[str]:
        async with AsyncOpenAI(base_url=f"{gateway}/v1", api_key=KEY) as client:
            calls = [client.images.generate(model=FLARE, prompt=f"fox {i}") for i in range(3)]
            results = await asyncio.gather(*calls)
        return [one for result in results for one in hashes(result.data)]

    assert sorted(asyncio.run(generate())) == sorted(
        one for call in upstream.calls for one in call.answered_sha256
    )


def test_stream(client: OpenAI, upstream: FakeUpstream) -> None:
    stream = client.images.generate(model=FLARE, prompt="fox", stream=True, partial_images=2)
    events = list(stream)
    kinds = [event.type for event in events]
    # A preview that a later one has overtaken may be left out; the image never is.
    assert set(kinds[:-1]) <= {"image_generation.partial_image"}
    completed = events[-1]
    assert completed.type == "image_generation.completed"
    assert hashes([completed]) == upstream.calls[0].answered_sha256
    assert completed.usage.total_tokens > 0
    assert (completed.size, completed.output_format) == ("1024x1024", "png")
    assert upstream.calls[0].json["partial_images"] == 2


def test_a_stream_of_a_model_that_answers_whole(client: OpenAI, upstream: FakeUpstream) -> None:
    upstream.reply("json_for_stream")
    events = list(client.images.generate(model=FLARE, prompt="fox", stream=True))
    assert [event.type for event in events] == ["image_generation.completed"]
    assert hashes(events) == upstream.calls[0].answered_sha256


def test_a_stream_that_ends_in_an_error_raises(client: OpenAI, upstream: FakeUpstream) -> None:
    upstream.reply("stream_error")
    stream = client.images.generate(model=FLARE, prompt="fox", stream=True, partial_images=1)
    with pytest.raises(openai.APIError, match="safety system"):
        list(stream)
    assert len(upstream.calls) == 1


def test_a_stream_that_is_refused_at_once_has_a_status(
    client: OpenAI, upstream: FakeUpstream
) -> None:
    upstream.reply("status:moderation")
    with pytest.raises(openai.BadRequestError) as raised:
        client.images.generate(model=FLARE, prompt="fox", stream=True)
    assert raised.value.code == "moderation_blocked"


def test_async_stream_of_an_edit(gateway: str, files: Path, upstream: FakeUpstream) -> None:
    async def edit() -> list[Any]:
        async with AsyncOpenAI(base_url=f"{gateway}/v1", api_key=KEY) as client:
            image = ("a.png", (files / "a.png").read_bytes(), "image/png")
            stream = await client.images.edit(
                model=FLARE, prompt="hat", image=[image], stream=True, partial_images=1
            )
            return [event async for event in stream]

    events = asyncio.run(edit())
    assert events[-1].type == "image_edit.completed"
    assert hashes(events[-1:]) == upstream.calls[0].answered_sha256
    assert dict(upstream.calls[0].form)["stream"] == "true"


def test_edit_of_one_file(client: OpenAI, files: Path, upstream: FakeUpstream) -> None:
    with (files / "a.png").open("rb") as image:
        result = client.images.edit(model=FLARE, prompt="a hat", image=image)
    [call] = upstream.calls
    assert hashes(result.data) == call.answered_sha256
    assert call.form == [("model", FLARE), ("prompt", "a hat")]
    [sent] = call.files
    assert (sent.name, sent.content_type) == ("image", "image/png")
    assert sent.sha256 == sha256((files / "a.png").read_bytes()).hexdigest()


def test_edit_of_a_list_with_a_mask(client: OpenAI, files: Path, upstream: FakeUpstream) -> None:
    """Bytes without a name arrive as `upload` and octet-stream; they go on as what they are."""
    names = ("a.png", "b.webp", "c.jpg")
    images = [io.BytesIO((files / name).read_bytes()) for name in names]
    mask = (files / "mask.png").read_bytes()
    client.images.edit(model=FLARE, prompt="a hat", image=[*images], mask=mask, n=1, size="auto")
    sent = [(part.name, part.content_type, part.sha256) for part in upstream.calls[0].files]
    types = ("image/png", "image/webp", "image/jpeg")
    wanted = [
        ("image[]", kind, sha256((files / name).read_bytes()).hexdigest())
        for name, kind in zip(names, types, strict=True)
    ]
    assert sent == [*wanted, ("mask", "image/png", sha256(mask).hexdigest())]


def test_raw_response(client: OpenAI, upstream: FakeUpstream) -> None:
    raw = client.images.with_raw_response.generate(model=FLARE, prompt="fox", style="vivid")
    headers = raw.headers
    assert headers["x-imagegate-call-id"].startswith("call_")
    assert headers["x-imagegate-attempts"] == "1"
    assert headers["x-imagegate-images"] == "1/1"
    assert float(headers["x-imagegate-cost"]) > 0
    [adjusted] = json.loads(headers["x-imagegate-adjustments"])
    assert (adjusted["param"], adjusted["sent"]) == ("style", None)
    assert "style" not in upstream.calls[0].json
    assert hashes(raw.parse().data) == upstream.calls[0].answered_sha256


def test_the_sandbox(client: OpenAI, upstream: FakeUpstream) -> None:
    result = client.images.generate(model="drawn", prompt="a red circle", size="1024x1024")
    assert result.data
    assert base64.b64decode(result.data[0].b64_json or "").startswith(b"\x89PNG")
    assert upstream.bill == []


def test_models(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert {"gpt-image-2", "my/flux", "drawn"} <= set(names)
    assert client.models.retrieve("my/flux").id == "my/flux"


@pytest.mark.parametrize(
    ("mode", "kind", "status", "code"),
    [
        ("status:moderation", openai.BadRequestError, 400, "moderation_blocked"),
        ("status:bad_size", openai.BadRequestError, 400, "invalid_value"),
        ("status:invalid_key", openai.InternalServerError, 502, "upstream_credential"),
        ("status:insufficient_quota", openai.InternalServerError, 502, "upstream_credential"),
        ("status:model_not_found", openai.InternalServerError, 502, "upstream_model_not_found"),
        ("status:server_error", openai.InternalServerError, 502, "upstream_failed"),
        ("status:html_502", openai.InternalServerError, 502, "upstream_failed"),
        ("status:504", openai.InternalServerError, 504, "upstream_timeout"),
        ("empty_data", openai.InternalServerError, 502, "upstream_no_image"),
        ("half_body", openai.InternalServerError, 502, "upstream_failed"),
        ("wrong_base64", openai.InternalServerError, 502, "upstream_invalid_image"),
    ],
)
def test_an_error_is_told_once_and_never_bought_again(
    mode: str,
    kind: type[openai.APIStatusError],
    status: int,
    code: str,
    client: OpenAI,
    upstream: FakeUpstream,
) -> None:
    """The client retries twice unless it is told not to: the bill shows that it was told."""
    upstream.always(mode)
    with pytest.raises(kind) as raised:
        client.images.generate(model=FLARE, prompt="fox")
    error = raised.value
    assert (error.status_code, error.code) == (status, code)
    assert error.response.headers["x-should-retry"] == "false"
    assert error.response.headers["x-imagegate-call-id"].startswith("call_")
    assert len(upstream.calls) == 1


def test_a_rate_limit_may_be_retried(gateway: str, upstream: FakeUpstream) -> None:
    upstream.always("status:rate_limit")
    with (
        OpenAI(base_url=f"{gateway}/v1", api_key=KEY, max_retries=0) as client,
        pytest.raises(openai.RateLimitError) as raised,
    ):
        client.images.generate(model=FLARE, prompt="fox")
    headers = raised.value.response.headers
    assert headers["retry-after"] == "12"
    assert "x-should-retry" not in headers


@pytest.mark.parametrize(
    ("fields", "kind", "param"),
    [
        ({"model": "gpt-image-9"}, openai.NotFoundError, "model"),
        ({"n": 11}, openai.BadRequestError, "n"),
        ({"size": "1000x1000"}, openai.BadRequestError, "size"),
        ({"prompt": ""}, openai.BadRequestError, "prompt"),
        ({"extra_body": {"api_base": "http://x"}}, openai.BadRequestError, "api_base"),
    ],
)
def test_what_we_refuse_reaches_nobody(
    fields: dict[str, Any],
    kind: type[openai.APIStatusError],
    param: str,
    client: OpenAI,
    upstream: FakeUpstream,
) -> None:
    with pytest.raises(kind) as raised:
        client.images.generate(**{"model": FLARE, "prompt": "fox"} | fields)
    assert raised.value.param == param
    assert raised.value.message
    assert upstream.bill == []


def test_a_wrong_key(gateway: str, upstream: FakeUpstream) -> None:
    with (
        OpenAI(base_url=f"{gateway}/v1", api_key="sk-test-wrong") as client,
        pytest.raises(openai.AuthenticationError) as raised,
    ):
        client.images.generate(model=FLARE, prompt="fox")
    assert raised.value.code == "invalid_api_key"
    assert upstream.bill == []


def test_variations_are_gone(client: OpenAI, files: Path, upstream: FakeUpstream) -> None:
    with (
        pytest.warns(DeprecationWarning, match="deprecated"),
        pytest.raises(openai.APIStatusError) as raised,
    ):
        client.images.create_variation(image=files / "a.png", model=FLARE)
    assert raised.value.status_code == 410
    assert "edit" in raised.value.message
    assert upstream.bill == []
