"""Every provider's free questions: to its own place, and never a request that could be billed."""

import json

import pytest

from imagegate.providers import PROVIDERS
from imagegate.wire.exchange import Send, UpstreamResponse
from imagegate.wire.lift import Lift
from imagegate.wire.probes import Ask, ProbeAnswer
from imagegate.wire.provider import Provider, Target

BASE = "https://place.test"
TARGET = Target(
    BASE,
    "a model/1",
    {
        "api_version": "2025-04-01-preview",
        "surface": "deployments",
        "vertex_project": "p",
        "vertex_location": "global",
        "aws_region_name": "us-west-2",
    },
)
ASKED = [
    pytest.param(provider, name, id=f"{provider.name}-{name}")
    for provider in PROVIDERS
    for name in ("models", "model", "deployments", "invalid")
    if getattr(provider.probes, name)
]
WORDS = ("prompt", "contents", "instances", "text_prompts", "textToImageParams")


def answer(ask: Ask, status: int, body: bytes, target: Target = TARGET) -> ProbeAnswer:
    exchange = ask(target)
    command = exchange.send(None)
    assert isinstance(command, Send)
    lift = Lift("tag")
    lift.feed(body)
    try:
        exchange.send(UpstreamResponse(status, {}, lift.finish(body)))
    except StopIteration as stop:
        found: ProbeAnswer = stop.value
        return found
    raise AssertionError("a probe asks once")


@pytest.mark.parametrize(("provider", "name"), ASKED)
def test_a_question_is_free_and_goes_to_the_deployments_own_place(
    provider: Provider, name: str
) -> None:
    found = answer(getattr(provider.probes, name), 400, b'{"error":{"message":"no"}}')
    request = found.request
    assert request.url.startswith(f"{BASE}/")
    assert " " not in request.url
    assert not found.is_success
    assert provider.read_error(found.response)
    if request.method == "GET":
        assert request.body == ()
        return
    body = json.loads(b"".join(part for part in request.body if isinstance(part, bytes)))
    assert not any(body.get(word) for word in WORDS)


@pytest.mark.parametrize(("provider", "name"), ASKED)
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[1]", b'{"data":[{"id":5}, null]}', b'{"data":{}}']
)
def test_no_answer_breaks_a_probe(provider: Provider, name: str, body: bytes) -> None:
    assert answer(getattr(provider.probes, name), 200, body).names == ()


def test_names_are_read_from_each_shape_of_list() -> None:
    shapes = {
        "openai": b'{"data":[{"id":"gpt-image-2"}]}',
        "gemini": b'{"models":[{"name":"models/gpt-image-2"}]}',
        "vertex_ai": b'{"publisherModels":[{"name":"publishers/google/models/gpt-image-2"}]}',
        "openrouter": b'{"data":[{"id":"gpt-image-2"}]}',
    }
    for provider in PROVIDERS:
        if provider.name in shapes:
            assert provider.probes.models
            found = answer(provider.probes.models, 200, shapes[provider.name])
            assert found.names == ("gpt-image-2",)


def test_the_last_day_is_read_from_openais_model() -> None:
    (openai,) = [one for one in PROVIDERS if one.name == "openai"]
    assert openai.probes.model
    found = answer(openai.probes.model, 200, b'{"id":"m","shutdown_date":"2026-12-01"}')
    assert found.shutdown == "2026-12-01"
