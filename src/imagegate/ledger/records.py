"""The rows of the ledger and the commands that write them: frozen values, no SQL.

Money lives on attempts, never on calls: integers of 1e-10 USD whose names end in `_e10`, None
where nobody knows yet. Times are unix seconds. Texts named as JSON are written and read by the
pipeline; the ledger only keeps them.
"""

from collections.abc import Iterable
from typing import Literal, TypeAlias

from msgspec import Struct

from imagegate.errors import UPSTREAM_TEXT_BYTES_MAX
from imagegate.ledger.review import Judge, VerdictRecord
from imagegate.types import Operation

CallState: TypeAlias = Literal["running", "done", "failed", "unknown"]
AttemptState: TypeAlias = Literal[
    "dispatched", "answered", "settled", "unsent", "refused", "unknown"
]

OPEN_ATTEMPT_STATES: frozenset[AttemptState] = frozenset(("dispatched", "answered"))
# A late answer or an operator settles what was unknown; every other end is final.
ENDABLE_ATTEMPT_STATES: frozenset[AttemptState] = OPEN_ATTEMPT_STATES | {"unknown"}
ENDABLE_CALL_STATES: frozenset[CallState] = frozenset(("running", "unknown"))

LAST_ID = "~"
"""Sorts behind every id."""

READ_ROWS_MAX = 1000
"""The most rows that one read returns where the caller names no other limit."""


class LedgerError(Exception):
    """A command was not written, not even in part; the message says why."""


class ConflictError(LedgerError):
    """The command does not fit the rows: an id is taken, missing, or has ended already."""


class LedgerUnavailableError(LedgerError):
    """The database took nothing from anyone: locked, full, broken or closed."""


class BudgetDeniedError(LedgerError):
    """A budget has no room for the call. `subject` is whose it is, as in `team:team_01`."""

    def __init__(self, subject: str, message: str) -> None:
        super().__init__(message)
        self.subject = subject


class BlockedError(LedgerError):
    """An end user is blocked."""


class RateDeniedError(LedgerError):
    """A key or team is at one of its limits; there is room again after `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CallRecord(Struct, frozen=True, kw_only=True):
    """What a caller asked for. `model` is the model group, `owner` the process at work on it.

    `adjustments` and `tags` are JSON lists. `key_id` is None where no virtual key was used, and
    `team_id` where the key has no team. `prompt` is what the team chose to keep: nothing, a hash
    or the text. What the call cost is `cost_e10_of` its attempts.
    """

    id: str
    operation: Operation
    model: str
    state: CallState = "running"
    fingerprint: str | None = None
    idempotency_key: str | None = None
    key_id: str | None = None
    end_user: str = ""
    created_at: float
    finished_at: float | None = None
    delivered_at: float | None = None
    adjustments: str = "[]"
    error_code: str = ""
    owner: str
    team_id: str | None = None
    tags: str = "[]"
    prompt: str = ""


class AttemptRecord(Struct, frozen=True, kw_only=True):
    """One try at one deployment; `number` counts from 1 within its call.

    `price` is the JSON snapshot of the price at admission, which is also that of settlement.
    `estimate_e10` is the dearest that is reserved for it, None where nobody can say; then no
    budget lets it pass. `usage` is the upstream's JSON, `answer` that of `answers.py`.

    `reserved` is what budgets its estimate counts against, a JSON object of their ids and of the
    start of the period; the ledger writes it. It is safe until `reserved_until` without a sign of
    life of its owner; None where it is held, which counts as spent.
    """

    id: str
    call_id: str
    number: int
    deployment_id: str
    provider: str
    upstream_model: str
    state: AttemptState = "dispatched"
    dispatched_at: float
    ended_at: float | None = None
    price: str = "{}"
    estimate_e10: int | None = None
    cost_e10: int | None = None
    usage: str | None = None
    error_code: str = ""
    error_text: str = ""
    upstream_request_id: str = ""
    upstream_status: int | None = None
    owner: str
    answer: str | None = None
    reserved: str | None = None
    reserved_until: float | None = None


class AssetRecord(Struct, frozen=True, kw_only=True):
    """An image that is kept: a range of `file`, a relative name that several assets may share.

    `index` counts from 0 within its attempt. `expires_at` is None where it is kept for good.
    `object` is its key in the bucket once it is there, raw, with its `sha256` in hex; then the
    file may be gone.
    """

    id: str
    call_id: str
    attempt_id: str
    index: int
    file: str
    offset: int
    length: int
    encoding: Literal["raw", "base64"]
    escaped: bool = False
    media_type: str
    width_px: int = 0
    height_px: int = 0
    created_at: float
    expires_at: float | None = None
    object: str = ""
    sha256: str = ""


class AttemptEnd(Struct, frozen=True, kw_only=True):
    """How an attempt ended. `error_text` is cut to 8 KiB when it is written."""

    id: str
    state: Literal["settled", "unsent", "refused", "unknown"]
    ended_at: float
    cost_e10: int | None = None
    usage: str | None = None
    error_code: str = ""
    error_text: str = ""
    upstream_request_id: str = ""
    upstream_status: int | None = None
    answer: str | None = None


class CallEnd(Struct, frozen=True, kw_only=True):
    """How a call ended; `state` is `state_of` its attempts as this command leaves them."""

    id: str
    state: Literal["done", "failed", "unknown"]
    finished_at: float
    adjustments: str = "[]"
    error_code: str = ""


class Limit(Struct, frozen=True):
    """What a key or team (`subject`) may do; None: no limit. Counted when a call is admitted."""

    subject: str
    requests_per_minute: int | None = None
    images_per_minute: int | None = None
    calls_in_flight: int | None = None


class Admit(Struct, frozen=True):
    """Commit 1: a call and its first attempt, before anything is sent.

    `parts` are further attempts that are made at the same time, each for some of the images.
    Raises `BudgetDeniedError` or `RateDeniedError` where the call is one too many; `images` is
    what it counts for by `limits`.
    """

    call: CallRecord
    attempt: AttemptRecord
    parts: tuple[AttemptRecord, ...] = ()
    limits: tuple[Limit, ...] = ()
    images: int = 1
    verdicts: tuple[VerdictRecord, ...] = ()


class Redispatch(Struct, frozen=True):
    """A further attempt of an admitted call; `ended` is the attempt that it replaces.

    `parts` are further attempts that are made at the same time, each for some of its images.
    """

    attempt: AttemptRecord
    ended: AttemptEnd | None = None
    parts: tuple[AttemptRecord, ...] = ()


class Settle(Struct, frozen=True):
    """Commit 2: an attempt brought images. `call` is None while other parts are under way."""

    attempt: AttemptEnd
    assets: tuple[AssetRecord, ...] = ()
    call: CallEnd | None = None
    verdicts: tuple[VerdictRecord, ...] = ()


class Fail(Struct, frozen=True):
    """An attempt ended without an image. `call` is None where the call goes on."""

    attempt: AttemptEnd
    call: CallEnd | None = None
    verdicts: tuple[VerdictRecord, ...] = ()


class CloseCall(Struct, frozen=True):
    """A call ended whose attempts had all ended before: its process died between two attempts."""

    call: CallEnd


class Keep(Struct, frozen=True):
    """Images of a settled attempt that were to go, and stay because their caller left."""

    assets: tuple[AssetRecord, ...]


class Delivered(Struct, frozen=True):
    """The caller read the whole answer."""

    call_id: str
    at: float


class FreeKey(Struct, frozen=True):
    """The idempotency key of a call that failed before anything was bought may be used again."""

    call_id: str


class ForgetFile(Struct, frozen=True):
    """Every asset in `file` is gone or about to go; no such asset is no error."""

    file: str


class KeepAlive(Struct, frozen=True):
    """A sign of life of a process: nobody else holds its reservations for a while."""

    owner: str


class HoldOrphans(Struct, frozen=True):
    """Reservations of processes that are gone turn into held charges; at most `limit` attempts."""

    limit: int = READ_ROWS_MAX


class Stored(Struct, frozen=True):
    """An image is in the bucket as `object`. Raises `ConflictError` where it left `file`."""

    asset_id: str
    file: str
    object: str
    sha256: str


Upkeep: TypeAlias = KeepAlive | HoldOrphans | Stored

Command: TypeAlias = (
    Admit | Redispatch | Settle | Fail | CloseCall | Keep | Delivered | FreeKey | ForgetFile | Judge
)


def state_of(attempts: Iterable[AttemptState]) -> CallState:
    """Return the state of a call with attempts in these states, once no further one will start."""
    states = frozenset(attempts)
    if states & OPEN_ATTEMPT_STATES:
        return "running"
    if "settled" in states:
        return "done"
    return "unknown" if "unknown" in states else "failed"


def is_free(state: AttemptState, cost_e10: int | None) -> bool:
    """Return whether an attempt that ended so cost nothing, for certain.

    A refusal mostly does; some providers charge for theirs, and say so.
    """
    return state in ("unsent", "refused") and not cost_e10


def cost_e10_of(attempts: Iterable[AttemptRecord]) -> int | None:
    """Return what a call with these attempts cost, None while one may yet be charged unknown."""
    charged = [one.cost_e10 for one in attempts if not is_free(one.state, one.cost_e10)]
    return None if None in charged else sum(cost for cost in charged if cost is not None)


def storable(text: str, bytes_max: int = UPSTREAM_TEXT_BYTES_MAX) -> str:
    """Return `text` as every database takes it: valid UTF-8, no NUL, at most `bytes_max` bytes.

    Others chose these words; an odd character in them must never cost us the row.
    """
    if len(text) <= bytes_max and text.isascii() and "\0" not in text:
        return text
    clean = text.replace("\0", "").encode("utf-8", "replace")
    return clean[:bytes_max].decode("utf-8", "ignore")
