"""One file a provider, named as the prefix that users type. Pure: an adapter talks to no one.

A file holds how a call becomes requests, how answers become results, and how this provider says
no. Sockets, credentials, retries and limits by model are elsewhere. Adding a provider is one file
and one line in `PROVIDERS`.
"""

from imagegate.providers import (
    azure,
    azure_ai,
    bedrock,
    black_forest_labs,
    compatible_rows,
    gemini,
    nscale,
    openai,
    openai_compatible,
    openrouter,
    recraft,
    sandbox,
    vertex_ai,
    xinference,
)
from imagegate.wire.provider import Provider

PROVIDERS: tuple[Provider, ...] = (
    openai.PROVIDER,
    azure.PROVIDER,
    azure_ai.PROVIDER,
    gemini.PROVIDER,
    vertex_ai.PROVIDER,
    openai_compatible.PROVIDER,
    bedrock.PROVIDER,
    recraft.PROVIDER,
    openrouter.PROVIDER,
    black_forest_labs.PROVIDER,
    xinference.PROVIDER,
    nscale.PROVIDER,
    *compatible_rows.PROVIDERS,
    sandbox.PROVIDER,
)

_BY_NAME = {name: provider for provider in PROVIDERS for name in (provider.name, *provider.aliases)}


def provider_for(prefix: str) -> Provider | None:
    """Return the provider that users call `prefix`, or None where there is none."""
    return _BY_NAME.get(prefix)
