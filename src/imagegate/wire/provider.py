"""`Provider`, the record that a provider file fills in, and `Target`, what an adapter may see."""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from imagegate.errors import ImageError
from imagegate.types import ImageCall, Json, Operation
from imagegate.wire.exchange import Exchange, UpstreamResponse
from imagegate.wire.probes import Probes

AuthScheme: TypeAlias = Literal["none", "bearer", "api-key", "header", "sigv4", "google"]


class Target(Struct, frozen=True):
    """What an adapter may see of a deployment: no credential, ever.

    `base_url` has no trailing slash and no query. `traits` are facts of the model's catalogue row
    and settings of the deployment that the adapter asked for (`api_version`, `surface`).
    """

    base_url: str
    upstream_model: str
    traits: Mapping[str, Json] = {}


class Place(Struct, frozen=True):
    """Where a provider serves a model, worked out from its name and the deployment's settings."""

    base_url: str
    upstream_model: str
    traits: Mapping[str, Json] = {}


Adapter: TypeAlias = Callable[[ImageCall, Target], Exchange]
Locate: TypeAlias = Callable[[str, str, Mapping[str, Json]], Place]
"""Name, given base URL or `""`, settings -> place. Raises `ConfigError` that names the setting."""


class Provider(Struct, frozen=True, kw_only=True):
    """One provider: how it is reached, what it can do, how it says no.

    `name` is the prefix that users type. `base_url` is empty where a deployment must give one.
    The `*_env` names are environment variables in the order in which they are looked up.
    `settings` are names of deployment settings that end up in `Target.traits`, `secrets` those
    that end up in the credential; each with its environment variables. `spellings` are other
    names of settings, `api_base` among them. `locate` finds the base URL where it follows from
    the settings. `row_names` are names under which the catalogue may have a model, likest first.
    With `auth="header"` the credential goes into the header named `auth_header`.
    `trusted_hosts` are hosts besides the deployment's own origin that may see the credential;
    one that starts with a dot stands for all names below it.
    `result_hosts` are the hosts that result urls may lead to, besides the deployment's own origin;
    with a dot as above, none for any public host.
    `accepts_unknown_fields`: fields that we do not know pass to this provider as they are.
    `takes_idempotency_key`: an `Idempotency-Key` is honoured there, or passed over.
    `aliases` are other prefixes that users know. `base_path` is added to a given address that is a
    host and no more. Without `needs_credential` a deployment may have none. `names_deployments`:
    the name after the prefix is the operator's choice and proves no model's life cycle.
    `probes` are its free questions, for `imagegate doctor`.
    """

    name: str
    base_url: str = ""
    auth: AuthScheme = "bearer"
    auth_header: str = ""
    generate: Adapter | None = None
    edit: Adapter | None = None
    variation: Adapter | None = None
    respond: Adapter | None = None
    read_error: Callable[[UpstreamResponse], ImageError]
    api_key_env: tuple[str, ...] = ()
    base_url_env: tuple[str, ...] = ()
    settings: Mapping[str, tuple[str, ...]] = {}
    secrets: Mapping[str, tuple[str, ...]] = {}
    spellings: Mapping[str, str] = {}
    locate: Locate | None = None
    row_names: Callable[[str], tuple[str, ...]] | None = None
    trusted_hosts: tuple[str, ...] = ()
    result_hosts: tuple[str, ...] = ()
    accepts_unknown_fields: bool = False
    knows_file_ids: bool = False
    takes_idempotency_key: bool = False
    aliases: tuple[str, ...] = ()
    base_path: str = ""
    needs_credential: bool = True
    names_deployments: bool = False
    probes: Probes = Probes()

    def adapter(self, operation: Operation) -> Adapter | None:
        """Return the adapter of `operation`, or None where this provider has none."""
        adapters = {
            "generate": self.generate,
            "edit": self.edit,
            "variation": self.variation,
            "responses": self.respond,
        }
        return adapters[operation]
