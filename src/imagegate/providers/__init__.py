"""One file a provider, named as the prefix that users type. Pure: an adapter talks to no one.

A file holds how a call becomes requests, how answers become results, and how this provider says
no. Sockets, credentials, retries and limits by model are elsewhere. Adding a provider is one file
and one line in `PROVIDERS`.
"""

from imagegate.providers import (
    azure,
    bedrock,
    black_forest_labs,
    gemini,
    openai,
    openai_compatible,
    openrouter,
    recraft,
    sandbox,
    vertex_ai,
)
from imagegate.wire.provider import Provider

PROVIDERS: tuple[Provider, ...] = (
    openai.PROVIDER,
    azure.PROVIDER,
    gemini.PROVIDER,
    vertex_ai.PROVIDER,
    openai_compatible.PROVIDER,
    bedrock.PROVIDER,
    recraft.PROVIDER,
    openrouter.PROVIDER,
    black_forest_labs.PROVIDER,
    sandbox.PROVIDER,
)

_BY_NAME = {provider.name: provider for provider in PROVIDERS}


def provider_for(prefix: str) -> Provider | None:
    """Return the provider that users call `prefix`, or None where there is none."""
    return _BY_NAME.get(prefix)
