"""Sorts what a caller of the SDK said: image parameters, connection, options, LiteLLM's words."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from imagegate.client.inputs import Source, read_input, read_inputs
from imagegate.client.keyed import read_key
from imagegate.client.settings import TIMEOUT_S
from imagegate.config.deployment import setting_names
from imagegate.config.prices import PRICE_NAMES
from imagegate.errors import BadRequestError
from imagegate.providers import PROVIDERS
from imagegate.types import AdjustPolicy, Json, Operation

T = TypeVar("T")
Fallback: TypeAlias = str | Mapping[str, Any]

RETRIES_MAX = 10

# How a deployment is reached; these go to the transport, never into a body.
CONNECTION = frozenset(
    [
        "api_key",
        "api_base",
        "base_url",
        "api_version",
        "custom_llm_provider",
        "organization",
        "project",
        "base_model",
        "azure_ad_token",
        "azure_ad_token_provider",
        "tenant_id",
        "client_id",
        "client_secret",
        "azure_scope",
        "headers",
        "extra_headers",
        "extra_query",
    ]
)
# The same, of single providers (`aws_region_name`): their records name them. And what it costs.
PROVIDER_SETTINGS = setting_names(each for each in PROVIDERS if each.auth != "none") | PRICE_NAMES
# LiteLLM's own words: some are read below, the others are accepted so that its callers run.
IGNORED = frozenset(
    [
        "aimg_generation",
        "async_call",
        "litellm_call_id",
        "litellm_logging_obj",
        "litellm_metadata",
        "logger_fn",
        "proxy_server_request",
        "model_info",
        "metadata",
        "client",
        "tags",
        "ssl_verify",
        "deployment_id",
        "caching",
        "cache",
        "additional_drop_params",
        "drop_params",
        "num_retries",
        "max_retries",
        "fallbacks",
        "mock_response",
        "mock_timeout",
        "allowed_openai_params",
        "cache_key",
        "preset_cache_key",
        "ttl",
        "cooldown_time",
        "retry_policy",
        "rpm",
        "tpm",
        "shared_session",
        "no-log",
        "verbose",
    ]
)
OPTIONS = frozenset(("adjust", "idempotency_key", "max_cost_usd", "timeout"))
INPUTS = frozenset(("image", "mask", "markup"))
IGNORED_PREFIXES = ("aws_", "vertex_", "input_cost_per_", "output_cost_per_", "litellm_")


class Request(Struct, Generic[T], frozen=True, kw_only=True):
    """What a caller said, sorted by whom it concerns. `T` is what the call returns.

    `fields` are the image parameters in OpenAI's JSON form; `connection` says how a deployment is
    reached. `max_cost_usd` is None for no limit. `fallbacks` are tried in order.
    """

    operation: Operation
    model: str | None
    fields: Mapping[str, Json]
    images: tuple[Source, ...] = ()
    mask: Source | None = None
    markup: Source | None = None
    connection: Mapping[str, Any] = {}
    adjust: AdjustPolicy | None = None
    max_cost_usd: Decimal | None = None
    timeout_s: float = TIMEOUT_S
    retries_max: int = 0
    fallbacks: tuple[Fallback, ...] = ()
    idempotency_key: str = ""
    is_mock: bool = False

    @property
    def stream(self) -> bool:
        """Whether the caller wants events."""
        return bool(self.fields.get("stream"))


def build_request(operation: Operation, given: Mapping[str, Any]) -> Request[Any]:
    """Return the request that the arguments `given` of a call mean; None means: not given.

    Raises `BadRequestError` whose `param` names the argument that is wrong.
    """
    said = {name: value for name, value in _flat(given).items() if value is not None}
    dropped = said.get("additional_drop_params", ())
    fields = {
        name: value
        for name, value in said.items()
        if not _is_ours(name) and name not in INPUTS and name not in dropped
    }
    model = fields.pop("model", None)
    _check_plain(fields)
    return Request(
        operation=operation,
        model=model,
        fields=fields,
        images=read_inputs(said.get("image"), "image"),
        mask=_read_one(said, "mask"),
        markup=_read_one(said, "markup"),
        connection={name: said[name] for name in CONNECTION | PROVIDER_SETTINGS if name in said},
        adjust=_adjust(said),
        max_cost_usd=_max_cost(said.get("max_cost_usd")),
        timeout_s=_timeout_s(said.get("timeout", TIMEOUT_S)),
        retries_max=_retries(said),
        fallbacks=tuple(said.get("fallbacks", ())),
        idempotency_key=read_key(said.get("idempotency_key")),
        is_mock=_mock(said),
    )


def _flat(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all arguments in one mapping: those by name, any other keyword, `extra_body`."""
    named = dict(given)
    further = named.pop("provider_params", {})
    extra_body = named.pop("extra_body", None) or {}
    model_info = further.get("model_info") or {}
    base_model = {"base_model": model_info["base_model"]} if "base_model" in model_info else {}
    return {**named, **base_model, **further, **_without_hosts(extra_body)}


def _without_hosts(extra_body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check that `extra_body` is what it says: fields of the body, no host and no credential."""
    for name in extra_body:
        if name in CONNECTION | PROVIDER_SETTINGS:
            raise BadRequestError(
                f"extra_body may not hold {name!r}; give it as an argument of its own", param=name
            )
    return extra_body


def _is_ours(name: str) -> bool:
    return (
        name in CONNECTION
        or name in PROVIDER_SETTINGS
        or name in IGNORED
        or name in OPTIONS
        or name.startswith(IGNORED_PREFIXES)
    )


def _check_plain(fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        try:
            msgspec.msgpack.encode(value)  # the journal's form; its numbers have 64 bits at most
        except (TypeError, OverflowError, msgspec.MsgspecError) as error:
            raise BadRequestError(f"{name} cannot be sent on: {error}", param=name) from error


def _read_one(said: Mapping[str, Any], name: str) -> Source | None:
    return read_input(said[name], name) if name in said else None


def _adjust(said: Mapping[str, Any]) -> AdjustPolicy | None:
    match said.get("adjust"), said.get("drop_params"):
        case (None, None):
            return None
        case ("nearest", _) | (None, True):
            return "nearest"
        case ("strict", _) | (None, False):
            return "strict"
    raise BadRequestError("adjust must be 'nearest' or 'strict'", param="adjust")


def _max_cost(value: object) -> Decimal | None:
    if value is None:
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0 or isinstance(value, bool):
        raise BadRequestError(
            f"max_cost_usd is {value!r}; give US dollars such as 0.20", param="max_cost_usd"
        )
    return amount


def _timeout_s(value: object) -> float:
    seconds = getattr(value, "read", value)  # an httpx.Timeout, as LiteLLM takes it
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
        raise BadRequestError(f"timeout is {value!r}; give seconds, more than 0", param="timeout")
    return float(seconds)


def _retries(said: Mapping[str, Any]) -> int:
    value = said.get("num_retries", said.get("max_retries", 0))
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= RETRIES_MAX:
        raise BadRequestError(
            f"num_retries is {value!r}; give 0 to {RETRIES_MAX}", param="num_retries"
        )
    return value


def _mock(said: Mapping[str, Any]) -> bool:
    mock = said.get("mock_response")
    if isinstance(mock, Exception):
        raise mock
    return bool(mock)
