import json

import pytest

from imagegate.errors import ImageError
from imagegate.providers import PROVIDERS, openai_compatible, provider_for
from imagegate.types import Json
from imagegate.wire.provider import Target
from tests.providers.talk import answer, body_of, call, edit_call, request_of, talk

TARGET = Target("http://own:8000/v1", "org/sdxl")


def test_fields_that_nobody_knows_and_response_format_pass() -> None:
    asked = call(response_format="b64_json", extra={"seed": 7, "negative_prompt": "blurry"})
    body = json.loads(body_of(request_of(openai_compatible.generate(asked, TARGET))))
    assert body["model"] == "org/sdxl"
    assert body["response_format"] == "b64_json"
    assert (body["seed"], body["negative_prompt"]) == (7, "blurry")


def test_an_answer_may_hold_urls() -> None:
    response = answer(200, {"created": 1, "data": [{"url": "http://own:8000/1.png"}]})
    request, result = talk(openai_compatible.generate(call(), TARGET), response)
    assert request.url == "http://own:8000/v1/images/generations"
    assert result.images[0].url == "http://own:8000/1.png"


def test_edits_and_variations_are_forms() -> None:
    edit = request_of(openai_compatible.edit(edit_call(), TARGET))
    variation = request_of(openai_compatible.variation(edit_call(prompt=""), TARGET))
    assert edit.url == "http://own:8000/v1/images/edits"
    assert variation.url == "http://own:8000/v1/images/variations"
    assert b'name="prompt"' not in body_of(variation)


@pytest.mark.parametrize(
    ("status", "body", "fault", "code"),
    [
        (400, {"detail": "bad response_format"}, "call", "invalid_value"),
        (422, {"detail": [{"loc": ["body", "size"], "msg": "bad"}]}, "call", "invalid_value"),
        (401, {"detail": "Could not validate credentials"}, "deployment", "upstream_credential"),
        (404, {"detail": "Model not found"}, "deployment", "upstream_model_not_found"),
        (400, {"error": {"message": "Model mismatch: x", "code": 400}}, "deployment", None),
        (429, {"detail": "Rate limit reached"}, "moment", "rate_limit_exceeded"),
        (500, {"detail": "[address=1, pid=2] boom"}, "ambiguous", "upstream_failed"),
        (500, {"error": {"code": 500, "message": "m", "type": ""}}, "ambiguous", None),
        (400, {"error": {"code": "1301", "message": "m"}}, "call", "moderation_blocked"),
        (
            400,
            {"error": {"code": "InputTextSensitiveContentDetected", "message": "m"}},
            "call",
            "moderation_blocked",
        ),
        (400, {"code": "DataInspectionFailed", "error": "m"}, "call", "moderation_blocked"),
        (429, {"error": {"code": "1113", "message": "m"}}, "deployment", "upstream_credential"),
        (403, {"error": {"code": "AccountOverdueError", "message": "m"}}, "deployment", None),
        (429, {"error": {"code": "1302", "message": "m"}}, "moment", "rate_limit_exceeded"),
        (401, {"error": {"code": "1002", "message": "m"}}, "deployment", "upstream_credential"),
        (404, {"error": {"code": "ModelNotOpen", "message": "m"}}, "deployment", None),
        (502, "<html>", "ambiguous", "upstream_failed"),
        (503, {"detail": "Model is loading"}, "ambiguous", "upstream_failed"),
    ],
)
def test_what_servers_say(status: int, body: Json, fault: str, code: str | None) -> None:
    error = openai_compatible.read_error(answer(status, body))
    assert error.fault == fault, error
    assert code in (None, error.code)


def test_a_server_that_is_loading_has_not_begun() -> None:
    body = {"detail": "Model is loading, please retry later"}
    error: ImageError = openai_compatible.read_error(answer(503, body, {"retry-after": "30"}))
    assert (error.fault, error.retry_after_s) == ("moment", 30)


def test_every_provider_is_found_by_its_name() -> None:
    assert {provider.name: provider for provider in PROVIDERS} == {
        provider.name: provider_for(provider.name) for provider in PROVIDERS
    }
    assert len({provider.name for provider in PROVIDERS}) == len(PROVIDERS)
    assert provider_for("fal_ai") is None
