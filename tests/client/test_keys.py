"""`idempotency_key`: the same request of one client buys once, and upstreams can tell it again."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from imagegate import AsyncClient, Client, ImageError
from imagegate.errors import (
    BadRequestError,
    ContentPolicyViolationError,
    RateLimitError,
    UnprocessableEntityError,
    UpstreamFailedError,
)
from tests.gateway.conftest import Start
from tests.gateway.conftest import start as start
from tests.upstream import FakeUpstream

KEY = "order-17"


def generate(client: Client, **given: Any) -> Any:
    return client.image_generation("a fox", **{"idempotency_key": KEY} | given)


def test_the_same_key_gets_the_same_answer(client: Client, upstream: FakeUpstream) -> None:
    first, again = generate(client), generate(client)
    assert again.images[0].bytes == first.images[0].bytes
    assert again.call_id == first.call_id
    assert again.cost_usd == first.cost_usd
    assert len(upstream.calls) == 1


def test_the_answer_outlives_the_first_response(client: Client, upstream: FakeUpstream) -> None:
    call_id = generate(client).call_id
    client.image_generation("another fox")  # takes files that were given back
    assert generate(client).call_id == call_id
    assert len(upstream.calls) == 2


def test_a_stream_gets_the_same_image(client: Client, upstream: FakeUpstream) -> None:
    first = generate(client)
    events = list(generate(client, stream=True))
    assert [event.type for event in events] == ["image_generation.completed"]
    assert events[0].b64_json == first.data[0].b64_json
    assert len(upstream.calls) == 1


def test_who_asks_meanwhile_waits_for_the_one_image(upstream: FakeUpstream) -> None:
    upstream.reply("hold")

    async def main() -> set[str]:
        async with AsyncClient(
            model="gpt-image-2", api_base=upstream.v1, api_key="sk-test-client"
        ) as client:
            asked = [
                asyncio.create_task(client.image_generation("a fox", idempotency_key=KEY))
                for _ in range(10)
            ]
            await asyncio.to_thread(upstream.wait_held)
            upstream.release()
            return {(await one).call_id for one in asked}

    assert len(asyncio.run(main())) == 1
    assert len(upstream.calls) == 1


def test_a_key_of_another_request_is_refused(client: Client, upstream: FakeUpstream) -> None:
    generate(client)
    for other in ({"quality": "low"}, {"model": "gpt-image-1.5"}):
        with pytest.raises(UnprocessableEntityError) as caught:
            generate(client, **other)
        assert caught.value.param == next(iter(other))
    assert len(upstream.calls) == 1


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("half_body", UpstreamFailedError), ("status:moderation", ContentPolicyViolationError)],
)
def test_what_went_wrong_is_told_again(
    mode: str, kind: type[ImageError], client: Client, upstream: FakeUpstream
) -> None:
    upstream.reply(mode)
    for _ in range(2):
        with pytest.raises(kind):
            generate(client)
    assert len(upstream.calls) == 1


def test_a_key_is_free_where_nothing_was_bought(client: Client, upstream: FakeUpstream) -> None:
    upstream.reply("status:rate_limit")
    with pytest.raises(RateLimitError):
        generate(client)
    assert generate(client).images
    assert len(upstream.calls) == 2


def test_a_retry_is_a_new_try(client: Client, upstream: FakeUpstream) -> None:
    upstream.reply("status:429")
    assert generate(client, num_retries=1).images
    assert len(upstream.calls) == 2


def test_a_fallback_is_found_again(client: Client, upstream: FakeUpstream) -> None:
    upstream.reply("status:invalid_key")
    first = generate(client, fallbacks=["gpt-image-1.5"])
    again = generate(client, fallbacks=["gpt-image-1.5"])
    assert again.call_id == first.call_id
    assert len(upstream.calls) == 2


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "ß", 7])
def test_a_key_that_is_none(key: object, client: Client) -> None:
    with pytest.raises(BadRequestError) as caught:
        generate(client, idempotency_key=key)
    assert caught.value.param == "idempotency_key"


def test_each_try_has_a_key_at_servers_that_may_honour_it(
    client: Client, upstream: FakeUpstream
) -> None:
    client.image_generation("a fox")
    client.image_generation("a fox")
    keys = [call.headers["idempotency-key"] for call in upstream.calls]
    assert len(set(keys)) == 2
    assert all(key.startswith("att_") for key in keys)


def test_azure_is_sent_none(client: Client, upstream: FakeUpstream) -> None:
    client.image_generation("a fox", model="azure/gpt-image-2", api_base=upstream.url)
    assert "idempotency-key" not in upstream.calls[0].headers


def test_another_client_finds_its_image_at_a_gateway(
    start: Start, upstream: FakeUpstream, tmp_path: Path
) -> None:
    """The key that is sent follows from the caller's: a new process sends the same one."""
    gateway = start()
    call_ids = set()
    for name in ("before", "after"):
        with Client(model="openai/img", api_base=f"{gateway.url}/v1", api_key="sk-test") as client:
            generate(client).images[0].save(tmp_path / name)
        [newest] = gateway.get("/v1/images/calls?limit=1").json()["data"]
        call_ids.add(newest["id"])
    assert len(call_ids) == len(upstream.calls) == 1
    assert (tmp_path / "before.png").read_bytes() == (tmp_path / "after.png").read_bytes()
