"""Proxies as other programs read them from the environment."""

from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import pytest

from imagegate.config.client_settings import client_settings
from imagegate.config.proxies import LOOPBACK, read_proxies
from imagegate.errors import ConfigError

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("env", "proxies"),
    [
        ({}, {}),
        ({"NO_PROXY": "example.com"}, {}),
        ({"HTTPS_PROXY": PROXY}, {"https": PROXY, "no": LOOPBACK}),
        ({"https_proxy": PROXY, "HTTPS_PROXY": "http://other"}, {"https": PROXY, "no": LOOPBACK}),
        ({"https_proxy": "", "HTTPS_PROXY": PROXY}, {}),
        ({"http_proxy": "proxy.example:3128"}, {"http": PROXY, "no": LOOPBACK}),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, {"https": PROXY, "no": "*"}),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "a.b"}, {"https": PROXY, "no": f"a.b,{LOOPBACK}"}),
    ],
)
def test_what_is_read(env: dict[str, str], proxies: dict[str, str]) -> None:
    assert read_proxies(env) == proxies


@pytest.mark.parametrize(
    ("host", "is_direct"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("in.example.com", True),
        ("api.openai.com", False),
    ],
)
def test_hosts_without_a_proxy(host: str, is_direct: bool) -> None:
    proxies = read_proxies({"HTTPS_PROXY": PROXY, "NO_PROXY": ".example.com"})
    assert bool(proxy_bypass_environment(host, proxies)) == is_direct


def test_a_proxy_that_speaks_something_else_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigError, match="HTTPS_PROXY names a socks5 proxy") as raised:
        read_proxies({"HTTPS_PROXY": "socks5://user:hidden@proxy.example:1080"})
    assert "hidden" not in str(raised.value)


def test_the_sdk_uses_them() -> None:
    env = {"OPENAI_API_KEY": "sk-test-key", "HTTPS_PROXY": PROXY}
    settings, _ = client_settings("openai/gpt-image-2", env=env)
    assert settings.proxies["https"] == PROXY
