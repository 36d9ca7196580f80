"""What a configuration comes down to: plain frozen values, checked, with every name resolved.

Nothing here knows YAML, pydantic or the environment; `runtime/assemble.py` builds from it.
"""

import datetime
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

from imagegate.catalogue.model import Catalogue, Model
from imagegate.config.guards import GuardrailSettings
from imagegate.config.sinks import SinkSettings
from imagegate.config.webhooks import WebhookSettings
from imagegate.types import AdjustPolicy, Json, Secret
from imagegate.wire.provider import Provider, Target

ANSWER_BYTES_MAX = 256 * 1024 * 1024

CredentialKind: TypeAlias = Literal[
    "none", "bearer", "api-key", "header", "entra", "sigv4", "google"
]


class Credential(Struct, frozen=True):
    """How to sign in at an upstream.

    `entra` holds the settings of azure-identity, or google-auth's, whose account is in `secret`.
    `header` names the header of the kind `header`. `aws` holds settings of botocore by LiteLLM's
    names; empty, botocore looks where it always does.

    `headers` are the operator's own headers that may carry a secret (a subscription key); like
    the credential they go to the deployment's own origin only.
    """

    kind: CredentialKind = "none"
    secret: Secret = Secret("")
    entra: Mapping[str, str] = {}
    token_provider: Callable[[], str] | None = None
    headers: Mapping[str, Secret] = {}
    header: str = ""
    aws: Mapping[str, Secret] = {}


class Routing(Struct, frozen=True, kw_only=True):
    """How a deployment takes part in its group. None: not given, or without a limit.

    A lower `order` comes first. `rpm` are requests and `ipm` images in a minute.
    """

    order: int = 0
    weight: float | None = None
    rpm: int | None = None
    ipm: int | None = None
    max_in_flight: int | None = None
    tags: tuple[str, ...] = ()
    cooldown_s: float | None = None


class Deployment(Struct, frozen=True, kw_only=True):
    """One place that can serve a model: model + credential + base URL + limits.

    `id` is stable for the same settings. `model` is the catalogue row that decides limits and
    price, None where the model is unknown to the catalogue; `assumed` is then what such models
    may take, without a price. `defaults` are image parameters of the operator that a call may
    override; `adjust` is its own policy. One that `serves` responses is a text model's; `images`
    are the image deployments at the same place by their group, which its image tool may use, and
    nothing but its price is known. `priced` is the row at the operator's own prices, None where
    there are none. A wildcard entry's own has a `*` in its group, and `named` returns
    the deployment of one name, None where it serves none of that name; such a one says in
    `pattern` what it was made from.
    """

    id: str
    group: str
    provider: Provider
    target: Target
    model: Model | None = None
    assumed: Model | None = None
    credential: Credential = Credential()
    timeout_s: float = 600.0
    headers: Mapping[str, str] = {}
    defaults: Mapping[str, Json] = {}
    variations: Literal["no", "edit"] = "no"
    adjust: AdjustPolicy | None = None
    routing: Routing = Routing()
    serves: Literal["images", "responses"] = "images"
    images: Mapping[str, "Deployment"] = {}
    named: "Names | None" = None
    pattern: str = ""
    priced: Model | None = None

    @property
    def charged_as(self) -> Model | None:
        """The row whose price counts, None where nobody knows a price."""
        return self.priced or self.model


class Names(Protocol):
    """What a wildcard entry serves."""

    def __call__(self, name: str) -> Deployment | None:
        """Return the deployment of the group `name`."""
        ...

    def known(self, today: datetime.date) -> Iterator[str]:
        """Yield the names that the catalogue knows, without models that have ended."""
        ...


Strategy: TypeAlias = Literal[
    "simple-shuffle",
    "least-busy",
    "latency-based-routing",
    "cost-based-routing",
    "usage-based-routing",
]


class RouterSettings(Struct, frozen=True, kw_only=True):
    """How deployments are picked, and what follows a fault. Fallbacks lead from group to groups.

    `retries_max` counts further attempts at a deployment that failed for the moment; such waits
    are at least `retry_after_s`. More than `fails_max` failures in a minute earn a rest of
    `cooldown_s`. A request may ask for up to `retries_asked_max` retries. Calls for the groups in
    `buys_twice` go on after an ambiguous fault.
    """

    strategy: Strategy = "simple-shuffle"
    retries_max: int = 0
    retries_asked_max: int = 0
    retry_after_s: float = 0.0
    fails_max: int = 3
    cooldown_s: float = 5.0
    fallbacks: Mapping[str, tuple[str, ...]] = {}
    default_fallbacks: tuple[str, ...] = ()
    policy_fallbacks: Mapping[str, tuple[str, ...]] = {}
    is_tag_filtered: bool = False
    buys_twice: frozenset[str] = frozenset()


class QueueSettings(Struct, frozen=True, kw_only=True):
    """How many calls run at once, in all and of one key (None: no limit); how many wait, how long.

    The limits of a deployment, and those that a key has of its own, are waited for as well.
    """

    calls_max: int | None = None
    key_calls_max: int | None = None
    waiting_max: int = 100
    wait_s_max: float = 60.0


class OverrideSettings(Struct, frozen=True, kw_only=True):
    """What a request may say of its way, beside the number of retries."""

    timeout_s_max: float = 3600.0
    may_fall_back: bool = True


class Skipped(Struct, frozen=True):
    """An entry of the configuration that is not served, and why."""

    name: str
    line: int
    reason: str
    unset: tuple[str, ...] = ()


class Note(Struct, frozen=True):
    """Something that `check` tells: what would behave differently from LiteLLM."""

    name: str
    line: int
    text: str


DOCS_URL = "docs/reference/findings.md"
"""Where findings are explained, in this repository."""


class ServerSettings(Struct, frozen=True, kw_only=True):
    """How the gateway listens and what it accepts; sizes in bytes, times in seconds.

    Without a `drain_s` a stopping gateway waits as long as the longest call may take.
    """

    host: str = "127.0.0.1"
    port: int = 4000
    master_key: Secret = Secret("")
    json_bytes_max: int = 25 * 1024 * 1024
    form_bytes_max: int = 860 * 1024 * 1024
    file_bytes_max: int = 50 * 1024 * 1024
    image_pixels_max: int = 40_000_000
    calls_max: int = 1000
    public_url: str | None = None
    docs_url: str = DOCS_URL
    drain_s: float | None = None
    drain_notice_s: float = 5.0


class BucketSettings(Struct, frozen=True):
    """A bucket, `s3://name/prefix` and the like; `options` of its kind have obstore's names."""

    url: str
    options: Mapping[str, Secret] = {}


class AssetSettings(Struct, frozen=True, kw_only=True):
    """Where image bytes live, how long, and how much of them.

    With a `bucket` kept images move there from the folder once they are settled.
    """

    folder: str
    retention_s: float = 7 * 24 * 3600.0
    evidence_s: float = 7 * 24 * 3600.0
    bytes_max: int = 10 * 1024**3
    durability: Literal["process", "power"] = "process"
    answer_bytes_max: int = ANSWER_BYTES_MAX
    free_bytes_min: int = 512 * 1024 * 1024
    url_s: float = 3600.0
    url_secret: Secret = Secret("")
    bucket: BucketSettings | None = None


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that a runtime is built from; `files` are those that it was read from."""

    deployments: tuple[Deployment, ...]
    catalogue: Catalogue
    aliases: Mapping[str, str] = {}
    default_model: str = ""
    router: RouterSettings = RouterSettings()
    queue: QueueSettings = QueueSettings()
    overrides: OverrideSettings = OverrideSettings()
    adjust: AdjustPolicy = "nearest"
    on_retired: Literal["send", "refuse"] = "send"
    partial: Literal["deliver", "refuse"] = "deliver"
    server: ServerSettings = ServerSettings()
    assets: AssetSettings
    database_url: Secret
    unknown_price: Literal["allow", "refuse", "ceiling"] = "allow"
    unknown_price_ceiling_e10: int = 0
    end_user_budget_e10: int | None = None
    proxies: Mapping[str, str] = {}
    status_pages: Mapping[str, str] = {}
    late_s: float = 300.0
    attach_s: float = 600.0
    log_format: Literal["auto", "json", "text"] = "auto"
    log_prompts: bool = False
    sinks: tuple[SinkSettings, ...] = ()
    webhooks: WebhookSettings = WebhookSettings()
    guardrails: tuple[GuardrailSettings, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[Note, ...] = ()
    files: tuple[str, ...] = ()
