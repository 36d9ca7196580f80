"""How a deployment signs in: what is given first, then what the environment holds."""

from collections.abc import Mapping
from importlib.util import find_spec

import msgspec

from imagegate.config.aws import find_aws
from imagegate.config.endpoint import Endpoint
from imagegate.config.google import find_google
from imagegate.config.settings import Credential
from imagegate.config.wanted import Findings, Wanted
from imagegate.types import Secret
from imagegate.wire.provider import Provider

AZURE_SCOPE = "https://cognitiveservices.azure.com/.default"
_AZURE_TOKEN_ENV = "AZURE_AD_TOKEN"  # noqa: S105 - the variable's name
_PRINCIPAL_ENV = {
    "tenant_id": "AZURE_TENANT_ID",
    "client_id": "AZURE_CLIENT_ID",
    "client_secret": "AZURE_CLIENT_SECRET",
}
# An operator's own header of this name takes the credential's place: never both are sent.
_IN_PLACE = frozenset(("authorization", "api-key", "x-goog-api-key"))
# With such a header no credential is needed; API Management may want both.
_INSTEAD = frozenset(("ocp-apim-subscription-key", "x-api-key"))


def find_credential(
    wanted: Wanted,
    provider: Provider,
    endpoint: Endpoint,
    headers: Mapping[str, Secret],
    env: Mapping[str, str],
    findings: Findings,
) -> Credential:
    """Return the credential; `findings` gets a problem where one is needed and none is there."""
    if provider.auth == "none" or _has(headers, _IN_PLACE):
        return Credential(headers=headers)
    if provider.auth == "api-key":
        found = _azure(wanted, provider, env, findings)
    elif provider.auth == "sigv4":
        found = find_aws(wanted, provider, env, findings)
    elif provider.auth == "google":
        google = find_google(wanted, provider, env, findings)
        return msgspec.structs.replace(google, headers=headers)
    else:
        found = _bearer(wanted, provider, endpoint, env, findings)
    _check_text(found.secret, findings)
    if found.kind == "entra" and not _has_azure_identity():
        findings.problem("model", "Entra ID needs an extra: pip install 'imagegate[azure]'")
    if found.kind == "none" and provider.needs_credential and not _has(headers, _INSTEAD):
        findings.problem("api_key", _missing(provider), is_credential=True)
    return msgspec.structs.replace(found, headers=headers)


def _has_azure_identity() -> bool:
    try:
        return find_spec("azure.identity") is not None
    except ModuleNotFoundError:
        return False


def _has(headers: Mapping[str, Secret], names: frozenset[str]) -> bool:
    return any(name.lower() in names for name in headers)


def _missing(provider: Provider) -> str:
    variables = " or ".join(provider.api_key_env)
    entra = ", or sign in with Entra ID (docs/guide/configuration.md)"
    return f"no credential: set {variables}, or give api_key{entra * (provider.auth == 'api-key')}"


def _key(wanted: Wanted, provider: Provider, env: Mapping[str, str]) -> Secret:
    found = (env[name] for name in provider.api_key_env if env.get(name))
    return wanted.api_key or Secret(next(found, ""))


def _bearer(
    wanted: Wanted,
    provider: Provider,
    endpoint: Endpoint,
    env: Mapping[str, str],
    findings: Findings,
) -> Credential:
    key = _key(wanted, provider, env)
    if not key:
        return Credential()
    if not wanted.api_key and wanted.api_base and not provider.needs_credential:
        variable = next(name for name in provider.api_key_env if env.get(name))
        findings.note(f"no api_key is given, so {variable} is sent to {endpoint.host}")
    if provider.auth == "header":
        return Credential("header", key, header=provider.auth_header)
    return Credential("bearer", key)


def _azure(
    wanted: Wanted, provider: Provider, env: Mapping[str, str], findings: Findings
) -> Credential:
    """Return what is given, in this order: key, token, provider, principal, named credential."""
    if wanted.api_key:
        return Credential("api-key", wanted.api_key)
    return (
        _given_token(wanted, findings)
        or _principal(wanted, {})
        or _named(wanted, wanted.azure_credential)
        or _azure_from(wanted, provider, env)
    )


def _azure_from(wanted: Wanted, provider: Provider, env: Mapping[str, str]) -> Credential:
    key = _key(wanted, provider, env)
    if key:
        return Credential("api-key", key)
    if env.get(_AZURE_TOKEN_ENV):
        return Credential("bearer", Secret(env[_AZURE_TOKEN_ENV]))
    refreshed = "DefaultAzureCredential" if wanted.is_token_refreshed else ""
    return _principal(wanted, env) or _named(wanted, refreshed) or Credential()


def _given_token(wanted: Wanted, findings: Findings) -> Credential | None:
    if wanted.azure_ad_token_provider:
        return Credential("bearer", token_provider=wanted.azure_ad_token_provider)
    if not wanted.azure_ad_token:
        return None
    if wanted.azure_ad_token.reveal().startswith("oidc/"):
        findings.problem(
            "azure_ad_token",
            "oidc/ tokens are not supported; use azure_credential: WorkloadIdentityCredential",
        )
    return Credential("bearer", wanted.azure_ad_token)


def _principal(wanted: Wanted, env: Mapping[str, str]) -> Credential | None:
    """Return the service principal, where all three of its parts are known."""
    tenant = wanted.tenant_id or env.get(_PRINCIPAL_ENV["tenant_id"], "")
    client = wanted.client_id or env.get(_PRINCIPAL_ENV["client_id"], "")
    secret = wanted.client_secret or Secret(env.get(_PRINCIPAL_ENV["client_secret"], ""))
    if not (tenant and client and secret):
        return None
    entra = {
        "credential": "ClientSecretCredential",
        "tenant_id": tenant,
        "client_id": client,
        "scope": wanted.azure_scope or AZURE_SCOPE,
    }
    return Credential("entra", secret, entra)


def _named(wanted: Wanted, name: str) -> Credential | None:
    if not name:
        return None
    given = {"tenant_id": wanted.tenant_id, "client_id": wanted.client_id}
    settings = {key: value for key, value in given.items() if value}
    scope = wanted.azure_scope or AZURE_SCOPE
    return Credential("entra", entra={"credential": name, "scope": scope, **settings})


def _check_text(secret: Secret, findings: Findings) -> None:
    text = secret.reveal()
    if text and not (text.isascii() and text.isprintable() and " " not in text):
        findings.problem(
            "api_key", "it holds a blank, a line break or a character that no key has; copy it anew"
        )
