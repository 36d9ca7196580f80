"""The findings on errors of our own tree."""

import pytest

from imagegate import ImageError, image_generation
from imagegate.diagnosis.our_errors import finding_for, finding_for_caller
from imagegate.errors import (
    AttemptReport,
    AuthenticationError,
    BudgetExceededError,
    ConfigError,
    ContentPolicyViolationError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    RequestTooLargeError,
    UnprocessableEntityError,
    UpstreamCredentialError,
    UpstreamEmptyError,
    UpstreamFailedError,
    UpstreamModelNotFoundError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
    UpstreamWords,
)
from tests.upstream.fake import FakeUpstream

NO_DEPLOYMENT = '{"error":{"code":"DeploymentNotFound","message":"not there"}}'


@pytest.mark.parametrize(
    ("error", "owner"),
    [
        (AuthenticationError("m"), "caller"),
        (NotFoundError("m"), "caller"),
        (RequestTooLargeError("m"), "caller"),
        (UnprocessableEntityError("m"), "caller"),
        (PermissionDeniedError("m"), "operator"),
        (BudgetExceededError("m"), "operator"),
        (OverloadedError("m"), "operator"),
        (ConfigError("m"), "operator"),
        (ContentPolicyViolationError("m"), "author"),
        (UpstreamUnreachableError("m"), "network"),
        (UpstreamCredentialError("m"), "account"),
        (UpstreamModelNotFoundError("m"), "operator"),
        (UpstreamTimeoutError("m"), "provider"),
        (UpstreamFailedError("m"), "provider"),
        (UpstreamEmptyError("m"), "provider"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ImageError) else value,
)
def test_what_we_say_ourselves(error: ImageError, owner: str) -> None:
    finding = error.finding
    assert finding is not None
    assert (finding.surface, finding.owner) == ("imagegate", owner)


def refused(status: int, text: str, provider: str, model: str) -> UpstreamModelNotFoundError:
    words = UpstreamWords(status, text)
    error = UpstreamModelNotFoundError("m", upstream=words)
    error.attempts = (
        AttemptReport("img-1", "refused", upstream=words, provider=provider, model=model),
    )
    return error


def test_the_upstreams_words_decide() -> None:
    error = refused(404, NO_DEPLOYMENT, "azure", "img2")
    finding = finding_for(error)
    assert (finding.surface, finding.owner) == ("Azure OpenAI", "caller")
    assert "DeploymentNotFound" in finding.text


def test_to_a_caller_of_the_gateway_its_deployments_are_the_operators() -> None:
    finding = finding_for_caller(refused(404, NO_DEPLOYMENT, "azure", "img2"))
    assert (finding.owner, finding.exit_code) == ("operator", 14)


def test_the_attempt_names_the_model() -> None:
    gone = '{"error":{"message":"x","type":"invalid_request_error","param":null,"code":"%s"}}'
    retired = finding_for(refused(404, gone % "model_not_found", "openai", "dall-e-3"))
    assert retired.rule == "openai.retired"
    assert "2026-05-12" in retired.cause
    alive = finding_for(refused(404, gone % "model_not_found", "openai", "gpt-image-2"))
    assert alive.owner == "account"


def test_an_exception_of_the_sdk_explains_itself(upstream: FakeUpstream) -> None:
    upstream.reply("status:azure_model_in_body")
    with pytest.raises(ImageError) as raised:
        image_generation(
            "a fox",
            model="azure/img2",
            api_base=upstream.url,
            api_key="sk-test-azure",
            api_version="2025-04-01-preview",
            size="1024x1024",
        )
    finding = raised.value.finding
    assert finding is not None
    assert (finding.surface, finding.owner) == ("Azure OpenAI", "caller")
    assert "leave model out of the body" in finding.next.lower()
