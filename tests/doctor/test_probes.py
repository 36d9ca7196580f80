"""The free questions to each provider: what is asked, what is surely refused, what is not there."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from imagegate.config.settings import Deployment
from imagegate.diagnosis.checkup import Checkup, Step, known_good
from imagegate.diagnosis.doctor import open_doctor
from imagegate.providers import PROVIDERS, provider_for
from imagegate.wire.exchange import Send
from imagegate.wire.provider import Provider
from tests.doctor.surface import Asked, Surface, models
from tests.exchanges import case as cases

# What a question asks for, with `m` as the model; P5's body says why it is refused.
ASKED: dict[str, tuple[str, ...]] = {
    "openai": ("GET /models", "GET /models/m", "POST /images/generations"),
    "openai_compatible": ("GET /models", "GET /models/m", "POST /images/generations"),
    "xinference": ("GET /models", "GET /models/m", "POST /images/generations"),
    "nscale": ("GET /models", "POST /images/generations"),
    "azure": (
        "GET /openai/models",
        "GET /openai/deployments",
        "POST /openai/deployments/m/images/generations",
    ),
    "azure_ai": ("POST /openai/deployments/m/images/generations",),
    "openrouter": (
        "GET /key",
        "GET /images/models",
        "GET /images/models/m/endpoints",
        "POST /images",
    ),
    "recraft": ("GET /v1/users/me", "GET /v1/models", "POST /v1/images/generations"),
    "black_forest_labs": ("GET /v1/credits", "POST /v1/m"),
    "bedrock": ("GET /foundation-models", "POST /model/m/invoke"),
    "gemini": (
        "GET /v1beta/models",
        "GET /v1beta/models/m",
        "POST /v1beta/models/m:generateContent",
    ),
    "vertex_ai": (
        "GET /v1/publishers/google/models",
        "GET /v1/publishers/google/models/m",
        "POST /v1/projects/p/locations/l/publishers/google/models/m:generateContent",
    ),
    "zai": ("GET /models",),
    "volcengine": ("GET /models",),
}
ROWS = ("GET /models", "POST /images/generations")
BY_HTTP = [one for one in PROVIDERS if one.auth != "none"]
TRAITS = {
    "api_version": "v1",
    "vertex_project": "p",
    "vertex_location": "l",
    "aws_region_name": "us-west-2",
}


REFUSED = (
    400,
    {"x-amzn-errortype": "ValidationException"},
    {"error": {"message": "no", "code": "missing_required_parameter"}},
)
LISTED = (200, {}, models("m", "n"))


def examine(provider: Provider, folder: Path, said: Any) -> tuple[Checkup, list[Asked]]:
    with Surface({"GET *": said[0], "POST *": said[1]}) as surface:
        held = next(iter(cases.cases_of(provider.name)), None)
        traits = {**(held.target.traits if held else {}), **TRAITS}
        traits |= {"surface": "deployments", "api_version": _version(provider)}
        target = cases.Target(surface.url, "m", traits)
        one = Deployment(id="d", group="g", provider=provider, target=target)

        async def ask() -> Checkup:
            async with open_doctor(str(folder / "spool"), {}) as doctor:
                return await doctor.examine_one(one)

        return asyncio.run(ask()), surface.asked


def _version(provider: Provider) -> str:
    return {"azure": "2025-04-01-preview"}.get(provider.name, "")


@pytest.mark.parametrize("provider", BY_HTTP, ids=lambda one: one.name)
def test_each_provider_is_asked_all_that_is_free(provider: Provider, tmp_path: Path) -> None:
    found, asked = examine(provider, tmp_path, (LISTED, REFUSED))
    paths = tuple(f"{one.method} {one.path.partition('?')[0]}" for one in asked)
    assert paths == ASKED.get(provider.name, ROWS)
    assert {step.probe for step in found.steps} >= {"P0", "P1", "P2", "P3", "P4", "P5"}
    skipped = [step for step in found.steps if step.state == "skipped"]
    assert all("Not possible here: " in step.text for step in skipped)
    assert not found.faults


@pytest.mark.parametrize("provider", BY_HTTP, ids=lambda one: one.name)
def test_what_is_invalid_on_purpose_could_not_be_billed(provider: Provider, tmp_path: Path) -> None:
    _, asked = examine(provider, tmp_path, (LISTED, REFUSED))
    for one in asked:
        if one.method == "POST":
            body = json.loads(one.body)
            assert not {"prompt", "input", "text_prompts", "textToImageParams"} & body.keys()


@pytest.mark.parametrize(
    ("surface", "lacks"),
    [("mai", {"width": 1, "height": 1}), ("blackforestlabs", {"num_images": 0})],
)
def test_foundrys_other_surfaces_have_limits_of_their_own(
    surface: str, lacks: Mapping[str, int]
) -> None:
    provider = provider_for("azure_ai")
    assert provider
    assert provider.probes.invalid
    traits = {"surface": surface, "api_version": "preview", "path": "flux-2-pro"}
    question = provider.probes.invalid(cases.Target("https://r.test", "m", traits))
    command = next(question)
    assert isinstance(command, Send)
    body = json.loads(b"".join(command.request.body))
    assert lacks.items() <= body.items()
    assert surface in command.request.url


def test_a_regions_models_are_listed_at_its_control_plane() -> None:
    provider = provider_for("bedrock")
    assert provider
    move = provider.probes.control_plane
    assert move
    assert move("https://bedrock-runtime.us-west-2.amazonaws.com") == (
        "https://bedrock.us-west-2.amazonaws.com"
    )
    assert move("https://bedrock-runtime-fips.us-east-1.amazonaws.com") == (
        "https://bedrock-fips.us-east-1.amazonaws.com"
    )
    assert move("http://127.0.0.1:5055") == "http://127.0.0.1:5055"


def test_an_account_without_credits_is_a_fault(tmp_path: Path) -> None:
    provider = provider_for("black_forest_labs")
    assert provider
    found, asked = examine(provider, tmp_path, ((200, {}, {"credits": 0}), REFUSED))
    (fault,) = found.faults
    assert (fault.probe, fault.owner, fault.exit_code) == ("P2", "account", 11)
    assert len(asked) == 1
    assert "100 credits are left" in _account(provider, tmp_path, 100).text


def _account(provider: Provider, folder: Path, credits_left: float) -> Step:
    found, _ = examine(provider, folder, ((200, {}, {"credits": credits_left}), REFUSED))
    return next(step for step in found.steps if step.title == "account")


UNKNOWN = (404, {}, {"error": {"message": "no such model", "code": "model_not_found"}})


def test_another_model_tells_whether_the_key_is_fine(tmp_path: Path) -> None:
    provider = provider_for("openai_compatible")
    assert provider
    found, asked = examine(provider, tmp_path, ((200, {}, models("other")), UNKNOWN))
    (step,) = [step for step in found.steps if step.probe == "P6"]
    assert json.loads(asked[-1].body)["model"] == "other"
    assert "other is refused as well" in step.text


@pytest.mark.parametrize(
    ("name", "listed", "good"),
    [
        ("openai", (), "gpt-image-2"),
        ("gemini", ("gemini-2.5-pro", "gemini-nano-banana-2.1"), "gemini-nano-banana-2.1"),
        ("gemini", ("gemini-2.5-pro",), ""),
        ("gemini", ("gemini-2.5-flash-image",), ""),  # it has ended
        ("xinference", ("sdxl",), "sdxl"),
        ("xinference", (), ""),
    ],
)
def test_who_is_known_to_be_good(name: str, listed: tuple[str, ...], good: str) -> None:
    provider = provider_for(name)
    assert provider
    deployment = Deployment(id="d", group="g", provider=provider, target=cases.Target("", "m"))
    assert known_good(deployment, listed) == good


def test_how_long_each_phase_took_is_told(tmp_path: Path) -> None:
    provider = provider_for("openai_compatible")
    assert provider
    found, _ = examine(provider, tmp_path, (LISTED, REFUSED))
    way = next(step for step in found.steps if step.probe == "P1")
    assert list(way.phases_s) == ["dns", "connect"]
    asked = next(step for step in found.steps if step.probe == "P2")
    assert asked.seen
    assert list(asked.seen.phases_s) == ["first_byte", "body"]
    assert all(seconds >= 0 for seconds in msgspec.to_builtins(asked.seen.phases_s).values())
