"""Each provider's refusals and empty successes, as a caller meets them over HTTP."""

from pathlib import Path

import openai
import pytest

from imagegate.wire.provider import Provider
from tests.exchanges import case as cases
from tests.exchanges.case import Case
from tests.exchanges.recorded import BY_HTTP, at_gateway
from tests.gateway.running import RunningGateway

FIELDS = ("prompt", "size", "n", "quality", "stream", "moderation")


def told_cases() -> list[tuple[Provider, Case]]:
    """Return all generations that end in a refusal by policy, or in a success without an image."""
    return [
        (provider, case)
        for provider in BY_HTTP
        for case in cases.cases_of(provider.name)
        if case.operation == "generate"
        and case.case.startswith(("content_policy", "empty_success"))
    ]


CASES = told_cases()


def ask(gateway: RunningGateway, case: Case) -> openai.APIStatusError:
    fields = {name: case.call[name] for name in FIELDS if name in case.call}
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0)
    with client, pytest.raises(openai.APIStatusError) as caught:
        client.images.generate(model="img", **({"prompt": "a red cube"} | fields))
    return caught.value


@pytest.mark.parametrize(
    ("provider", "case"), CASES, ids=[f"{provider.name}-{case.about}" for provider, case in CASES]
)
def test_the_caller_is_told_who_refused(provider: Provider, case: Case, tmp_path: Path) -> None:
    error = at_gateway(provider, case, tmp_path, lambda gateway: ask(gateway, case))
    wanted = case.error
    assert wanted
    assert error.code == wanted.code
    if wanted.name == "ContentPolicyViolationError":
        assert isinstance(error, openai.BadRequestError)
        assert error.type == "image_generation_user_error"
        assert error.response.headers["x-should-retry"] == "false"
    else:
        assert error.status_code >= 500
    assert error.body
