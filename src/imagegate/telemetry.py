"""Names of log events, and the closing event of a call. Stable: dashboards are built on them."""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Literal, TypeAlias

from msgspec import Struct

LOGGER = "imagegate"

SERVER_READY = "server.ready"
SERVER_LEAVING = "server.leaving"
SERVER_STOPPED = "server.stopped"
CONFIG_REFUSED = "config.refused"
CONFIG_RELOADED = "config.reloaded"
DISK_LOW = "disk.low"
DISK_ROOM = "disk.room"
LEDGER_AWAY = "ledger.away"
LEDGER_BACK = "ledger.back"
CONFIG_SKIPPED = "config.skipped"
CALL_ADMITTED = "call.admitted"
CALL_DONE = "call.done"
CALL_FAILED = "call.failed"
CALL_JOINED = "call.joined"
CALL_REFUSED = "call.refused"
CALL_RECOVERED = "call.recovered"
CALL_UNKNOWN = "call.unknown"
DEPLOYMENT_RESTS = "deployment.rests"
MODEL_RETIRED = "model.retired"
MODEL_RETIRES = "model.retires"
ASSET_REMOVED = "asset.removed"
BUCKET_FAILED = "bucket.failed"
LEDGER_CAUGHT_UP = "ledger.caught_up"
LEDGER_LOST = "ledger.lost"
TASK_CRASHED = "task.crashed"
LEDGER_NOTE_LOST = "ledger.note_lost"
LEDGER_WRITER_DIED = "ledger.writer_died"
LEDGER_WAITERS_GONE = "ledger.waiters_gone"
BUDGET_SOFT_LIMIT = "budget.soft_limit"
BUDGET_HELD = "budget.held"
ADMIN_ACTION = "admin.action"
GUARDRAIL_FAILED = "guardrail.failed"
SINK_LOST = "sink.lost"
WEBHOOK_FAILED = "webhook.failed"
WEBHOOK_LOST = "webhook.lost"

EVENT_TEXT_CHARS_MAX = 512
"""The longest text in a closing event; whoever chose it, a log line stays below 4 KB."""

OPERATION_NAMES = {
    "generate": "image_generation",
    "edit": "image_edit",
    "variation": "image_variation",
    "responses": "chat",
}
"""`gen_ai.operation.name`. No standard name exists for images yet; these are LiteLLM's."""

_SPAN_MASK = (1 << 64) - 1

Attribute: TypeAlias = str | int | float | bool
Attributes: TypeAlias = Mapping[str, Attribute]
Field: TypeAlias = Attribute | Sequence[str] | Mapping[str, float]
CallEnding: TypeAlias = Literal["done", "joined", "failed", "unknown", "refused"]
GuardMode: TypeAlias = Literal["pre_call", "during_call", "post_call", "logging_only"]
GuardAction: TypeAlias = Literal["allow", "mask", "blur", "hold", "deny", "error"]


class TraceParent(Struct, frozen=True):
    """W3C trace context: where a call's span hangs. `span_id` is "" where it is a root."""

    trace_id: str
    span_id: str = ""
    is_sampled: bool = True

    def span_id_of(self, number: int) -> str:
        """Return the id of a step: they are counted up from the call's, so none is drawn."""
        return f"{int(self.span_id, 16) + number & _SPAN_MASK:016x}"


class Verdict(Struct, frozen=True, kw_only=True):
    """What one guardrail said: never the words that it found, only what kind they are of."""

    guardrail: str
    mode: GuardMode
    action: GuardAction
    category: str = ""

    def __str__(self) -> str:
        """Return `name:action`, and `:category` where there is one, as headers have it."""
        return ":".join(part for part in (self.guardrail, self.action, self.category) if part)


class Span(Struct, frozen=True, gc=False):
    """One step of a call. Times are unix seconds; `error` is a code, "" where all went well.

    Steps are numbered from 1; `above` is the number of the step that it belongs to, 0 for the call
    itself. `TraceParent.span_id_of` makes ids of numbers.
    """

    name: str
    number: int
    above: int
    start_s: float
    end_s: float
    attributes: dict[str, Attribute] = {}
    error: str = ""


class CallEvent(Struct, frozen=True, kw_only=True):
    """How a call went, once, when its work is over: what every sink receives.

    A request that joined a call (`joined`) has an event of its own under the call's id, of which
    images and cost are none: they stand in the call's.

    It holds no image, no credential and no prompt unless the operator wants prompts; texts that
    callers or upstreams chose are redacted and cut. `cost_e10` is in 1e-10 USD, None where it is
    unknown. `phases_s` are seconds by the name of the phase. `bytes` are those of the images.
    """

    name: str
    ending: CallEnding
    call_id: str
    operation: str = ""
    model: str = ""
    deployment: str = ""
    provider: str = ""
    upstream_model: str = ""
    key_id: str = ""
    team_id: str = ""
    end_user: str = ""
    tags: tuple[str, ...] = ()
    code: str = ""
    fault: str = ""
    status: int = 200
    param: str = ""
    reason: str = ""
    attempts: int = 0
    adjustments: tuple[str, ...] = ()
    warnings: int = 0
    images_asked: int = 0
    images: int = 0
    bytes: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_e10: int | None = None
    started_s: float
    duration_s: float
    first_partial_s: float | None = None
    phases_s: Mapping[str, float] = {}
    verdicts: tuple[Verdict, ...] = ()
    prompt: str | None = None
    trace: TraceParent
    parent_span_id: str = ""
    spans: tuple[Span, ...] = ()

    @property
    def is_success(self) -> bool:
        """Whether images were delivered: what LiteLLM's `success_callback` is for."""
        return self.ending == "done" or (self.ending == "joined" and not self.code)

    @property
    def ended_s(self) -> float:
        """When the work was over, in unix seconds."""
        return self.started_s + self.duration_s

    def fields(self, **first: Attribute) -> dict[str, Field]:
        """Return what machines read, as plain JSON, without what is empty; `first` comes first."""
        told: dict[str, Field] = {**first}
        told |= {name: value for name, value in zip(_TEXTS, _texts_of(self), strict=True) if value}
        told.update(zip(_COUNTS, _counts_of(self), strict=True))
        if self.cost_e10 is None:
            told["cost_usd"] = "unknown"
        else:
            told["cost_e10"], told["cost_usd"] = self.cost_e10, self.cost_e10 / 10**10
        told["duration_s"] = round(self.duration_s, 6)
        # `round` takes several times as long.
        told["phases_s"] = {name: int(s * 1e6 + 0.5) / 1e6 for name, s in self.phases_s.items()}
        if self.first_partial_s is not None:
            told["first_partial_s"] = round(self.first_partial_s, 6)
        if self.verdicts:
            told["guardrails"] = [str(verdict) for verdict in self.verdicts]
        told["trace_id"] = self.trace.trace_id
        return told


_TEXTS = tuple(
    """
    call_id ending operation model deployment provider upstream_model key_id team_id end_user tags
    code fault param reason adjustments prompt
    """.split()  # noqa: SIM905 - one word a name reads better than one line a name
)
_COUNTS = tuple(
    "status attempts warnings images_asked images bytes input_tokens output_tokens".split()  # noqa: SIM905
)
_texts_of, _counts_of = attrgetter(*_TEXTS), attrgetter(*_COUNTS)
