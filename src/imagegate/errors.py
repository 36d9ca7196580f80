"""Every error that a caller can meet.

    ImageError
    |-- ConfigError                     the configuration is wrong; raised at start
    |-- BadRequestError                 the request is wrong as it stands
    |   `-- ContentPolicyViolationError   a policy refused the prompt, an input or the result
    |-- AuthenticationError             the caller's key is missing or wrong, with us
    |-- PermissionDeniedError           the caller's key may not do this, with us
    |-- NotFoundError                   nothing here has that name
    |-- BudgetExceededError             a budget of ours is used up
    |-- RequestTooLargeError            more bytes than this gateway takes
    |-- UnprocessableEntityError        an idempotency key was used again for another request
    |-- OverloadedError                 this gateway is at its limits
    |-- RateLimitError                  the upstream asks for a pause
    |-- UpstreamUnreachableError        nothing was sent: no name, no connection, no TLS
    |-- UpstreamCredentialError         the upstream refused our credential, quota or access
    |-- UpstreamModelNotFoundError      the upstream does not know the model we named
    |-- UpstreamTimeoutError            no answer in time; it may have been billed
    |-- UpstreamFailedError             a broken answer or a failure; it may have been billed
    `-- UpstreamEmptyError              a success without a usable image; it may have been billed

`fault` is all that the router looks at: `call` (the request; nobody else would take it either),
`deployment` (this deployment; another may), `moment` (nothing was bought; later or elsewhere),
`ambiguous` (an image may exist and be billed; never bought again by itself).
"""

from collections.abc import Callable
from typing import Any, ClassVar, Literal, TypeAlias

from msgspec import Struct

Fault: TypeAlias = Literal["call", "deployment", "moment", "ambiguous"]
Owner: TypeAlias = Literal["caller", "operator", "admin", "provider"]

UPSTREAM_TEXT_BYTES_MAX = 8192


class UpstreamWords(Struct, frozen=True):
    """What the upstream said, kept for the one who has to fix it; scrubbed, at most 8 KiB."""

    status: int
    text: str
    request_id: str = ""


class Finding(Struct, frozen=True, kw_only=True):
    """What a failure means: who spoke (`surface`), whose it is to fix, and what to do next.

    `owner` is caller, account, provider, operator, network, author or undecided; `who` says it in
    words. `unless` names the observation that would change the verdict, `cost` warns of a bill,
    `via` are the relays that passed it on, `evidence` lists what to keep, `source` says where the
    rule was learnt. `text` is what the upstream said, scrubbed, at most 8 KiB. `exit_code` is that
    of `imagegate explain`.
    """

    surface: str
    owner: str
    cause: str
    next: str
    do_not: str
    confidence: Literal["high", "medium", "low"]
    rule: str
    who: str = ""
    unless: str = ""
    cost: str = ""
    via: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    source: str = ""
    text: str = ""
    exit_code: int = 20

    @property
    def is_decided(self) -> bool:
        """Whether a rule knew the owner."""
        return self.owner != "undecided"

    def fields(self) -> dict[str, Any]:
        """Return the stable fields, as machines and error bodies get them."""
        names = ("surface", "owner", "cause", "next", "do_not", "confidence", "rule")
        return {name: getattr(self, name) for name in names}


class AttemptReport(Struct, frozen=True):
    """One try at one deployment, as a caller may see it. `state` is an attempt's state."""

    deployment: str
    state: str
    code: str = ""
    message: str = ""
    upstream: UpstreamWords | None = None
    provider: str = ""
    model: str = ""


class ImageError(Exception):
    """The base of all errors of imagegate.

    `message` says what happened, to what, and what to do next. `retry_after_s` is given where
    waiting helps. `cost_e10` is what the upstream says it charged all the same, in 1e-10 USD.
    `call_id` is set once a call was admitted; `attempts` once one was made.
    `verdicts` are those of guardrails, as `name:action:category`.
    """

    code: str = "error"
    http_status: int = 500
    fault: Fault = "call"
    owner: Owner = "caller"
    type: str = "invalid_request_error"
    explainer: "ClassVar[Callable[[ImageError], Finding] | None]" = None
    """What works out `finding`: the diagnosis, put here by the package, for it stands above."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        http_status: int | None = None,
        retry_after_s: float | None = None,
        upstream: UpstreamWords | None = None,
        model: str = "",
        llm_provider: str = "",
        cost_e10: int = 0,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.code
        self.http_status = http_status or self.http_status
        self.retry_after_s = retry_after_s
        self.upstream = upstream
        self.model = model
        self.llm_provider = llm_provider
        self.cost_e10 = cost_e10
        self.call_id: str | None = None
        self.verdicts: tuple[str, ...] = ()
        self.attempts: tuple[AttemptReport, ...] = ()

    @property
    def status_code(self) -> int:
        """The HTTP status that the gateway answers with (OpenAI's and LiteLLM's name)."""
        return self.http_status

    @property
    def finding(self) -> Finding | None:
        """Whose it is to fix, what to do next, and how sure that is; worked out when asked for."""
        explainer = type(self).explainer
        return explainer(self) if explainer else None

    @property
    def request_id(self) -> str | None:
        """The upstream's own request id, where one was given."""
        return self.upstream.request_id or None if self.upstream else None

    @property
    def should_retry(self) -> bool:
        """Whether sending the same request again, later, can help and cannot buy twice."""
        return self.fault == "moment"


class ConfigError(ImageError):
    """The configuration is wrong; the message lists every fault with its line and remedy."""

    code = "config_error"
    owner = "operator"


class BadRequestError(ImageError):
    """The request is wrong as it stands; `param` names the field."""

    code = "invalid_value"
    http_status = 400


class ContentPolicyViolationError(BadRequestError):
    """A policy refused the prompt, an input or the result; the same call gets the same answer."""

    code = "moderation_blocked"
    type = "image_generation_user_error"


class AuthenticationError(ImageError):
    """The caller's key is missing or wrong, with us."""

    code = "invalid_api_key"
    http_status = 401


class PermissionDeniedError(ImageError):
    """The caller's key may not do this, with us."""

    code = "not_allowed"
    http_status = 403


class NotFoundError(ImageError):
    """Nothing here has that name."""

    code = "model_not_found"
    http_status = 404


class BudgetExceededError(ImageError):
    """A budget or the caller's own price limit is used up; waiting does not help."""

    code = "insufficient_quota"
    http_status = 429
    owner = "admin"
    type = "insufficient_quota"


class RequestTooLargeError(ImageError):
    """More bytes than this gateway takes."""

    code = "request_too_large"
    http_status = 413


class UnprocessableEntityError(ImageError):
    """An idempotency key was used again for another request."""

    code = "idempotency_key_reused"
    http_status = 422


class OverloadedError(ImageError):
    """This gateway is at its own limits; try again after `retry_after_s`."""

    code = "overloaded"
    http_status = 503
    fault = "moment"
    owner = "admin"
    type = "server_error"


class RateLimitError(ImageError):
    """The upstream asks for a pause of `retry_after_s`."""

    code = "rate_limit_exceeded"
    http_status = 429
    fault = "moment"
    owner = "operator"
    type = "requests"


class UpstreamUnreachableError(ImageError):
    """Nothing was sent: no name, no connection, no TLS."""

    code = "upstream_unreachable"
    http_status = 503
    fault = "moment"
    owner = "operator"
    type = "server_error"


class UpstreamCredentialError(ImageError):
    """The upstream refused our credential, quota or access; the caller's key is fine."""

    code = "upstream_credential"
    http_status = 502
    fault = "deployment"
    owner = "operator"
    type = "server_error"


class UpstreamModelNotFoundError(ImageError):
    """The upstream does not know the model or deployment that we named."""

    code = "upstream_model_not_found"
    http_status = 502
    fault = "deployment"
    owner = "operator"
    type = "server_error"


class UpstreamTimeoutError(ImageError):
    """No answer in time; the image may have been made and billed."""

    code = "upstream_timeout"
    http_status = 504
    fault = "ambiguous"
    owner = "provider"
    type = "server_error"


class UpstreamFailedError(ImageError):
    """The upstream failed or broke off; the image may have been made and billed."""

    code = "upstream_failed"
    http_status = 502
    fault = "ambiguous"
    owner = "provider"
    type = "server_error"


class UpstreamEmptyError(ImageError):
    """A success without a usable image (`upstream_no_image`, `upstream_invalid_image`)."""

    code = "upstream_no_image"
    http_status = 502
    fault = "ambiguous"
    owner = "provider"
    type = "server_error"
