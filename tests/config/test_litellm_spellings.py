"""LiteLLM's names of settings and variables mean here what they mean there, each told once.

A line holds the model, the name, what is given under it, and where it ends up. A name in capitals
is an environment variable; any other is a keyword of the SDK and a key of `litellm_params`.
"""

import json
from pathlib import Path

import pytest

from imagegate.config.client_settings import client_settings
from imagegate.config.load import load_settings
from imagegate.config.settings import Deployment
from imagegate.providers import PROVIDERS
from imagegate.types import Json, Secret

NANO = "vertex_ai/gemini-nano-banana-2.1"
SD = "bedrock/stability.sd3-5-large-v1:0"
PLACES = {
    NANO: {"VERTEXAI_PROJECT": "project-0"},
    SD: {
        "AWS_DEFAULT_REGION": "us-west-2",
        "AWS_ACCESS_KEY_ID": "AKIA0",
        "AWS_SECRET_ACCESS_KEY": "secret-0",
    },
    "azure/img": {"AZURE_API_BASE": "https://r.openai.azure.com", "AZURE_AD_TOKEN": "token-0"},
    "azure_ai/FLUX.2-pro": {
        "AZURE_AI_API_BASE": "https://r.services.ai.azure.com", "AZURE_AD_TOKEN": "token-0",
    },
    "openai/m": {"OPENAI_API_KEY": "sk-test-0"},
    "xinference/sdxl": {"XINFERENCE_API_BASE": "http://127.0.0.1:9997"},
    "hosted_vllm/m": {"HOSTED_VLLM_API_BASE": "http://127.0.0.1:8000"},
}  # fmt: skip
"""What each model cannot do without, in the variables that are looked at last."""

HOSTED = (
    "gemini/m", "recraft/recraftv3", "openrouter/m", "nscale/m", "xai/m", "together_ai/m",
    "deepinfra/m", "volcengine/m", "zai/m",
)  # fmt: skip

KEYS = (
    ("openai/m", "OPENAI_API_KEY"),
    ("azure/img", "AZURE_API_KEY"),
    ("azure/img", "AZURE_OPENAI_API_KEY"),
    ("azure_ai/FLUX.2-pro", "AZURE_AI_API_KEY"),
    ("gemini/m", "GEMINI_API_KEY"),
    ("gemini/m", "GOOGLE_API_KEY"),
    ("recraft/recraftv3", "RECRAFT_API_KEY"),
    ("openrouter/m", "OPENROUTER_API_KEY"),
    ("openrouter/m", "OR_API_KEY"),
    ("xinference/sdxl", "XINFERENCE_API_KEY"),
    ("nscale/m", "NSCALE_API_KEY"),
    ("xai/m", "XAI_API_KEY"),
    ("together_ai/m", "TOGETHERAI_API_KEY"),
    ("together_ai/m", "TOGETHER_API_KEY"),
    ("together_ai/m", "TOGETHER_AI_API_KEY"),
    ("deepinfra/m", "DEEPINFRA_API_KEY"),
    ("volcengine/m", "VOLCENGINE_API_KEY"),
    ("volcengine/m", "ARK_API_KEY"),
    ("zai/m", "ZAI_API_KEY"),
    ("hosted_vllm/m", "HOSTED_VLLM_API_KEY"),
    (SD, "AWS_BEARER_TOKEN_BEDROCK"),
    ("azure/img", "AZURE_AD_TOKEN"),
    ("azure/img", "azure_ad_token"),
    *((model, "api_key") for model in (*HOSTED, *PLACES)),
)

BASES = (
    ("openai/m", "OPENAI_BASE_URL"),
    ("openai/m", "OPENAI_API_BASE"),
    ("azure/img", "AZURE_API_BASE"),
    ("azure_ai/FLUX.2-pro", "AZURE_AI_API_BASE"),
    ("gemini/m", "GEMINI_API_BASE"),
    ("recraft/recraftv3", "RECRAFT_API_BASE"),
    ("openrouter/m", "OPENROUTER_API_BASE"),
    ("xinference/sdxl", "XINFERENCE_API_BASE"),
    ("xai/m", "XAI_API_BASE"),
    ("together_ai/m", "TOGETHER_AI_API_BASE"),
    ("deepinfra/m", "DEEPINFRA_API_BASE"),
    ("volcengine/m", "VOLCENGINE_API_BASE"),
    ("hosted_vllm/m", "HOSTED_VLLM_API_BASE"),
    (SD, "AWS_BEDROCK_RUNTIME_ENDPOINT"),
    (SD, "aws_bedrock_runtime_endpoint"),
    *((model, "api_base") for model in (*HOSTED, *PLACES)),
    *((model, "base_url") for model in ("openai/m", "azure/img")),
)

TRAITS = (
    (NANO, "vertex_project", "vertex_project"),
    (NANO, "vertex_ai_project", "vertex_project"),
    (NANO, "VERTEXAI_PROJECT", "vertex_project"),
    (NANO, "vertex_location", "vertex_location"),
    (NANO, "vertex_ai_location", "vertex_location"),
    (NANO, "VERTEXAI_LOCATION", "vertex_location"),
    (NANO, "VERTEX_LOCATION", "vertex_location"),
    (SD, "aws_region_name", "aws_region_name"),
    (SD, "AWS_REGION_NAME", "aws_region_name"),
    (SD, "AWS_REGION", "aws_region_name"),
    (SD, "AWS_DEFAULT_REGION", "aws_region_name"),
    ("openrouter/m", "OR_SITE_URL", "site_url"),
    ("openrouter/m", "OR_APP_NAME", "app_name"),
)

AWS = (
    ("aws_access_key_id", "aws_access_key_id"),
    ("aws_session_token", "aws_session_token"),
    ("aws_profile_name", "aws_profile_name"),
    ("aws_role_name", "aws_role_name"),
    ("aws_session_name", "aws_session_name"),
    ("aws_web_identity_token", "aws_web_identity_token"),
    ("aws_sts_endpoint", "aws_sts_endpoint"),
    ("aws_external_id", "aws_external_id"),
    ("AWS_SESSION_TOKEN", "aws_session_token"),
    ("AWS_ACCESS_KEY_ID", "aws_access_key_id"),
    ("AWS_SECRET_ACCESS_KEY", "aws_secret_access_key"),
)
BESIDE = {
    "aws_access_key_id": {"aws_secret_access_key": "secret-1"},
    "aws_session_token": {"aws_access_key_id": "AKIA1", "aws_secret_access_key": "secret-1"},
    "aws_web_identity_token": {"aws_role_name": "arn:aws:iam::1:role/r"},
}
"""What a setting of AWS cannot stand without."""


def deployment_of(model: str, name: str, value: Json, **beside: Json) -> Deployment:
    """Return the deployment of `model` where `name` holds `value`, and all else is as it must."""
    lowest = {variable: "sk-test-0" for held in PROVIDERS for variable in held.api_key_env[-1:]}
    env = PLACES.get(model, lowest) | ({name: value} if name.isupper() else {})
    given = beside | ({} if name.isupper() else {name: value})
    settings, _ = client_settings(model, env=env, **given)
    return settings.deployments[0]


def ids(line: tuple[str, ...]) -> str:
    return f"{line[0].partition('/')[0]}-{line[1]}"


@pytest.mark.parametrize("line", KEYS, ids=ids)
def test_keys(line: tuple[str, str]) -> None:
    model, name = line
    assert deployment_of(model, name, "sk-test-1").credential.secret == Secret("sk-test-1")


@pytest.mark.parametrize("line", BASES, ids=ids)
def test_addresses(line: tuple[str, str]) -> None:
    model, name = line
    found = deployment_of(model, name, "https://gate.example.com").target.base_url
    assert found.startswith("https://gate.example.com")


@pytest.mark.parametrize("line", TRAITS, ids=ids)
def test_places(line: tuple[str, str, str]) -> None:
    model, name, trait = line
    assert deployment_of(model, name, "us-east-1").target.traits[trait] == "us-east-1"


@pytest.mark.parametrize(("name", "setting"), AWS)
def test_aws_credentials(name: str, setting: str) -> None:
    beside = {} if name.isupper() else BESIDE.get(name, {})
    aws = deployment_of(SD, name, "given-1", **beside).credential.aws
    assert aws[setting] == Secret("given-1")


@pytest.mark.parametrize("name", ["vertex_credentials", "vertex_ai_credentials",
                                  "VERTEXAI_CREDENTIALS"])  # fmt: skip
def test_googles_account(name: str) -> None:
    account = {"type": "authorized_user", "refresh_token": "test-refresh"}
    found = deployment_of(NANO, name, json.dumps(account)).credential
    assert found.kind == "google"
    assert json.loads(found.secret.reveal()) == account


def test_a_file_takes_the_same_names(tmp_path: Path) -> None:
    entries = [
        {"model": NANO, "vertex_ai_project": "p", "vertex_ai_location": "eu", "api_key": "AIza-1"},
        {"model": SD, "aws_region_name": "us-west-2", "api_key": "os.environ/BEDROCK"},
        {"model": "recraft/recraftv3", "api_base": "https://gate.example.com/v1"},
    ]
    config = {
        "model_list": [{"model_name": "img", "litellm_params": entry} for entry in entries],
        "litellm_settings": {"drop_params": False},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    env = {"HOME": str(tmp_path), "BEDROCK": "key-1", "RECRAFT_API_KEY": "key-2"}
    settings = load_settings(str(tmp_path / "config.json"), env=env)
    vertex, bedrock, recraft = settings.deployments
    assert vertex.target.traits == {"vertex_project": "p", "vertex_location": "eu"}
    assert bedrock.credential.secret == Secret("key-1")
    assert recraft.target.base_url == "https://gate.example.com/v1"
    assert settings.adjust == "strict"
    assert vertex.defaults == bedrock.defaults == {}, "no setting becomes a field of the body"
