import pytest

from imagegate.config.client_settings import client_settings
from imagegate.config.endpoint import is_loopback, read_endpoint

ENV = {"OPENAI_API_KEY": "sk-test-openai", "AZURE_API_KEY": "sk-test-azure"}
AZ = "https://r.openai.azure.com"


@pytest.mark.parametrize(
    ("api_base", "base_url"),
    [
        ("https://api.openai.com", "https://api.openai.com/v1"),
        ("https://api.openai.com/", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://eu.api.openai.com/v1/", "https://eu.api.openai.com/v1"),
        ("https://api.openai.com/v1/images/generations", "https://api.openai.com/v1"),
        ("http://h:8000", "http://h:8000"),
        ("http://h:8000/v1", "http://h:8000/v1"),
        ("http://h:8000/v1/images/edits/", "http://h:8000/v1"),
        ("HTTPS://h/prefix/v1", "https://h/prefix/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        (f"{AZ}/openai/v1/", f"{AZ}/openai/v1"),
    ],
)
def test_openai_bases_are_joined_as_openais_clients_do(api_base: str, base_url: str) -> None:
    settings, _ = client_settings("openai/m", env=ENV, api_base=api_base)
    assert settings.deployments[0].target.base_url == base_url


@pytest.mark.parametrize(
    ("api_base", "version", "expected"),
    [
        (AZ, None, (AZ, "dep", "deployments", "2025-04-01-preview")),
        (f"{AZ}/", "2025-04-01-preview", (AZ, "dep", "deployments", "2025-04-01-preview")),
        (f"{AZ}/openai", None, (AZ, "dep", "deployments", "2025-04-01-preview")),
        (f"{AZ}/openai/v1", None, (AZ, "dep", "v1", "v1")),
        (f"{AZ}/openai/v1/", "preview", (AZ, "dep", "v1", "preview")),
        (f"{AZ}/openai/v1", "2025-04-01-preview", (AZ, "dep", "v1", "v1")),
        (AZ, "latest", (AZ, "dep", "v1", "latest")),
        (AZ, "v1", (AZ, "dep", "v1", "v1")),
        (
            f"{AZ}/openai/deployments/other/images/generations?api-version=2025-05-01-preview",
            None,
            (AZ, "other", "deployments", "2025-05-01-preview"),
        ),
        (
            f"{AZ}/openai/deployments/a%2Fb/images/edits?api-version=2025-05-01-preview",
            "2025-04-01-preview",
            (AZ, "a/b", "deployments", "2025-04-01-preview"),
        ),
        (
            f"{AZ}/openai/v1/images/generations?api-version=preview",
            None,
            (AZ, "dep", "v1", "preview"),
        ),
        (
            "https://apim.example.com/ai/openai/deployments/dep",
            None,
            ("https://apim.example.com/ai", "dep", "deployments", "2025-04-01-preview"),
        ),
    ],
)
def test_azure_urls_are_split_and_never_doubled(
    api_base: str, version: str | None, expected: tuple[str, str, str, str]
) -> None:
    settings, _ = client_settings("azure/dep", env=ENV, api_base=api_base, api_version=version)
    target = settings.deployments[0].target
    traits = target.traits
    found = (target.base_url, target.upstream_model, traits["surface"], traits["api_version"])
    assert found == expected


@pytest.mark.parametrize(
    "url", ["", "h/v1", "ftp://h/v1", "https://", "https://u:p@h/v1", "https://h/#f", "//h"]
)
def test_what_is_no_base(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL"):
        read_endpoint(url)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("127.evil.com", False),
        ("127.0.0.1.evil", False),
        ("192.168.0.1", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
