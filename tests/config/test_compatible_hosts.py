"""Where the rows, Xinference, Nscale and Foundry are found, and how they sign in."""

import datetime

import pytest

from imagegate.config.client_settings import client_settings
from imagegate.config.settings import Deployment
from imagegate.errors import AuthenticationError, BadRequestError, ConfigError
from imagegate.plan import Plan, plan
from imagegate.providers import PROVIDERS, compatible_rows
from imagegate.types import Adjustment, Blob, ImageCall

TODAY = datetime.date(2026, 11, 20)
IMAGE = Blob(source=b"", offset=0, length=0, media_type="image/png")
FOUNDRY = {"AZURE_AI_API_KEY": "key-test-foundry"}


def deployment_of(model: str, env: dict[str, str] | None = None, **given: str) -> Deployment:
    settings, _ = client_settings(model, env=env or {}, **given)
    return settings.deployments[0]


def plan_of(deployment: Deployment, **fields: object) -> Plan:
    call = ImageCall(
        **{"id": "c", "operation": "generate", "model": "m", "prompt": "a cat"} | fields
    )
    return plan(call, deployment, policy="nearest", on_retired="send", today=TODAY)


def adjusted(made: Plan) -> dict[str, object]:
    return {change.param: change.sent for change in made.adjustments}


@pytest.mark.parametrize(
    ("model", "given", "base_url"),
    [
        ("xinference/sd3.5", "http://127.0.0.1:9997", "http://127.0.0.1:9997/v1"),
        ("xinference/sd3.5", "http://127.0.0.1:9997/v1", "http://127.0.0.1:9997/v1"),
        ("hosted_vllm/Qwen/Qwen-Image", "http://gpu:8000", "http://gpu:8000/v1"),
        ("ollama/x/z-image-turbo", "http://localhost:11434", "http://localhost:11434/v1"),
        ("deepinfra/a/b", "https://api.deepinfra.com", "https://api.deepinfra.com/v1/openai"),
        ("sglang/m", "https://own.example/images/api", "https://own.example/images/api"),
    ],
)
def test_an_address_that_is_a_host_gets_the_usual_path(
    model: str, given: str, base_url: str
) -> None:
    deployment = deployment_of(model, api_base=given, api_key="sk-test")
    assert deployment.target.base_url == base_url


def test_a_server_of_ones_own_needs_no_key_and_a_host_does() -> None:
    assert deployment_of("vllm/m", api_base="http://gpu:8000").credential.kind == "none"
    assert deployment_of("vllm/m", api_base="http://gpu:8000", api_key="k").credential.kind == (
        "bearer"
    )
    with pytest.raises(AuthenticationError, match="XAI_API_KEY"):
        deployment_of("xai/grok-imagine-image")
    with pytest.raises(ConfigError, match="XINFERENCE_API_BASE"):
        deployment_of("xinference/sd3.5")


def test_an_alias_is_the_same_provider() -> None:
    deployment = deployment_of("hosted_vllm/m", {"HOSTED_VLLM_API_BASE": "http://gpu:8000"})
    assert deployment.provider.name == "vllm"
    names = [name for one in PROVIDERS for name in (one.name, *one.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("row", compatible_rows.ROWS, ids=lambda row: row.prefix)
def test_every_row_says_what_its_models_may_take(row: compatible_rows.Row) -> None:
    deployment = deployment_of(
        f"{row.prefix}/some/model", api_base="https://host.example", api_key="sk-test"
    )
    assert deployment.assumed is not None
    assert ("edit" in deployment.assumed.operations) == (row.dialect.edits != "none")


@pytest.mark.parametrize(
    ("name", "address", "root", "surface", "kind"),
    [
        ("FLUX.2-pro", "https://r.services.ai.azure.com", "", "blackforestlabs", "bearer"),
        ("flux.2-pro", "https://r.services.ai.azure.com/", "", "blackforestlabs", "bearer"),
        (
            "FLUX-1.1-pro",
            "https://r.services.ai.azure.com/openai/v1/",
            "",
            "deployments",
            "api-key",
        ),
        ("MAI-Image-2.6", "https://r.services.ai.azure.com/mai/v1", "", "mai", "api-key"),
        (
            "FLUX.1-Kontext-pro",
            "https://r.api.cognitive.microsoft.com/providers/blackforestlabs/v1/x?api-version=preview",
            "https://r.api.cognitive.microsoft.com",
            "blackforestlabs",
            "bearer",
        ),
        (
            "mine",
            "https://r.services.ai.azure.com/mai/v1/images/generations",
            "",
            "mai",
            "api-key",
        ),
    ],
)
def test_foundrys_surfaces(name: str, address: str, root: str, surface: str, kind: str) -> None:
    deployment = deployment_of(f"azure_ai/{name}", FOUNDRY, api_base=address)
    assert deployment.target.base_url == (root or "https://r.services.ai.azure.com")
    assert deployment.target.traits["surface"] == surface
    assert deployment.credential.kind == kind


def test_a_deployment_of_ones_own_name_is_told_by_base_model() -> None:
    base = "https://r.services.ai.azure.com"
    deployment = deployment_of(
        "azure_ai/my-flux", FOUNDRY, api_base=base, base_model="azure_ai/FLUX.2-flex"
    )
    assert deployment.target.traits["path"] == "flux-2-flex"
    whole = f"{base}/openai/deployments/kontext/images/edits?api-version=preview"
    named = deployment_of("azure_ai/FLUX.1-Kontext-pro", FOUNDRY, api_base=whole)
    assert (named.target.base_url, named.target.upstream_model) == (base, "kontext")


def test_an_address_of_foundry_is_needed() -> None:
    with pytest.raises(ConfigError, match="AZURE_AI_API_BASE"):
        deployment_of("azure_ai/FLUX.2-pro", FOUNDRY)


def test_the_name_of_a_deployment_proves_no_life_cycle() -> None:
    deployment = deployment_of(
        "azure_ai/MAI-Image-2.5", FOUNDRY, api_base="https://r.services.ai.azure.com"
    )
    assert plan_of(deployment).warnings == ()


def test_a_retired_model_of_a_host_is_warned_of() -> None:
    deployment = deployment_of("xai/grok-imagine-image-quality", api_key="xai-test")
    (warning,) = plan_of(deployment).warnings
    assert "2026-11-02" in warning


def test_xai_gets_a_ratio_and_a_resolution() -> None:
    deployment = deployment_of("xai/grok-imagine-image-2.0", api_key="xai-test")
    made = plan_of(deployment, size="1792x1024", quality="high", style="vivid")
    assert (made.call.size, made.call.aspect_ratio, made.call.resolution) == (None, "16:9", "1k")
    assert adjusted(made) == {"size": "16:9 1k", "quality": "medium", "style": None}


def test_an_edit_at_xinference_takes_no_arguments() -> None:
    deployment = deployment_of("xinference/sd3.5", api_base="http://127.0.0.1:9997")
    extra = {"seed": 0, "negative_prompt": "blurry", "guidance_scale": 5, "lora": "x"}
    assert adjusted(plan_of(deployment, extra=extra)) == {"lora": None}
    made = plan_of(deployment, operation="edit", images=(IMAGE,), extra=extra)
    assert adjusted(made) == dict.fromkeys(extra)
    assert made.call.extra == {}
    assert made.call.seed is None


def test_an_edit_by_mai_takes_no_size_and_no_mask() -> None:
    deployment = deployment_of(
        "azure_ai/MAI-Image-2.6", FOUNDRY, api_base="https://r.services.ai.azure.com"
    )
    made = plan_of(deployment, operation="edit", images=(IMAGE,), size="1024x1024", n=2)
    assert adjusted(made) == {"size": None}
    assert made.requests == 2
    with pytest.raises(BadRequestError) as caught:
        plan_of(deployment, operation="edit", images=(IMAGE,), mask=IMAGE)
    assert caught.value.param == "mask"
    assert plan_of(deployment, size="1792x1024").adjustments[0] == Adjustment(
        "size", "1792x1024", "1354x774", "the nearest size that azure_ai/MAI-Image-2.6 has"
    )


def test_ark_takes_a_resolution_by_name() -> None:
    deployment = deployment_of("volcengine/doubao-seedream-4-0-250828", api_key="test")
    made = plan_of(deployment, extra={"resolution": "2K", "watermark": False})
    assert made.call.resolution == "2K"
    assert made.adjustments == ()
