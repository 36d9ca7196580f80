import subprocess
import sys

import pytest

from imagegate.config.client_settings import client_settings
from imagegate.config.settings import Deployment
from imagegate.errors import AuthenticationError, ConfigError

OPENAI = {"OPENAI_API_KEY": "sk-test-openai"}
AZURE = {"AZURE_API_KEY": "sk-test-azure", "AZURE_API_BASE": "https://r.openai.azure.com"}


def deployment_of(model: str | None, **keywords: object) -> Deployment:
    settings, group = client_settings(model, **keywords)  # type: ignore[arg-type]
    (deployment,) = settings.deployments
    assert deployment.group == group == settings.default_model
    return deployment


@pytest.mark.parametrize(
    ("model", "keywords", "provider", "name"),
    [
        (None, {}, "openai", "gpt-image-2.5-flare"),
        ("gpt-image-2", {}, "openai", "gpt-image-2"),
        ("openai/gpt-image-2", {}, "openai", "gpt-image-2"),
        ("azure/img", {}, "azure", "img"),
        ("img", {"custom_llm_provider": "azure"}, "azure", "img"),
        ("azure/img", {"custom_llm_provider": "azure"}, "azure", "img"),
        ("org/sdxl", {"custom_llm_provider": "openai"}, "openai", "org/sdxl"),
        ("sandbox/gpt-image-2", {}, "sandbox", "gpt-image-2"),
    ],
)
def test_models_are_read_as_litellm_reads_them(
    model: str | None, keywords: dict[str, object], provider: str, name: str
) -> None:
    deployment = deployment_of(model, env=OPENAI | AZURE, **keywords)
    assert (deployment.provider.name, deployment.target.upstream_model) == (provider, name)


def test_the_default_model_may_come_from_the_environment() -> None:
    env = {"IMAGEGATE_MODEL": "sandbox/gpt-image-2"}
    assert deployment_of(None, env=env).provider.name == "sandbox"


def test_openais_variables() -> None:
    env = {
        **OPENAI,
        "OPENAI_BASE_URL": "http://localhost:1/v1",
        "OPENAI_ORG_ID": "org-1",
        "OPENAI_PROJECT_ID": "proj_1",
    }
    assert deployment_of("m", env=env).target.base_url == "http://localhost:1/v1"
    del env["OPENAI_BASE_URL"]
    traits = deployment_of("m", env=env, organization="org-2").target.traits
    assert (traits["organization"], traits["project"]) == ("org-2", "proj_1")


def test_azures_variables() -> None:
    env = {
        "AZURE_OPENAI_API_KEY": "sk-test-azure",
        "AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com",
        "OPENAI_API_VERSION": "2025-05-01-preview",
    }
    deployment = deployment_of("azure/img", env=env)
    assert deployment.target.traits["api_version"] == "2025-05-01-preview"
    assert deployment.credential.kind == "api-key"


@pytest.mark.parametrize(
    ("keywords", "env", "kind", "entra"),
    [
        ({"api_key": "sk-test-1"}, {}, "api-key", None),
        ({"api_key": "os.environ/K"}, {"K": "sk-test-2"}, "api-key", None),
        ({"azure_ad_token": "eyJ-test"}, {}, "bearer", None),
        ({"azure_ad_token_provider": lambda: "eyJ-test"}, {}, "bearer", None),
        ({}, {"AZURE_AD_TOKEN": "eyJ-test"}, "bearer", None),
        (
            {"tenant_id": "t", "client_id": "c", "client_secret": "s-test"},
            {},
            "entra",
            "ClientSecretCredential",
        ),
        (
            {},
            {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s-test"},
            "entra",
            "ClientSecretCredential",
        ),
        ({"azure_credential": "DefaultAzureCredential"}, {}, "entra", "DefaultAzureCredential"),
        (
            {"extra_headers": {"Authorization": "Bearer eyJ-test"}},
            {"AZURE_API_KEY": "k"},
            "none",
            None,
        ),
        ({"extra_headers": {"Ocp-Apim-Subscription-Key": "k-test"}}, {}, "none", None),
    ],
)
def test_ways_to_sign_in_at_azure(
    keywords: dict[str, object], env: dict[str, str], kind: str, entra: str | None
) -> None:
    keywords["api_base"] = AZURE["AZURE_API_BASE"]
    deployment = deployment_of("azure/img", env=env, **keywords)
    assert deployment.credential.kind == kind
    assert deployment.credential.entra.get("credential") == entra
    assert "test" not in repr(deployment.credential)


def test_a_missing_credential_names_the_variable() -> None:
    with pytest.raises(AuthenticationError, match="set OPENAI_API_KEY, or give api_key"):
        client_settings("gpt-image-2", env={})
    with pytest.raises(AuthenticationError, match="set AZURE_API_KEY or AZURE_OPENAI_API_KEY"):
        client_settings("azure/x", env={}, api_base="https://r.openai.azure.com")


def test_what_is_wrong_otherwise_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="provider 'fal_ai' is not available in this version"):
        client_settings("fal_ai/x", env=OPENAI)
    with pytest.raises(ConfigError, match="AZURE_API_BASE or AZURE_OPENAI_ENDPOINT"):
        client_settings("azure/x", env={"AZURE_API_KEY": "sk-test"})


def test_a_row_by_name_and_a_row_by_base_model() -> None:
    plain = deployment_of("gpt-image-1.5", env=OPENAI)
    assert plain.model is not None
    assert plain.model.shutdown is not None
    priced = deployment_of("azure/img", env=AZURE, base_model="gpt-image-2")
    assert priced.model is not None
    assert priced.model.id == "azure/gpt-image-2"


def test_the_same_keywords_give_equal_settings() -> None:
    assert client_settings("azure/img", env=AZURE) == client_settings("azure/img", env=AZURE)


def test_the_sdks_way_loads_neither_yaml_nor_pydantic() -> None:
    code = (
        "import sys; from imagegate.config.load import environment; "
        "from imagegate.config.client_settings import client_settings; "
        "client_settings('sandbox/gpt-image-2', env=environment()); "
        "sys.exit(' '.join({'yaml', 'pydantic', 'azure', 'aiohttp'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
