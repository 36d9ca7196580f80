"""The configuration file on one page: each key, its type, its limits, its meaning.

The shape is LiteLLM's (`model_list`, `litellm_params`, ...) with our own keys beside it. A
section that is ours alone refuses unknown keys; in LiteLLM's sections unknown keys are kept, and
`load.py` decides which are known names and which are typing errors.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from imagegate.config.fields import (
    Count,
    LiteLLMSection,
    Names,
    Port,
    Retention,
    Retries,
    Seconds,
    Section,
    Text,
    not_bool,
    yes_no,
)
from imagegate.config.guards_schema import (
    BlockedWord,
    GuardrailEntry,
    GuardrailParams,
    PatternRule,
)
from imagegate.config.routing_schema import CallLimits, Fallbacks, Overrides, RouterSettings
from imagegate.config.settings import DOCS_URL
from imagegate.config.webhook_schema import Webhooks
from imagegate.types import Json


class DeploymentParams(LiteLLMSection):
    """`litellm_params`, or `params`: where a deployment is and how it is reached."""

    model: Text
    """`provider/name`, or a bare OpenAI model id. On Azure the name is the deployment's."""
    api_base: Text | None = None
    """Base URL of the API; a whole URL is split."""
    base_url: Text | None = None
    """The same as `api_base`."""
    api_key: SecretStr | None = None
    """The provider's key, as a rule `os.environ/NAME`."""
    api_version: Text | None = None
    """Azure: a dated version for the deployment route, or `v1`, `preview`, `latest`."""
    custom_llm_provider: Text | None = None
    """The provider, where `model` has no prefix."""
    base_model: Text | None = None
    """The model behind the name; decides limits and price, is never sent."""
    organization: Text | None = None
    """OpenAI organization that is charged."""
    project: Text | None = None
    """OpenAI project that is charged."""
    azure_ad_token: SecretStr | None = None
    """A ready Entra ID token."""
    tenant_id: Text | None = None
    """Entra ID tenant of a service principal."""
    client_id: Text | None = None
    """Entra ID client: of a service principal, or of a managed identity."""
    client_secret: SecretStr | None = None
    """Secret of the service principal."""
    azure_scope: Text | None = None
    """Scope of Entra ID tokens; by default https://cognitiveservices.azure.com/.default."""
    azure_credential: (
        Literal[
            "DefaultAzureCredential",
            "ManagedIdentityCredential",
            "WorkloadIdentityCredential",
            "AzureCliCredential",
        ]
        | None
    ) = None
    """Sign in with this credential of azure-identity, without a secret in the file."""
    litellm_credential_name: Text | None = None
    """An entry of `credential_list` whose values are used where they are not given here."""
    timeout: Seconds | None = None
    """Longest that one exchange with the upstream may take, in seconds."""
    guardrails: Names = []
    """Guardrails by name that calls for this model group meet."""
    extra_headers: dict[str, str] | None = None
    """Headers for each request to this deployment's own host."""
    extra_body: dict[str, Any] | None = None
    """Further fields of the body, the same as writing them here."""
    order: Annotated[int, BeforeValidator(not_bool)] = 0
    """Deployments of a lower order are asked first."""
    weight: Annotated[float, BeforeValidator(not_bool), Field(ge=0)] | None = None
    """How often it is picked, beside the others' weights."""
    rpm: Count | None = None
    """Requests a minute that it may take; also its weight, where none has one."""
    ipm: Count | None = None
    """Images a minute that it may take."""
    max_in_flight: Count | None = None
    """Requests at the same time that it may take; the next ones wait in a queue."""
    max_parallel_requests: Count | None = None
    """LiteLLM's name of `max_in_flight`."""
    tags: list[Text] = []
    """What requests with `x-imagegate-tags` look for, with `enable_tag_filtering`."""
    cooldown_time: Seconds | None = None
    """Its own rest after failures, in seconds."""
    drop_params: bool | None = None
    """true: what the model does not take is translated or left out, false: refused. A caller's \
`x-imagegate-adjust` wins; without either the whole file's `adjust`."""
    variations: Annotated[Literal["no", "edit"], BeforeValidator(yes_no)] = "no"
    """`edit`: answer image variations by an edit."""


class ModelInfo(LiteLLMSection):
    """`model_info`: what is known about a deployment."""

    id: Text | None = None
    """Name of the deployment in logs and headers; unique."""
    mode: Text | None = None
    """`image_generation` or `image_edit`; `responses` for a text model of /v1/responses."""
    base_model: Text | None = None
    """The same as in the params."""


class ModelEntry(LiteLLMSection):
    """One deployment. Entries with the same `model_name` are one model group."""

    model_name: Text
    """The name that callers ask for."""
    litellm_params: DeploymentParams
    """Also spelled `params`."""
    model_info: ModelInfo = ModelInfo()
    """What is known about the model: `mode`, `base_model`, `id`."""


class LiteLLMSettings(LiteLLMSection):
    """`litellm_settings`."""

    num_retries: Retries | None = None
    """The same as in `router_settings`."""
    allowed_fails: Retries | None = None
    """The same as in `router_settings`."""
    fallbacks: Fallbacks | None = None
    """The same as in `router_settings`."""
    default_fallbacks: list[Text] | None = None
    """The same as in `router_settings`."""
    content_policy_fallbacks: Fallbacks | None = None
    """The same as in `router_settings`."""

    drop_params: bool | None = None
    """true is `adjust: nearest`, false `adjust: strict`, where `adjust` is not given."""
    request_timeout: Seconds | None = None
    """Default of `timeout` in the params, after the router's."""
    enable_azure_ad_token_refresh: bool = False
    """Azure deployments without a key sign in by DefaultAzureCredential."""
    callbacks: Names = []
    """Receivers of all calls: `otel`, `langfuse`, `prometheus`, `s3`, `webhook`, an import path."""
    success_callback: Names = []
    """Receivers of calls that brought images."""
    failure_callback: Names = []
    """Receivers of calls that brought none."""
    s3_callback_params: dict[str, Json] = {}
    """Where `s3` writes: `s3_bucket_name`, `s3_region_name`, `s3_path` and the like."""
    max_end_user_budget: Annotated[
        float | None, BeforeValidator(not_bool), Field(ge=0, le=10**8)
    ] = None
    """What each end user may spend who has no budget of his own, in USD."""
    turn_off_message_logging: bool | None = None
    """Prompts are never logged here unless `log_prompts` says so; true wins over it."""


class GeneralSettings(CallLimits):
    """`general_settings`."""

    master_key: SecretStr | None = None
    """The operator's key; at least 16 characters where others can reach the gateway."""
    database_url: SecretStr | None = None
    """LiteLLM's place for `database_url`."""


class Server(Section):
    """How the gateway listens, and how much it takes."""

    host: Text = "127.0.0.1"
    """Address to listen on. Anything but loopback needs a master key."""
    port: Port = 4000
    """Port to listen on; 0 takes a free one."""
    json_bytes_max: Count = 25 * 1024 * 1024
    """Largest JSON body, in bytes."""
    form_bytes_max: Count = 860 * 1024 * 1024
    """Largest form, in bytes."""
    file_bytes_max: Count = 50 * 1024 * 1024
    """Largest file in a form, in bytes."""
    image_pixels_max: Count = 40_000_000
    """Largest input image, in pixels."""
    calls_max: Count = 1000
    """Calls in work at the same time; the next is refused with 503."""
    public_url: Annotated[str, Field(pattern=r"^https?://[^/?#@\s]+(/[^?#\s]*)?$")] | None = None
    """Where callers reach this gateway, for the urls of images; else the address they came to."""
    docs_url: Annotated[str, Field(pattern=r"^[^#\s]+$")] = DOCS_URL
    """Where the page of all findings is; `error.imagegate.doc_url` leads there."""
    drain_s: Seconds | None = None
    """How long a stopping gateway waits for its calls, in seconds; by default the longest \
`timeout` of all deployments and `late_s`."""
    drain_notice_s: Retention = 5.0
    """How long after SIGTERM calls are still taken while `/readyz` says 503, in seconds."""


class Assets(Section):
    """Where image bytes live, how long, and how much of them."""

    folder: Text | None = None
    """A folder on a disk; relative to this file. Default: `assets` in imagegate's data home."""
    retention_s: Retention = 7 * 24 * 3600.0
    """How long a delivered image is kept, in seconds; 0 keeps none."""
    evidence_s: Retention = 7 * 24 * 3600.0
    """How long the record of a call whose end is unknown is kept, in seconds."""
    bytes_max: Count = 10 * 1024**3
    """Bound on the folder, in bytes."""
    durability: Literal["process", "power"] = "process"
    """`process` survives a kill, `power` a power cut."""
    answer_bytes_max: Count = 256 * 1024 * 1024
    """Largest answer of an upstream, decoded, in bytes."""
    free_bytes_min: Annotated[int, BeforeValidator(not_bool), Field(ge=0)] = 512 * 1024 * 1024
    """With less room on the folder's disk nothing is bought, in bytes; 8 MiB more a call."""
    url_s: Seconds = 3600.0
    """How long the url of an image may be fetched, in seconds; it is kept as long."""
    url_secret: Annotated[SecretStr, Field(min_length=16)] | None = None
    """Key that urls of images are signed with, the same for all gateways of one ledger. Default: \
one that is drawn once and kept in the folder."""
    bucket: Text | None = None
    """Bucket that kept images move to: `s3://name/prefix`, `gs://name/prefix` or \
`az://container/prefix`. Needs the extra `bucket`."""
    bucket_options: dict[str, SecretStr] = {}
    """Options of the bucket by obstore's names, such as `region`, `endpoint`, \
`aws_access_key_id`; what is not named comes from the environment or the machine's role."""


class SinkEntry(Section):
    """A receiver of closing events, one a call."""

    model_config = ConfigDict(populate_by_name=True)

    kind: Literal["otel", "langfuse", "webhook", "file", "s3", "python"]
    """What receives: an OTLP collector, Langfuse, an url, a file, a bucket, a class of yours."""
    name: Text | None = None
    """Name in metrics and in the log; by default the kind."""
    calls: Literal["all", "success", "failure"] = "all"
    """Which calls it receives."""
    url: Text | None = None
    """The webhook's url, the collector's address, or an S3 server that is not Amazon's."""
    headers: dict[str, str] | None = None
    """Headers of each request."""
    secret: SecretStr | None = None
    """Signs webhooks; the bucket's secret key."""
    key_id: Text | None = None
    """The bucket's access key id."""
    path: Text | None = None
    """The file, relative to this one; the folder in the bucket."""
    bucket: Text | None = None
    """The bucket's name."""
    region: Text | None = None
    """The bucket's region."""
    service: Text | None = None
    """The name of this service in traces."""
    class_: Annotated[Text | None, Field(alias="class")] = None
    """Import path of a class: `module.ClassName`, looked for beside this file first."""
    queue_max: Count = 1000
    """So many events wait while the receiver is slow; what is beyond them is lost and counted."""


class CredentialEntry(Section):
    """One entry of LiteLLM's `credential_list`."""

    credential_name: Text
    credential_values: dict[str, Json] = {}
    credential_info: dict[str, Json] = {}


class ConfigFile(Section):
    """The whole file. The entries of `model_list` are checked one by one as `ModelEntry`."""

    model_list: list[dict[str, Json]] = []
    """The deployments."""
    router_settings: RouterSettings = RouterSettings()
    """LiteLLM's section, below."""
    overrides: Overrides = Overrides()
    """What one request may change of the routing, below."""
    litellm_settings: LiteLLMSettings = LiteLLMSettings()
    """LiteLLM's section, below."""
    general_settings: GeneralSettings = GeneralSettings()
    """LiteLLM's section, below."""
    credential_list: list[CredentialEntry] = []
    """Named credentials for `litellm_credential_name`."""
    environment_variables: dict[str, str] = {}
    """Values for `os.environ/NAME`, before the environment's own."""
    server: Server = Server()
    """How the gateway listens, below."""
    assets: Assets = Assets()
    """Where images live, below."""
    database_url: SecretStr | None = None
    """Ledger: `sqlite:///path` for one gateway, `postgresql://user:password@host/database` for \
several. Also `general_settings.database_url` or the variable `DATABASE_URL`. Default: \
`imagegate.db` in imagegate's data home."""
    unknown_price: Literal["allow", "refuse", "ceiling"] = "allow"
    """What happens to a call that nobody can price: `allow` sends it unless a budget would have \
to count it, `refuse` does not send it, `ceiling` reserves `unknown_price_ceiling_usd`."""
    unknown_price_ceiling_usd: Annotated[float, BeforeValidator(not_bool), Field(gt=0, le=1000)] = (
        1.0
    )
    """What an image without a known price is taken to cost at most, in USD."""
    catalogue: list[Text] = []
    """TOML files whose rows are added to the catalogue or replace rows; relative to this file."""
    adjust: Literal["nearest", "strict"] | None = None
    """What happens to a value that a model does not take: translated and reported, or refused."""
    on_retired: Literal["send", "refuse"] = "send"
    """What happens to a call for a model past its shutdown date."""
    partial: Literal["deliver", "refuse"] = "deliver"
    """What happens where only some of the images of a call could be made: delivered, or refused."""
    default_model: Text | None = None
    """The model group of calls that name none."""
    status_pages: dict[str, Annotated[str, Field(pattern=r"^https?://[^@\s]+$")]] = {}
    """A provider's name -> the JSON of its status page, which `imagegate doctor` reads."""
    late_s: Retention = 300.0
    """How long an image is waited for beyond the deployment's `timeout`, in seconds."""
    attach_s: Retention = 600.0
    """How long the same request gets the image of a call whose caller left, in seconds."""
    log_format: Literal["auto", "json", "text"] = "auto"
    """Form of log lines; `auto` is text on a terminal."""
    log_prompts: bool = False
    """Prompts go to the log and to all sinks, redacted and cut."""
    guardrails: list[GuardrailEntry] = []
    """What may go in and what may come out, below."""
    sinks: list[SinkEntry] = []
    """Further receivers of closing events, below."""
    webhooks: Webhooks = Webhooks()
    """Urls that are told how a call ended, below."""


SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("(top level)", ConfigFile),
    ("model_list[]", ModelEntry),
    ("model_list[].litellm_params", DeploymentParams),
    ("model_list[].model_info", ModelInfo),
    ("router_settings", RouterSettings),
    ("overrides", Overrides),
    ("litellm_settings", LiteLLMSettings),
    ("general_settings", GeneralSettings),
    ("server", Server),
    ("assets", Assets),
    ("guardrails[]", GuardrailEntry),
    ("guardrails[].litellm_params", GuardrailParams),
    ("guardrails[].litellm_params.blocked_words[]", BlockedWord),
    ("guardrails[].litellm_params.patterns[]", PatternRule),
    ("sinks[]", SinkEntry),
    ("webhooks", Webhooks),
)
