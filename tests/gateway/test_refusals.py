"""Each provider's refusals and empty successes, as a caller meets them over HTTP."""

import asyncio
from pathlib import Path

import msgspec
import openai
import pytest

from imagegate.catalogue.rows import builtin_catalogue
from imagegate.config.settings import AssetSettings, Settings
from imagegate.wire.provider import Provider
from tests.exchanges import case as cases
from tests.exchanges.case import Case
from tests.gateway.running import RunningGateway
from tests.providers.test_forty_calls import BY_HTTP, Upstream, deployment_of, served

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
    upstream = Upstream(case, 1)
    upstream.may_answer.set()

    def talk(origin: str) -> openai.APIStatusError:
        deployment = deployment_of(provider, case, origin)
        settings = Settings(
            deployments=(msgspec.structs.replace(deployment, group="img"),),
            catalogue=builtin_catalogue(),
            assets=AssetSettings(folder=str(tmp_path / "data")),
            database_url=f"sqlite:///{tmp_path}/ledger.db",
        )
        with RunningGateway(settings) as gateway:
            return ask(gateway, case)

    async def scene() -> openai.APIStatusError:
        async with served(upstream) as origin:
            return await asyncio.to_thread(talk, origin)

    error = asyncio.run(scene())
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
