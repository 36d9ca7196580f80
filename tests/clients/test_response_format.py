"""openai-python at other providers: bytes or urls as asked, and facts of what came."""

import base64
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from openai import OpenAI

from tests.exchanges import case as cases
from tests.exchanges.case import Case
from tests.exchanges.recorded import BY_HTTP, at_gateway
from tests.gateway.running import RunningGateway

T = TypeVar("T")
PNG, JPEG = b"\x89PNG", b"\xff\xd8\xff"


def case_of(provider: str, wanted: str) -> Case:
    held = cases.cases_of(provider)
    return next(case for case in held if case.operation == "generate" and case.case == wanted)


def with_gateway(name: str, case: Case, folder: Path, talk: Callable[[RunningGateway], T]) -> T:
    provider = next(provider for provider in BY_HTTP if provider.name == name)
    return at_gateway(provider, case, folder, talk)


# Gemini and Bedrock send bytes, Black Forest Labs a url that ends within minutes.
@pytest.mark.parametrize("provider", ["gemini", "bedrock", "recraft", "black_forest_labs"])
def test_bytes_and_urls_are_the_same_image(provider: str, tmp_path: Path) -> None:
    def talk(gateway: RunningGateway) -> tuple[bytes, bytes, str]:
        with OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0) as client:
            given = client.images.generate(
                model="img", prompt="a red cube", response_format="b64_json"
            )
            linked = client.images.generate(model="img", prompt="a red cube", response_format="url")
        assert given.data
        assert linked.data
        assert (given.data[0].url, linked.data[0].b64_json) == (None, None)
        url = linked.data[0].url or ""
        assert url.startswith(f"{gateway.url}/v1/images/assets/"), "never the provider's own url"
        with urllib.request.urlopen(url) as answer:
            return base64.b64decode(given.data[0].b64_json or ""), answer.read(), url

    case = case_of(provider, "success_minimal")
    inline, fetched, _ = with_gateway(provider, case, tmp_path, talk)
    assert inline == fetched
    assert inline.startswith((PNG, JPEG))


def test_size_and_format_are_those_of_the_bytes(tmp_path: Path) -> None:
    def talk(gateway: RunningGateway) -> tuple[str | None, str | None, str | None]:
        with OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0) as client:
            made = client.images.generate(
                model="img", prompt="a red cube", size="1536x1024", quality="high"
            )
        return made.size, made.output_format, made.quality

    case = case_of("gemini", "success_minimal")
    assert with_gateway("gemini", case, tmp_path, talk) == ("12x8", "jpeg", None)


def test_of_images_that_differ_no_one_format_is_told(tmp_path: Path) -> None:
    case = case_of("xinference", "success_full")

    def talk(gateway: RunningGateway) -> tuple[object, list[bytes]]:
        answer = gateway.generate(n=2).json()
        assert "size" not in answer
        return answer.get("output_format"), [
            base64.b64decode(image["b64_json"])[:3] for image in answer["data"]
        ]

    assert with_gateway("xinference", case, tmp_path, talk) == (None, [JPEG, PNG[:3]])


def test_the_usage_of_parts_adds_up_in_every_field(tmp_path: Path) -> None:
    case = case_of("gemini", "success_minimal")

    def talk(gateway: RunningGateway) -> tuple[object, object]:
        return gateway.generate().json()["usage"], gateway.generate(n=3).json()["usage"]

    one, three = with_gateway("gemini", case, tmp_path, talk)
    assert isinstance(one, dict)
    assert three == tripled(one)


def tripled(value: object) -> object:
    if isinstance(value, dict):
        return {name: tripled(each) for name, each in value.items()}
    if isinstance(value, list):
        return [tripled(each) for each in value]
    return value * 3 if isinstance(value, int) else value
