"""A credential becomes headers, for the deployment's own origin and its trusted hosts only.

One credential kind, one function. Tokens of Entra ID and of Google are fetched off the event loop
by azure-identity and google-auth, extras that are imported when the first token is needed.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Protocol, TypeVar

from imagegate import clock
from imagegate.config.settings import Credential
from imagegate.errors import (
    ConfigError,
    ImageError,
    UpstreamCredentialError,
    UpstreamUnreachableError,
)
from imagegate.transport import google
from imagegate.transport.mask import said
from imagegate.types import Secret
from imagegate.wire.hosts import is_trusted

T = TypeVar("T")

REFRESH_BEFORE_S = 300.0
FETCH_S_MAX = 60.0
ACCOUNTS_MAX = 256
FINGERPRINT_CHARS_MIN = 20  # of a shorter key four characters would tell too much


class AccessToken(Protocol):
    """What an issuer returns: the token, and its end in unix seconds."""

    @property
    def token(self) -> str:
        """The bearer token."""
        ...

    @property
    def expires_on(self) -> int:
        """Unix seconds."""
        ...


class TokenSource(Protocol):
    """A credential of azure-identity, or an account of Google's."""

    def get_token(self, *scopes: str) -> AccessToken:
        """Return a token; waits for the network."""
        ...


async def headers_for(
    credential: Credential, url: str, origin: str, trusted_hosts: tuple[str, ...]
) -> dict[str, str]:
    """Return the headers that sign a request to `url` in; none for any other host.

    `origin` is a URL of the deployment's own place. Raises `UpstreamCredentialError` where a
    token is refused, `UpstreamUnreachableError` where it cannot be fetched now.
    """
    if not may_see(url, origin, trusted_hosts):
        return {}
    known = known_headers(credential)
    if known is not None:
        return known
    return {**_own_headers(credential), **await _FETCHED[credential.kind](credential)}


def known_headers(credential: Credential) -> dict[str, str] | None:
    """Return the headers that sign every request in; None where they are not always the same."""
    if credential.token_provider is not None or credential.kind not in _KNOWN:
        return None
    return {**_own_headers(credential), **_KNOWN[credential.kind](credential)}


def _own_headers(credential: Credential) -> dict[str, str]:
    return {name: value.reveal() for name, value in credential.headers.items()}


def secrets_of(credential: Credential) -> tuple[str, ...]:
    """Return every secret of a credential, so that a text can be searched for them."""
    kept = (credential.secret, *credential.headers.values(), *credential.aws.values())
    return tuple(one.reveal() for one in kept if one)


def fingerprint(credential: Credential) -> str:
    """Return what tells two keys apart and reveals neither: last characters, start of a hash."""
    secret = credential.secret.reveal()
    if not secret:
        return credential.kind
    digest = hashlib.sha256(secret.encode()).hexdigest()[:8]
    tail = secret[-4:] if len(secret) >= FINGERPRINT_CHARS_MIN else ""
    return f"...{tail} sha256:{digest}"


@lru_cache(maxsize=256)  # the same few, twice a call
def may_see(url: str, origin: str, trusted_hosts: tuple[str, ...]) -> bool:
    """Return whether `url` is of the deployment's own place or on a trusted host, over https."""
    return is_trusted(url, origin, trusted_hosts)


def _none(_: Credential) -> dict[str, str]:
    return {}


def _bearer(credential: Credential) -> dict[str, str]:
    return {"authorization": f"Bearer {credential.secret.reveal()}"}


async def _provided(credential: Credential) -> dict[str, str]:
    assert credential.token_provider is not None
    token = await _off_loop(credential.token_provider, credential)
    if not isinstance(token, str) or not token:
        raise UpstreamCredentialError(
            "azure_ad_token_provider returned no token; it must return a non-empty string."
        )
    return {"authorization": f"Bearer {token}"}


def _api_key(credential: Credential) -> dict[str, str]:
    return {"api-key": credential.secret.reveal()}


def _header(credential: Credential) -> dict[str, str]:
    return {credential.header: credential.secret.reveal()}


async def _google(credential: Credential) -> dict[str, str]:
    found = await GOOGLE_TOKENS.access(credential)
    headers = {"authorization": f"Bearer {found.token}"}
    project = found.quota_project if isinstance(found, google.GoogleToken) else ""
    return {**headers, "x-goog-user-project": project} if project else headers


async def _entra(credential: Credential) -> dict[str, str]:
    return {"authorization": f"Bearer {await TOKENS.token(credential)}"}


async def _signed_later(_: Credential) -> dict[str, str]:
    return {}  # the whole request, once its other headers are known (sigv4.py)


_KNOWN: Mapping[str, Callable[[Credential], dict[str, str]]] = {
    "none": _none,
    "bearer": _bearer,
    "api-key": _api_key,
    "header": _header,
}
_FETCHED: Mapping[str, Callable[[Credential], Awaitable[dict[str, str]]]] = {
    "bearer": _provided,
    "entra": _entra,
    "sigv4": _signed_later,
    "google": _google,
}


async def _off_loop(
    fetch: Callable[[], T | Awaitable[T]], credential: Credential, issuer: str = "Entra ID"
) -> T:
    """Return what `fetch` returns, run in a thread; its failures become ours."""
    try:
        async with asyncio.timeout(FETCH_S_MAX):
            found = await asyncio.to_thread(fetch)
            return await found if isinstance(found, Awaitable) else found
    except TimeoutError as error:
        raise UpstreamUnreachableError(
            f"{issuer} gave no token within {FETCH_S_MAX:.0f} s; nothing was sent."
        ) from error
    except ImageError:
        raise
    except Exception as error:
        raise _fetch_error(error, said(str(error), credential)) from error


def _fetch_error(error: Exception, words: str) -> ImageError:
    """Return our error for one of azure-identity's, or of a caller's own token provider."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, OSError) or "ServiceRequestError" in names:
        return UpstreamUnreachableError(f"Entra ID cannot be reached: {words}. Nothing was sent.")
    return UpstreamCredentialError(
        f"Entra ID gave no token: {words}. Check tenant, client, secret, and the role "
        "'Cognitive Services OpenAI User' on the resource."
    )


class Tokens:
    """Tokens by account, each kept until five minutes before its end and fetched once at a time."""

    def __init__(
        self,
        make: Callable[[Mapping[str, str], Secret], TokenSource],
        now_s: Callable[[], float] = clock.now_s,
        issuer: str = "Entra ID",
    ) -> None:
        self._make = make
        self._issuer = issuer
        self._now_s = now_s
        self._sources: dict[object, TokenSource] = {}
        self._kept: dict[object, AccessToken] = {}
        self._fetches: dict[object, asyncio.Task[AccessToken]] = {}

    async def token(self, credential: Credential) -> str:
        """Return a token that is good for a while; the old one where a refresh fails early."""
        return (await self.access(credential)).token

    async def access(self, credential: Credential) -> AccessToken:
        """Return the same token with all that its issuer says of it."""
        account = (frozenset(credential.entra.items()), credential.secret)
        kept = self._kept.get(account)
        if kept and kept.expires_on - self._now_s() > REFRESH_BEFORE_S:
            return kept
        try:
            return await self._fetch(account, credential)
        except ImageError:
            if kept and kept.expires_on > self._now_s():
                return kept
            raise

    async def _fetch(self, account: object, credential: Credential) -> AccessToken:
        # Keyed by loop: an SDK may run on several, and a task belongs to one.
        key = (account, id(asyncio.get_running_loop()))
        running = self._fetches.get(key)
        if running is None:
            running = asyncio.create_task(self._refresh(account, credential))
            self._fetches[key] = running
            running.add_done_callback(lambda _: self._fetches.pop(key, None))
        return await asyncio.shield(running)

    async def _refresh(self, account: object, credential: Credential) -> AccessToken:
        fresh = await _off_loop(lambda: self._get(account, credential), credential, self._issuer)
        if len(self._kept) >= ACCOUNTS_MAX:
            self._kept.clear()
            self._sources.clear()
        self._kept[account] = fresh
        return fresh

    def _get(self, account: object, credential: Credential) -> AccessToken:
        source = self._sources.get(account)
        if source is None:
            source = self._sources[account] = self._make(credential.entra, credential.secret)
        return source.get_token(credential.entra["scope"])


def make_source(settings: Mapping[str, str], secret: Secret) -> TokenSource:
    """Return the credential of azure-identity that `settings` name. Raises `ConfigError`."""
    try:
        return _SOURCES[settings["credential"]](settings, secret.reveal())
    except ImportError as error:
        raise ConfigError(
            "Entra ID needs azure-identity: pip install 'imagegate[azure]', or use an api_key."
        ) from error
    except ValueError as error:
        raise UpstreamCredentialError(
            f"Entra ID cannot be used: {said(str(error), Credential('entra', secret))}"
        ) from error


def _client_secret(settings: Mapping[str, str], secret: str) -> TokenSource:
    from azure.identity import ClientSecretCredential

    return ClientSecretCredential(settings["tenant_id"], settings["client_id"], secret)


def _default(settings: Mapping[str, str], _: str) -> TokenSource:
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential(managed_identity_client_id=settings.get("client_id"))


def _managed(settings: Mapping[str, str], _: str) -> TokenSource:
    from azure.identity import ManagedIdentityCredential

    return ManagedIdentityCredential(client_id=settings.get("client_id"))


def _workload(settings: Mapping[str, str], _: str) -> TokenSource:
    from azure.identity import WorkloadIdentityCredential

    given = {name: settings[name] for name in ("tenant_id", "client_id") if name in settings}
    return WorkloadIdentityCredential(**given)


def _cli(settings: Mapping[str, str], _: str) -> TokenSource:
    from azure.identity import AzureCliCredential

    return AzureCliCredential(tenant_id=settings.get("tenant_id", ""))


_SOURCES: Mapping[str, Callable[[Mapping[str, str], str], TokenSource]] = {
    "ClientSecretCredential": _client_secret,
    "DefaultAzureCredential": _default,
    "ManagedIdentityCredential": _managed,
    "WorkloadIdentityCredential": _workload,
    "AzureCliCredential": _cli,
}

TOKENS = Tokens(make_source)
GOOGLE_TOKENS = Tokens(google.make_source, issuer="Google")
