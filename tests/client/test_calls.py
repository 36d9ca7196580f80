"""Calls through the SDK: what is sent, what comes back, sync and async."""

import asyncio
import json
import threading

import pytest

import imagegate
from imagegate import AsyncClient, BadRequestError, Client
from tests.upstream import FakeUpstream


def sent_json(upstream: FakeUpstream) -> dict[str, object]:
    body = upstream.calls[-1].body
    return json.loads(body)


def test_generation_sends_only_what_was_given(upstream: FakeUpstream, client: Client) -> None:
    response = client.image_generation("a red circle", size="1024x1024")
    assert sent_json(upstream) == {
        "model": "gpt-image-2",
        "prompt": "a red circle",
        "size": "1024x1024",
    }
    assert response.data[0].bytes.startswith(b"\x89PNG")
    assert response.call_id.startswith("call_")
    assert response.provider in ("openai", "openai_compatible")


def test_litellm_words_never_reach_the_wire(upstream: FakeUpstream, client: Client) -> None:
    client.image_generation(
        "a red circle",
        metadata={"a": 1},
        litellm_call_id="x",
        aimg_generation=True,
        input_cost_per_image=3,
        aws_region_name="eu",
        vertex_project="p",
        tags=["t"],
        drop_params=True,
        allowed_openai_params=["seed"],
        mock_timeout=True,
        rpm=3,
        organization=None,
    )
    assert sent_json(upstream) == {"model": "gpt-image-2", "prompt": "a red circle"}


def test_provider_parameters_and_extra_body_are_sent(
    upstream: FakeUpstream, client: Client
) -> None:
    with pytest.raises(BadRequestError, match="seed"):  # this upstream does not know it
        client.image_generation("a red circle", seed=7, extra_body={"steps": 4, "quality": "low"})
    sent = sent_json(upstream)
    assert (sent["seed"], sent["steps"], sent["quality"]) == (7, 4, "low")


@pytest.mark.parametrize("value", [10**30, object()])
def test_what_cannot_be_sent_on_is_refused(
    value: object, client: Client, upstream: FakeUpstream
) -> None:
    with pytest.raises(imagegate.BadRequestError) as caught:
        client.image_generation("a red circle", extra_body={"steps": value})  # type: ignore[dict-item]
    assert caught.value.param == "steps"
    assert upstream.bill == []


def test_extra_body_may_not_choose_a_host(client: Client) -> None:
    with pytest.raises(BadRequestError) as raised:
        client.image_generation("a red circle", extra_body={"api_base": "http://elsewhere"})
    assert raised.value.param == "api_base"


def test_extra_headers_are_sent(upstream: FakeUpstream, client: Client) -> None:
    client.image_generation("a red circle", extra_headers={"x-team": "blue"})
    assert upstream.calls[-1].headers["x-team"] == "blue"


def test_a_call_overrides_the_defaults_of_its_client(
    upstream: FakeUpstream, client: Client
) -> None:
    client.image_generation("a red circle", "gpt-image-1.5")
    assert sent_json(upstream)["model"] == "gpt-image-1.5"


def test_a_dearer_call_than_allowed_is_not_sent(upstream: FakeUpstream, client: Client) -> None:
    with pytest.raises(imagegate.BudgetExceededError):
        client.image_generation(
            "a red circle", quality="high", max_cost_usd="0.0001", base_model="gpt-image-2"
        )
    assert upstream.calls == []


@pytest.mark.parametrize("n", [0, 11, 1.5, True, "2"])
def test_a_wrong_n_is_refused_before_anything_is_sent(
    upstream: FakeUpstream, client: Client, n: object
) -> None:
    with pytest.raises(BadRequestError) as raised:
        client.image_generation("a red circle", n=n)  # type: ignore[call-overload]
    assert raised.value.param == "n"
    assert upstream.calls == []


def test_several_images(upstream: FakeUpstream, client: Client) -> None:
    response = client.image_generation("a red circle", n=3)
    assert len(response.images) == 3
    assert upstream.images_billed == 3


def test_the_async_twin_runs_from_any_loop(upstream: FakeUpstream) -> None:
    async def both() -> tuple[imagegate.ImageResponse, imagegate.ImageResponse]:
        async with AsyncClient(model="gpt-image-2", api_base=upstream.v1, api_key="k") as client:
            return await asyncio.gather(
                client.image_generation("one"), client.image_generation("two")
            )

    first, second = asyncio.run(both())
    assert first.call_id != second.call_id
    assert first.data[0].b64_json


def test_the_module_functions_use_the_keywords_of_the_call(upstream: FakeUpstream) -> None:
    connection = {"api_base": upstream.v1, "api_key": "sk-test"}
    first = imagegate.image_generation("one", model="gpt-image-2", **connection)
    second = asyncio.run(imagegate.aimage_generation("two", model="gpt-image-2", **connection))
    assert first.data[0].bytes
    assert second.data[0].bytes
    assert len(upstream.calls) == 2


def test_a_sync_call_works_inside_a_running_loop(client: Client) -> None:
    async def notebook_cell() -> imagegate.ImageResponse:
        return client.image_generation("a red circle")

    assert asyncio.run(notebook_cell()).data[0].bytes


def test_threads_share_a_client(upstream: FakeUpstream, client: Client) -> None:
    responses = []

    def make(prompt: str) -> None:
        responses.append(client.image_generation(prompt))

    threads = [threading.Thread(target=make, args=(f"picture {i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len({response.call_id for response in responses}) == 4


def test_a_closed_client_says_so(upstream: FakeUpstream) -> None:
    client = Client(api_base=upstream.v1, api_key="sk-test")
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.image_generation("a red circle")


def test_a_configuration_may_be_a_mapping(upstream: FakeUpstream) -> None:
    params = {"model": "openai/gpt-image-2", "api_base": upstream.v1, "api_key": "sk-test"}
    config = {"model_list": [{"model_name": "mine", "litellm_params": params}]}
    with Client(config) as client:
        assert client.image_generation("a red circle", model="mine").data[0].bytes
        with pytest.raises(imagegate.NotFoundError):
            client.image_generation("a red circle", model="other")


def test_without_a_key_the_error_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(imagegate.AuthenticationError, match="OPENAI_API_KEY"):
        imagegate.image_generation("a red circle")


def test_mock_response_draws_here(upstream: FakeUpstream, client: Client) -> None:
    response = client.image_generation("a red circle", mock_response="anything")
    assert response.provider == "sandbox"
    assert upstream.calls == []


def test_the_signature_is_readable() -> None:
    import inspect

    for function in (imagegate.image_generation, Client.image_generation):
        assert "max_cost_usd" in inspect.signature(function).parameters
    assert inspect.iscoroutinefunction(imagegate.aimage_edit)
    assert imagegate.aimage_edit.__name__ == "aimage_edit"
