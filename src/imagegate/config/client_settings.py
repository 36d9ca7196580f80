"""Settings of the SDK without a file: one deployment, as its caller and the environment say."""

from collections.abc import Callable, Mapping
from typing import Literal

from imagegate.catalogue.model import Catalogue
from imagegate.catalogue.rows import builtin_catalogue
from imagegate.config.deployment import read_settings, resolve_deployment, split_model
from imagegate.config.prices import prices_among
from imagegate.config.proxies import read_proxies
from imagegate.config.resolve import DEFAULT_MODEL, ENV_PREFIX, MODEL_ENV
from imagegate.config.settings import (
    AssetSettings,
    Deployment,
    Settings,
)
from imagegate.config.wanted import Findings, Wanted
from imagegate.errors import AuthenticationError, ConfigError
from imagegate.providers import provider_for
from imagegate.types import Json, Secret


def client_settings(
    model: str | None = None,
    *,
    env: Mapping[str, str],
    api_key: str | None = None,
    api_base: str | None = None,
    base_url: str | None = None,
    api_version: str | None = None,
    custom_llm_provider: str | None = None,
    timeout: float | None = None,
    extra_headers: Mapping[str, str] | None = None,
    base_model: str | None = None,
    organization: str | None = None,
    project: str | None = None,
    azure_ad_token: str | None = None,
    azure_ad_token_provider: Callable[[], str] | None = None,
    tenant_id: str | None = None,
    client_id: str | None = None,
    client_secret: str | None = None,
    azure_scope: str | None = None,
    azure_credential: str | None = None,
    variations: Literal["no", "edit"] = "no",
    catalogue: Catalogue | None = None,
    **provider_settings: Json,
) -> tuple[Settings, str]:
    """Return settings with one deployment, and its model group's name: the model as asked.

    `provider_settings` are those that a provider's record names (`aws_region_name`), and prices in
    LiteLLM's names. `env` comes from `load.environment()`. Assets and ledger are left
    empty: the SDK's runtime has its own. Raises `AuthenticationError` that names the variable
    where no credential is found, else `ConfigError` with all faults.
    """
    name = model or env.get(MODEL_ENV) or DEFAULT_MODEL
    own = _own_settings(split_model(name, custom_llm_provider)[0], provider_settings, env)
    base = api_base or base_url or str(own.pop("api_base", ""))
    wanted = Wanted(
        group=name,
        model=name,
        custom_llm_provider=custom_llm_provider or "",
        api_base=_named(base, env),
        api_key=Secret(_named(api_key, env)),
        api_version=_named(api_version, env),
        base_model=base_model or "",
        organization=organization or "",
        project=project or "",
        azure_ad_token=Secret(_named(azure_ad_token, env)),
        azure_ad_token_provider=azure_ad_token_provider,
        tenant_id=_named(tenant_id, env),
        client_id=_named(client_id, env),
        client_secret=Secret(_named(client_secret, env)),
        azure_scope=azure_scope or "",
        azure_credential=azure_credential or "",
        timeout_s=timeout or 0.0,
        extra_headers=extra_headers or {},
        settings=own,
        variations=variations,
        prices=prices_among(provider_settings),
    )
    return _settings_of(wanted, catalogue or builtin_catalogue(), env), name


def _settings_of(wanted: Wanted, catalogue: Catalogue, env: Mapping[str, str]) -> Settings:
    return Settings(
        deployments=(_resolve_one(wanted, catalogue, env),),
        catalogue=catalogue,
        default_model=wanted.group,
        assets=AssetSettings(folder=""),
        database_url=Secret(""),
        proxies=read_proxies(env),
    )


def _own_settings(
    prefix: str, given: Mapping[str, Json], env: Mapping[str, str]
) -> dict[str, Json]:
    """Return the settings among `given` that the provider called `prefix` has."""
    provider = provider_for(prefix)
    return {
        name: _named(value, env) if isinstance(value, str) else value
        for name, value in (read_settings(provider, given) if provider else {}).items()
    }


def _named(value: str | None, env: Mapping[str, str]) -> str:
    """Return `value`, or what the variable holds that `os.environ/NAME` names."""
    if value and value.startswith(ENV_PREFIX):
        return env.get(value.removeprefix(ENV_PREFIX), "")
    return value or ""


def _resolve_one(wanted: Wanted, catalogue: Catalogue, env: Mapping[str, str]) -> Deployment:
    findings = Findings()
    deployment = resolve_deployment(wanted, catalogue, env, findings)
    if deployment is not None:
        return deployment
    text = "; ".join(f"{problem.field}: {problem.text}" for problem in findings.problems)
    message = f"model {wanted.model!r} cannot be reached: {text}"
    if all(problem.is_credential for problem in findings.problems):
        raise AuthenticationError(message, param="api_key", model=wanted.model)
    raise ConfigError(message, param=findings.problems[0].field, model=wanted.model)
