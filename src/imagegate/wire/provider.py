"""`Provider`, the record that a provider file fills in, and `Target`, what an adapter may see."""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from imagegate.errors import ImageError
from imagegate.types import ImageCall, Json, Operation
from imagegate.wire.exchange import Exchange, UpstreamResponse

AuthScheme: TypeAlias = Literal["none", "bearer", "api-key"]


class Target(Struct, frozen=True):
    """What an adapter may see of a deployment: no credential, ever.

    `base_url` has no trailing slash and no query. `traits` are facts of the model's catalogue row
    and settings of the deployment that the adapter asked for (`api_version`, `surface`).
    """

    base_url: str
    upstream_model: str
    traits: Mapping[str, Json] = {}


Adapter: TypeAlias = Callable[[ImageCall, Target], Exchange]


class Provider(Struct, frozen=True, kw_only=True):
    """One provider: how it is reached, what it can do, how it says no.

    `name` is the prefix that users type. `base_url` is empty where a deployment must give one.
    The `*_env` names are environment variables in the order in which they are looked up.
    `settings` are names of deployment settings that end up in `Target.traits`.
    `trusted_hosts` are hosts besides the deployment's own origin that may see the credential.
    `accepts_unknown_fields`: fields that we do not know pass to this provider as they are.
    """

    name: str
    base_url: str = ""
    auth: AuthScheme = "bearer"
    generate: Adapter | None = None
    edit: Adapter | None = None
    variation: Adapter | None = None
    read_error: Callable[[UpstreamResponse], ImageError]
    api_key_env: tuple[str, ...] = ()
    base_url_env: tuple[str, ...] = ()
    settings: Mapping[str, tuple[str, ...]] = {}
    trusted_hosts: tuple[str, ...] = ()
    accepts_unknown_fields: bool = False
    knows_file_ids: bool = False

    def adapter(self, operation: Operation) -> Adapter | None:
        """Return the adapter of `operation`, or None where this provider has none."""
        return {"generate": self.generate, "edit": self.edit, "variation": self.variation}[
            operation
        ]
