import json

import pytest

from imagegate.errors import (
    ContentPolicyViolationError,
    ImageError,
    RateLimitError,
    UpstreamCredentialError,
    UpstreamModelNotFoundError,
    UpstreamTimeoutError,
)
from imagegate.providers import azure
from imagegate.types import Json
from imagegate.wire.provider import Target
from tests.providers.talk import SUCCESS, answer, body_of, call, edit_call, request_of, talk

BASE = "https://r.openai.azure.com"
DATED = {"api_version": "2025-04-01-preview", "surface": "deployments"}
V1 = {"api_version": "v1", "surface": "v1"}


def test_the_deployment_route_has_no_model_in_its_body() -> None:
    target = Target(BASE, "gpt-image-2-1", DATED)
    request, _ = talk(azure.generate(call(size="1024x1024"), target), answer(200, SUCCESS))
    path = "/openai/deployments/gpt-image-2-1/images/generations?api-version=2025-04-01-preview"
    assert request.url == BASE + path
    assert json.loads(body_of(request)) == {"prompt": "a red circle", "size": "1024x1024"}


def test_the_deployment_route_has_no_model_in_its_form() -> None:
    request = request_of(azure.edit(edit_call(), Target(BASE, "dep", DATED)))
    assert "/openai/deployments/dep/images/edits?api-version=2025-04-01-preview" in request.url
    assert b'name="model"' not in body_of(request)
    assert b'name="prompt"' in body_of(request)


def test_the_v1_route_names_the_deployment_as_model() -> None:
    target = Target(BASE, "gpt-image-2-1", V1)
    generation = request_of(azure.generate(call(), target))
    assert generation.url == f"{BASE}/openai/v1/images/generations?api-version=v1"
    assert json.loads(body_of(generation))["model"] == "gpt-image-2-1"
    edit = request_of(azure.edit(edit_call(), target))
    assert edit.url == f"{BASE}/openai/v1/images/edits?api-version=v1"
    assert b'name="model"\r\n\r\ngpt-image-2-1\r\n' in body_of(edit)


@pytest.mark.parametrize(
    ("name", "path"),
    [("a/b:c d", "a%2Fb:c%20d"), ("../x", "..%2Fx"), ("a?b#c", "a%3Fb%23c")],
)
def test_a_name_is_encoded_in_the_path(name: str, path: str) -> None:
    request = request_of(azure.generate(call(), Target(BASE, name, DATED)))
    assert f"/openai/deployments/{path}/images/" in request.url


def test_latest_is_the_v1_route_without_a_version() -> None:
    target = Target(BASE, "d", {"api_version": "latest", "surface": "v1"})
    assert azure.build_url(target, "edits") == f"{BASE}/openai/v1/images/edits"


FILTERED = {
    "error": {
        "code": "content_policy_violation",
        "message": "m",
        "param": "prompt",
        "type": None,
        "inner_error": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_results": {
                "self-harm": {"filtered": True, "severity": "high"},
                "violence": {"filtered": False, "severity": "safe"},
                "jailbreak": {"detected": True, "filtered": False},
                "custom_blocklists": {"filtered": False, "details": []},
            },
        },
    }
}


def error_of(status: int, body: Json, headers: dict[str, str] | None = None) -> ImageError:
    target = Target(BASE, "dep", DATED)
    with pytest.raises(ImageError) as caught:
        talk(azure.generate(call(), target), answer(status, body, headers))
    return caught.value


def test_the_filters_categories_are_named() -> None:
    error = error_of(400, FILTERED)
    assert isinstance(error, ContentPolicyViolationError)
    assert "self_harm, jailbreak" in error.message
    assert error.fault == "call"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"created": 1, "error": {"code": "contentFilter", "message": "m"}}, "content"),
        (400, {"error": {"code": "content_filter", "message": "m"}}, "content"),
        (
            400,
            {"error": {"message": "m", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
            "content",
        ),
        (400, {"error": {"code": "moderation_blocked", "message": "m"}}, "content"),
        (404, {"error": {"code": "DeploymentNotFound", "message": "m"}}, "model"),
        (404, {"error": {"code": "404", "message": "Resource not found"}}, "model"),
        (400, {"error": {"message": "Unknown model: gpt-image-2"}}, "model"),
        (
            400,
            {
                "error": {
                    "message": "The model 'gpt-image-2-1' does not exist.",
                    "type": "image_generation_user_error",
                    "param": "model",
                    "code": "invalid_value",
                }
            },
            "model",
        ),
        (401, {"error": {"code": "401", "message": "Access denied"}}, "credential"),
        (401, {"statusCode": 401, "message": "Access denied"}, "credential"),
        (403, {"error": {"code": "AuthenticationTypeDisabled", "message": "m"}}, "credential"),
        (429, {"error": {"code": "insufficient_quota", "message": "m"}}, "credential"),
        (429, {"error": {"code": "429", "message": "m"}}, "rate"),
        (429, {"statusCode": 429, "message": "Rate limit is exceeded."}, "rate"),
        (408, {"error": {"code": "Timeout", "message": "m"}}, "timeout"),
    ],
)
def test_azures_bodies(status: int, body: Json, kind: str) -> None:
    kinds = {
        "content": ContentPolicyViolationError,
        "model": UpstreamModelNotFoundError,
        "credential": UpstreamCredentialError,
        "rate": RateLimitError,
        "timeout": UpstreamTimeoutError,
    }
    assert type(error_of(status, body)) is kinds[kind]


def test_a_refusal_of_api_management_is_the_callers_and_not_ambiguous() -> None:
    assert error_of(400, {"statusCode": 400, "message": "bad"}).fault == "call"


def test_a_404_says_what_to_check() -> None:
    gone = error_of(404, {"error": {"code": "DeploymentNotFound", "message": "m"}})
    path = error_of(404, {"error": {"code": "404", "message": "Resource not found"}})
    assert "five minutes" in gone.message
    assert "api_version" in path.message


def test_the_pause_is_read_from_headers_or_words() -> None:
    body = {"error": {"code": "429", "message": "Please retry after 7 seconds."}}
    assert error_of(429, body).retry_after_s == 7
    assert error_of(429, body, {"retry-after-ms": "1500"}).retry_after_s == 1.5


def test_azures_request_id_is_kept() -> None:
    error = error_of(404, {"error": {"code": "404", "message": "m"}}, {"apim-request-id": "id-1"})
    assert error.request_id == "id-1"
