"""Retries and fallbacks: only where nothing was bought, never after an ambiguous failure."""

import pytest

from imagegate import (
    APIConnectionError,
    BadRequestError,
    Client,
    ImageError,
    RateLimitError,
    Timeout,
    UpstreamCredentialError,
    UpstreamFailedError,
)
from imagegate.client.course import Tries
from imagegate.client.settings import Candidate
from tests.upstream import FakeUpstream


def tries(retries_max: int, *models: str) -> Tries:
    return Tries(tuple(Candidate(model, {}, 600.0) for model in models), retries_max)


def test_a_moment_is_tried_again_after_the_pause_that_was_asked_for() -> None:
    course = tries(2, "a", "b")
    assert course.wait_after(RateLimitError("later", retry_after_s=12)) == 12
    assert course.wait_after(RateLimitError("later", retry_after_s=1)) == 1
    assert course.candidate.model == "a"
    assert course.wait_after(RateLimitError("later", retry_after_s=1)) == 0
    assert course.candidate.model == "b"


def test_a_pause_that_is_too_long_goes_to_the_fallback() -> None:
    course = tries(2, "a", "b")
    assert course.wait_after(RateLimitError("tomorrow", retry_after_s=86_400)) == 0
    assert course.candidate.model == "b"


@pytest.mark.parametrize("error", [BadRequestError("no"), Timeout("late")])
def test_a_bad_call_and_an_ambiguous_failure_are_the_end(error: ImageError) -> None:
    assert tries(2, "a", "b").wait_after(error) is None


def test_a_retry_after_a_refused_connection(client: Client) -> None:
    with pytest.raises(APIConnectionError):
        client.image_generation("a red circle", api_base="http://127.0.0.1:9", num_retries=1)


def test_without_retries_it_is_raised(upstream: FakeUpstream, client: Client) -> None:
    upstream.reply("status:rate_limit")
    with pytest.raises(RateLimitError) as raised:
        client.image_generation("a red circle")
    assert raised.value.should_retry
    assert len(upstream.calls) == 1


def test_an_ambiguous_failure_is_never_tried_again(upstream: FakeUpstream, client: Client) -> None:
    upstream.reply("half_body")
    with pytest.raises(UpstreamFailedError):
        client.image_generation("a red circle", num_retries=3, fallbacks=["gpt-image-1.5"])
    assert len(upstream.calls) == 1


def test_a_fallback_takes_over_after_a_deployments_own_failure(
    upstream: FakeUpstream, client: Client
) -> None:
    upstream.reply("status:invalid_key")
    response = client.image_generation("a red circle", fallbacks=["gpt-image-1.5"])
    assert response.model.endswith("/gpt-image-1.5")


def test_a_fallback_may_bring_its_own_connection(client: Client) -> None:
    with FakeUpstream() as other:
        fallback = {"model": "gpt-image-2", "api_base": other.v1, "api_key": "sk-test-other"}
        response = client.image_generation(
            "a red circle", api_base="http://127.0.0.1:9", fallbacks=[fallback]
        )
        assert response.data[0].bytes
        assert len(other.calls) == 1


def test_a_fallback_elsewhere_does_not_get_this_key(upstream: FakeUpstream, client: Client) -> None:
    upstream.reply("status:invalid_key")
    response = client.image_generation("a red circle", fallbacks=["sandbox/gpt-image-2.5-flare"])
    assert response.provider == "sandbox"


def test_the_last_error_is_raised(upstream: FakeUpstream, client: Client) -> None:
    upstream.always("status:invalid_key")
    with pytest.raises(UpstreamCredentialError) as raised:
        client.image_generation("a red circle", fallbacks=["gpt-image-1.5"])
    assert raised.value.model == "gpt-image-1.5"
    assert len(upstream.calls) == 2


def test_a_deadline_ends_the_wait(upstream: FakeUpstream, client: Client) -> None:
    upstream.reply("hold")
    with pytest.raises(Timeout) as raised:
        client.image_generation("a red circle", timeout=0.2)
    assert raised.value.fault == "ambiguous"
    assert raised.value.call_id
    upstream.release()
