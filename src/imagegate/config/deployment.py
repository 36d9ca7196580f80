"""One wanted deployment -> one `Deployment`: provider, address, credential, catalogue row.

The configuration file and the SDK's keywords both come here, so that a name means the same in
both. Nothing raises: what is wrong comes back as problems, all of them.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping

import msgspec

from imagegate.catalogue.model import Catalogue, Model
from imagegate.config.credential import find_credential
from imagegate.config.endpoint import Endpoint, read_endpoint
from imagegate.config.faults import nearest
from imagegate.config.google import with_project
from imagegate.config.litellm import PROVIDERS_NOT_HERE
from imagegate.config.prices import priced_row
from imagegate.config.settings import Credential, Deployment
from imagegate.config.wanted import Findings, Wanted
from imagegate.errors import ConfigError
from imagegate.providers import PROVIDERS, provider_for
from imagegate.providers.azure import API_VERSION_DEFAULT, V1_VERSIONS
from imagegate.types import Json, Secret
from imagegate.wire.provider import Place, Provider, Target

TIMEOUT_S = 600.0
OPENAI_HOST = "api.openai.com"
EDITS_SINCE = "2025-04-01"

_DATED = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")
_AZURE_HOSTS = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SENSITIVE = re.compile(r"auth|key|token|secret|cookie|password|credential|signature", re.I)
_OUR_HEADERS = frozenset(
    ("host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding")
)
_NOT_A_DEFAULT = ("prompt", "image", "images", "image[]", "mask", "model", "markup")


def split_model(model: str, custom_llm_provider: str | None = None) -> tuple[str, str]:
    """Return provider and name as LiteLLM reads them; a bare name is OpenAI's.

    The provider is what stands before the first slash, known or not.
    """
    prefix, slash, rest = model.partition("/")
    if custom_llm_provider:
        return custom_llm_provider, rest if slash and prefix == custom_llm_provider else model
    return (prefix, rest) if slash else ("openai", model)


def setting_names(providers: Iterable[Provider]) -> frozenset[str]:
    """Return all names under which settings of these providers are given."""
    return frozenset(
        name
        for provider in providers
        for name in (*provider.settings, *provider.secrets, *provider.spellings)
    )


def read_settings(provider: Provider, given: Mapping[str, Json]) -> dict[str, Json]:
    """Return the settings of `provider` among `given`, under the names of its record."""
    names = setting_names((provider,))
    said = {name: value for name, value in given.items() if name in names and value is not None}
    return {provider.spellings.get(name, name): value for name, value in said.items()}


def unknown_provider(prefix: str) -> str:
    """Return why `prefix` is not served, with the remedy."""
    if prefix in PROVIDERS_NOT_HERE:
        return f"provider {prefix!r} is not available in this version"
    near = nearest(prefix, tuple(provider.name for provider in PROVIDERS))
    if near:
        return f"provider {prefix!r} is not known; did you mean {near!r}?"
    return (
        f"provider {prefix!r} is not known. For a server that speaks OpenAI's API write "
        "openai/NAME with its api_base"
    )


def resolve_deployment(
    wanted: Wanted, catalogue: Catalogue, env: Mapping[str, str], findings: Findings
) -> Deployment | None:
    """Return the deployment, or None where `findings` got a problem."""
    prefix, name = split_model(wanted.model, wanted.custom_llm_provider)
    provider = provider_for(prefix)
    if provider is None:
        findings.problem("model", unknown_provider(prefix))
        return None
    if not name:
        findings.problem("model", f"a name is missing after {prefix + '/'!r}")
        return None
    place = _place(wanted, name, provider, env, findings)
    endpoint = _endpoint(wanted, provider, place, env, findings)
    if endpoint is None:
        return None
    provider = _speaker(provider, endpoint)
    if place is None:
        locate = _LOCATE.get(provider.name, _locate)
        target = locate(wanted, name, provider, endpoint, env, findings)
    else:
        target = Target(endpoint.base_url, place.upstream_model, place.traits)
    row = _row(wanted, provider, target, catalogue, findings)
    assumed = None if row or wanted.serves == "responses" else catalogue.assume(provider.name)
    model_id = f"{provider.name}/{target.upstream_model}"
    priced = priced_row(wanted.prices, row or assumed, model_id, findings)
    priced = _limited(priced, wanted, findings)
    headers, secret_headers = _headers(wanted, findings)
    credential = find_credential(wanted, provider, endpoint, secret_headers, env, findings)
    defaults = _defaults(wanted, findings)
    if findings.problems:
        return None
    deployment = _assemble(wanted, provider, target, row, assumed, credential, headers, defaults)
    return msgspec.structs.replace(deployment, priced=priced)


def _assemble(
    wanted: Wanted,
    provider: Provider,
    target: Target,
    row: Model | None,
    assumed: Model | None,
    credential: Credential,
    headers: Mapping[str, str],
    defaults: Mapping[str, Json],
) -> Deployment:
    facts = row or assumed
    traits = {**(facts.traits if facts else {}), **target.traits}
    return Deployment(
        id=wanted.id or _id(wanted.group, provider, target),
        group=wanted.group,
        provider=provider,
        target=msgspec.structs.replace(target, traits=traits),
        model=row,
        assumed=assumed,
        credential=_presented(credential, traits),
        timeout_s=wanted.timeout_s or TIMEOUT_S,
        headers=headers,
        defaults=defaults,
        variations=wanted.variations,
        adjust=wanted.adjust,
        routing=wanted.routing,
        serves=wanted.serves,
    )


def _presented(credential: Credential, traits: Mapping[str, Json]) -> Credential:
    """Return the credential as the model's surface wants it: some take a key as a bearer token."""
    if credential.kind == "api-key" and traits.get("auth") == "bearer":
        return msgspec.structs.replace(credential, kind="bearer")
    return credential


def _id(group: str, provider: Provider, target: Target) -> str:
    """Return a name that is stable for the same place; safe in a header."""
    place = msgspec.json.encode((group, provider.name, target.base_url, target.upstream_model))
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", group).strip("-")[:64]
    return f"{slug or 'deployment'}-{hashlib.sha256(place).hexdigest()[:8]}"


# --- where -----------------------------------------------------------------------------------


def _place(
    wanted: Wanted, name: str, provider: Provider, env: Mapping[str, str], findings: Findings
) -> Place | None:
    """Return the place that the provider itself works out; None where it has no rule of its own."""
    if provider.locate is None:
        return None
    variable = _base_url_variable(provider, env)
    base_url = wanted.api_base or (env[variable] if variable else "")
    try:
        settings = _settings(wanted, provider, env)
        settings = with_project(settings, wanted, provider, env, findings)
        return provider.locate(name, base_url, settings)
    except ConfigError as error:
        findings.problem(error.param or "model", error.message)
        return None


def _base_url_variable(provider: Provider, env: Mapping[str, str]) -> str:
    return next((name for name in provider.base_url_env if env.get(name)), "")


def _endpoint(
    wanted: Wanted,
    provider: Provider,
    place: Place | None,
    env: Mapping[str, str],
    findings: Findings,
) -> Endpoint | None:
    if provider.locate and not place:
        return None
    variable = _base_url_variable(provider, env)
    given = place.base_url if place else wanted.api_base
    url = given or (env[variable] if variable else provider.base_url)
    if not url:
        variables = " or ".join(provider.base_url_env)
        hint = f", or set {variables}" if variables else ""
        findings.problem("api_base", f"missing: give the resource's URL as api_base{hint}")
        return None
    if provider.auth == "none":
        return Endpoint(url, url, "")
    try:
        return read_endpoint(url)
    except ValueError as error:
        where = "" if wanted.api_base else f" (from {variable})"
        findings.problem("api_base", f"{error}{where}")
        return None


def _speaker(provider: Provider, endpoint: Endpoint) -> Provider:
    """Return who answers there: OpenAI's own limits and life cycle hold at OpenAI's hosts only."""
    is_openai = endpoint.host == OPENAI_HOST or endpoint.host.endswith(f".{OPENAI_HOST}")
    if provider.name == "openai" and not is_openai:
        return provider_for("openai_compatible") or provider
    return provider


def _locate(
    wanted: Wanted,
    name: str,
    provider: Provider,
    endpoint: Endpoint,
    env: Mapping[str, str],
    findings: Findings,
) -> Target:
    if endpoint.host.endswith(_AZURE_HOSTS):
        findings.note("this is an Azure host; azure/NAME reads its errors and limits better")
    is_host = endpoint.base_url.count("/") == 2
    base_url = endpoint.base_url + (provider.base_path if is_host else "")
    return Target(base_url, name, _settings(wanted, provider, env))


def _settings(wanted: Wanted, provider: Provider, env: Mapping[str, str]) -> dict[str, Json]:
    return {
        key: value for key in provider.settings if (value := _setting(wanted, key, provider, env))
    }


def _setting(wanted: Wanted, key: str, provider: Provider, env: Mapping[str, str]) -> Json:
    given = wanted.settings.get(key) or getattr(wanted, key, "")
    found = (env[name] for name in provider.settings[key] if env.get(name))
    return given or next(found, "")


def _locate_openai(
    wanted: Wanted,
    name: str,
    provider: Provider,
    endpoint: Endpoint,
    env: Mapping[str, str],
    findings: Findings,
) -> Target:
    target = _locate(wanted, name, provider, endpoint, env, findings)
    if endpoint.base_url.count("/") > 2:
        return target
    return msgspec.structs.replace(target, base_url=f"{endpoint.base_url}/v1")


def _locate_azure(
    wanted: Wanted,
    name: str,
    provider: Provider,
    endpoint: Endpoint,
    env: Mapping[str, str],
    findings: Findings,
) -> Target:
    if endpoint.deployment and endpoint.deployment != name:
        findings.note(f"api_base names deployment {endpoint.deployment!r}; that one is used")
    own = wanted.api_version or endpoint.api_version
    version = own or _setting(wanted, "api_version", provider, env) or API_VERSION_DEFAULT
    _check_api_version(version, findings)
    is_v1 = endpoint.is_v1 or version in V1_VERSIONS
    if is_v1 and own and own not in V1_VERSIONS:
        findings.note(f"api_base ends in /openai/v1, so api_version {own} is not sent")
    if is_v1:
        version = version if version in V1_VERSIONS else "v1"
    traits = {"api_version": version, "surface": "v1" if is_v1 else "deployments"}
    return Target(endpoint.root_url, endpoint.deployment or name, traits)


def _check_api_version(version: str, findings: Findings) -> None:
    if version in V1_VERSIONS:
        return
    if not _DATED.fullmatch(version):
        words = ", ".join(sorted(V1_VERSIONS))
        findings.problem(
            "api_version",
            f"{version!r} is no api-version; write {API_VERSION_DEFAULT}, or one of {words}",
        )
    elif version[: len(EDITS_SINCE)] < EDITS_SINCE:
        findings.note(f"api-version {version} has no image edits; use {API_VERSION_DEFAULT}")


_Locate = Callable[
    [Wanted, str, Provider, Endpoint, Mapping[str, str], Findings],
    Target,
]
_LOCATE: dict[str, _Locate] = {"azure": _locate_azure, "openai": _locate_openai}


# --- what ------------------------------------------------------------------------------------


def _row(
    wanted: Wanted, provider: Provider, target: Target, catalogue: Catalogue, findings: Findings
) -> Model | None:
    if wanted.serves == "responses":
        if provider.respond is None:
            findings.problem(
                "model", f"{provider.name} has no Responses API here; use openai or azure"
            )
        return None
    if wanted.base_model:
        return _base_row(wanted.base_model, provider, catalogue, findings)
    row = _find(_row_ids(target.upstream_model, provider), catalogue)
    if row and provider.names_deployments:
        return _without_life(row)  # the name is the operator's choice and proves no life cycle
    return row


def _row_ids(name: str, provider: Provider) -> tuple[str, ...]:
    names = provider.row_names(name) if provider.row_names else (name,)
    return tuple(f"{provider.name}/{known}" for known in names)


def _limited(priced: Model | None, wanted: Wanted, findings: Findings) -> Model | None:
    """Return a text model's row with what it reads and writes at most: the bounds of its cost."""
    for name, value in wanted.token_limits.items():
        if not isinstance(value, int) or value < 1:
            findings.problem(name, "must be a whole number of tokens")
    if priced is None or not wanted.token_limits:
        return priced
    return msgspec.structs.replace(priced, traits=wanted.token_limits)


def _find(ids: Iterable[str], catalogue: Catalogue) -> Model | None:
    return next((row for model_id in ids if (row := catalogue.find(model_id))), None)


def _base_row(
    base_model: str, provider: Provider, catalogue: Catalogue, findings: Findings
) -> Model | None:
    bare = base_model.rpartition("/")[2]
    row = _find((*_row_ids(bare, provider), base_model, f"openai/{bare}"), catalogue)
    if row is None:
        near = ", ".join(catalogue.near(base_model))
        hint = f" (near: {near})" if near else ""
        findings.note(
            f"base_model {base_model!r} is not in the catalogue{hint}: no limits, no price"
        )
        return None
    return row if row.provider == provider.name else _without_life(row)


def _without_life(row: Model) -> Model:
    return msgspec.structs.replace(row, shutdown=None, successor="")


def _defaults(wanted: Wanted, findings: Findings) -> dict[str, Json]:
    for name in _NOT_A_DEFAULT:
        if name in wanted.defaults:
            findings.problem(name, "this belongs to a call, not to a deployment; leave it out")
    return dict(wanted.defaults)


def _headers(wanted: Wanted, findings: Findings) -> tuple[dict[str, str], dict[str, Secret]]:
    """Return the plain headers, and those that may hold a secret."""
    plain: dict[str, str] = {}
    secret: dict[str, Secret] = {}
    for name, value in wanted.extra_headers.items():
        if not _is_header(name, value):
            findings.problem("extra_headers", f"{name!r} is no valid header, by name or value")
        elif name.lower() in _OUR_HEADERS:
            findings.problem("extra_headers", f"{name!r} is set by imagegate; leave it out")
        elif _SENSITIVE.search(name):
            secret[name] = Secret(value)
        else:
            plain[name] = value
    return plain, secret


def _is_header(name: str, value: str) -> bool:
    return bool(_HEADER_NAME.fullmatch(name)) and value.isprintable() and value.isascii()
