"""Whose urls are believed."""

import pytest

from imagegate.wire.hosts import host_of, is_trusted

ORIGIN = "https://api.bfl.ai"
HOSTS = (".bfl.ai", "files.test")


@pytest.mark.parametrize(
    "url",
    [
        "https://api.bfl.ai/v1/get_result?id=1",
        "https://api.bfl.ai:443/x",
        "https://api.eu.bfl.ai/v1/get_result?id=a b",
        "https://API.EU.BFL.AI/x",
        "https://files.test/x",
    ],
)
def test_the_own_place_and_listed_hosts_are_trusted(url: str) -> None:
    assert is_trusted(url, ORIGIN, HOSTS)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.bfl.ai/x",
        "http://api.eu.bfl.ai/x",
        "https://api.eu.bfl.ai:8443/x",
        "https://bfl.ai/x",
        "https://evilbfl.ai/x",
        "https://api.bfl.ai.example.com/x",
        "https://api.bfl.ai@example.com/x",
        "https://example.com\\@api.eu.bfl.ai/x",
        "https://sub.files.test/x",
        "https://api.eu.bfl.ai:99999/x",
        "https://[::1/x",
        "//api.eu.bfl.ai/x",
        "file:///etc/passwd",
        "",
    ],
)
def test_nothing_else_is(url: str) -> None:
    assert not is_trusted(url, ORIGIN, HOSTS)


def test_a_place_of_ones_own_is_trusted_with_its_port_only() -> None:
    assert is_trusted("http://127.0.0.1:9000/x", "http://127.0.0.1:9000/v1", ())
    assert not is_trusted("http://127.0.0.1:9001/x", "http://127.0.0.1:9000/v1", ())


def test_a_broken_url_has_no_host() -> None:
    assert host_of("https://[::1/x") == ""
    assert host_of("https://Example.com:1/x?y") == "example.com"
