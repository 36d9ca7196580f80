import asyncio
import threading
from collections.abc import Mapping
from typing import NamedTuple

import pytest

from imagegate.config.settings import Credential
from imagegate.errors import UpstreamCredentialError, UpstreamUnreachableError
from imagegate.transport.auth import Tokens, headers_for, make_source
from imagegate.types import Secret

ORIGIN = "https://r.openai.azure.com"
URL = f"{ORIGIN}/openai/v1/images/generations"
BEARER = Credential("bearer", Secret("sk-test-1"))
ENTRA = Credential(
    "entra",
    Secret("s-test"),
    {
        "credential": "ClientSecretCredential",
        "tenant_id": "t",
        "client_id": "c",
        "scope": "s/.default",
    },
)


def signed(credential: Credential, url: str = URL, trusted: tuple[str, ...] = ()) -> dict[str, str]:
    return asyncio.run(headers_for(credential, url, ORIGIN, trusted))


def test_each_kind_is_one_header() -> None:
    assert signed(BEARER) == {"authorization": "Bearer sk-test-1"}
    assert signed(Credential("api-key", Secret("k-test"))) == {"api-key": "k-test"}
    assert signed(Credential()) == {}
    with_header = Credential("none", headers={"Ocp-Apim-Subscription-Key": Secret("k-test")})
    assert signed(with_header) == {"Ocp-Apim-Subscription-Key": "k-test"}


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x",
        "http://r.openai.azure.com/x",
        "https://r.openai.azure.com:8443/x",
        "https://r.openai.azure.com.evil.example/x",
        "https://evil.example/https://r.openai.azure.com/",
        "http://trusted.example/x",
    ],
)
def test_another_origin_sees_nothing(url: str) -> None:
    credential = Credential("bearer", Secret("sk-test"), headers={"X-Key": Secret("k-test")})
    assert signed(credential, url, ("trusted.example",)) == {}


def test_the_own_origin_and_trusted_hosts_see_it() -> None:
    assert signed(BEARER, "https://R.openai.azure.com:443/x")
    assert signed(BEARER, "https://trusted.example/x", ("trusted.example",))


def test_a_token_provider_runs_off_the_event_loop() -> None:
    seen: list[int] = []

    def provide() -> str:
        seen.append(threading.get_ident())
        return "eyJ-test"

    headers = signed(Credential("bearer", token_provider=provide))
    assert headers == {"authorization": "Bearer eyJ-test"}
    assert seen != [threading.get_ident()]


def test_a_token_provider_that_fails_or_gives_nothing() -> None:
    def fail() -> str:
        raise RuntimeError("no identity here")

    with pytest.raises(UpstreamCredentialError, match="no identity here"):
        signed(Credential("bearer", token_provider=fail))
    with pytest.raises(UpstreamCredentialError, match="returned no token"):
        signed(Credential("bearer", token_provider=lambda: ""))


class Token(NamedTuple):
    token: str
    expires_on: int


class Source:
    """Stands for a credential of azure-identity: each token holds for an hour of `now_s`."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.fetches = 0
        self.scopes: tuple[str, ...] = ()
        self.fault: Exception | None = None

    def make(self, settings: Mapping[str, str], secret: Secret) -> "Source":
        assert (settings["tenant_id"], secret.reveal()) == ("t", "s-test")
        return self

    def get_token(self, *scopes: str) -> Token:
        self.fetches += 1
        self.scopes = scopes
        if self.fault:
            raise self.fault
        return Token(f"eyJ-{self.fetches}", int(self.now_s) + 3600)

    def tokens(self) -> Tokens:
        return Tokens(self.make, lambda: self.now_s)


def test_a_token_is_kept_until_five_minutes_before_its_end() -> None:
    source = Source()
    tokens = source.tokens()

    async def scenario() -> list[str]:
        got = [await tokens.token(ENTRA), await tokens.token(ENTRA)]
        source.now_s += 3600 - 301
        got.append(await tokens.token(ENTRA))
        source.now_s += 2
        got.append(await tokens.token(ENTRA))
        return got

    assert asyncio.run(scenario()) == ["eyJ-1", "eyJ-1", "eyJ-1", "eyJ-2"]
    assert source.scopes == ("s/.default",)


def test_calls_at_the_same_time_share_one_fetch() -> None:
    source = Source()
    tokens = source.tokens()

    async def scenario() -> list[str]:
        return await asyncio.gather(*(tokens.token(ENTRA) for _ in range(50)))

    assert asyncio.run(scenario()) == ["eyJ-1"] * 50
    assert source.fetches == 1


def test_a_failed_refresh_is_no_fault_while_the_old_token_holds() -> None:
    source = Source()
    tokens = source.tokens()

    async def scenario() -> None:
        await tokens.token(ENTRA)
        source.now_s += 3400
        source.fault = OSError("network is down")
        assert await tokens.token(ENTRA) == "eyJ-1"
        source.now_s += 300
        with pytest.raises(UpstreamUnreachableError, match="network is down"):
            await tokens.token(ENTRA)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ClientSecretCredential", {"tenant_id": "t-1", "client_id": "c"}),
        ("DefaultAzureCredential", {}),
        ("ManagedIdentityCredential", {"client_id": "c"}),
        ("AzureCliCredential", {}),
    ],
)
def test_the_real_credentials_are_made_without_the_network(
    name: str, settings: dict[str, str]
) -> None:
    source = make_source({"credential": name, **settings}, Secret("s-test"))
    assert type(source).__name__ == name


def test_settings_that_azure_identity_refuses_are_told() -> None:
    with pytest.raises(UpstreamCredentialError, match="Entra ID cannot be used"):
        make_source({"credential": "WorkloadIdentityCredential"}, Secret(""))
