"""Who may ask, and for how much: teams, virtual keys, end users, budgets; and what changes them.

Rows are frozen values, changed as a whole. Money is in 1e-10 USD, times are unix seconds.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

from imagegate.ledger.records import Command, Limit, Upkeep
from imagegate.ledger.review import AuditRecord, Review
from imagegate.ledger.webhooks import WebhookCommand
from imagegate.types import Operation

Role: TypeAlias = Literal["caller", "team_admin", "admin"]
PromptStorage: TypeAlias = Literal["none", "hash", "text"]
Period: TypeAlias = Literal["none", "day", "week", "month"]
SubjectKind: TypeAlias = Literal["key", "team", "end_user", "model", "provider", "every_end_user"]


class Permissions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a key or a team may ask for. An empty list or None: no limit.

    `models` are model groups, `n_max` images a call, `size_px_max` pixels of one image.
    """

    models: tuple[str, ...] = ()
    operations: tuple[Operation, ...] = ()
    n_max: int | None = None
    size_px_max: int | None = None
    quality_max: str | None = None
    requests_per_minute: int | None = None
    images_per_minute: int | None = None
    calls_in_flight: int | None = None


class TeamRecord(Struct, frozen=True, kw_only=True):
    """People who share budgets and limits. `permissions` is JSON; blocked: nobody may call."""

    id: str
    name: str
    is_blocked: bool = False
    prompt_storage: PromptStorage = "none"
    permissions: str = "{}"
    created_at: float


class KeyRecord(Struct, frozen=True, kw_only=True):
    """A virtual key, without its secret. `tags` (a JSON list) are put on each of its calls."""

    id: str
    name: str
    team_id: str | None = None
    role: Role = "caller"
    permissions: str = "{}"
    tags: str = "[]"
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None


class SecretRecord(Struct, frozen=True, kw_only=True):
    """One secret of a key: what is looked up, and the SHA-256 of the whole, in hex.

    A key has two while it is rotated; `expires_at` ends the older one.
    """

    prefix: str
    key_id: str
    sha256: str
    created_at: float
    expires_at: float | None = None


class EndUserRecord(Struct, frozen=True, kw_only=True):
    """A person behind a caller that something is to be said about, by the caller's own id."""

    id: str
    is_blocked: bool = False
    note: str = ""
    created_at: float


class BudgetRecord(Struct, frozen=True):
    """A limit on spend. `subject` is a kind and an id, as in `team:team_01` or `model:fast`.

    `spent_e10` counts the period that began at `period_start`, held charges included;
    `reserved_e10` is set aside for calls under way. `soft_e10` only sends an event. `team_id` is
    the team that may see it. That of `every_end_user` counts nothing: an end user without a budget
    gets one like it, which names it as `template_id`, with the first call.
    """

    id: str
    subject: str
    name: str
    limit_e10: int
    period_start: float
    created_at: float
    team_id: str | None = None
    soft_e10: int | None = None
    period: Period = "none"
    resets_at: float | None = None
    spent_e10: int = 0
    reserved_e10: int = 0
    template_id: str | None = None


class KeyOwner(Struct, frozen=True):
    """A key as it is found by one of its secrets, with its team."""

    key: KeyRecord
    team: TeamRecord | None
    secret: SecretRecord


class Account(Struct, frozen=True, kw_only=True):
    """Who calls, and what holds for them. Without a key it is the operator, whom nothing limits.

    `permissions` are those of the key and its team, each with the name that a refusal tells.
    """

    role: Role = "admin"
    key_id: str | None = None
    team_id: str | None = None
    tags: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    permissions: tuple[tuple[str, Permissions], ...] = ()
    prompt_storage: PromptStorage = "none"


OPERATOR = Account()
"""The holder of the master key, and a program on the host of a gateway without one."""


class AddTeam(Struct, frozen=True):
    """A new team; its name is not taken."""

    team: TeamRecord


class ChangeTeam(Struct, frozen=True):
    """What a team is from now on; it exists."""

    team: TeamRecord


class AddKey(Struct, frozen=True):
    """A new key with its first secret."""

    key: KeyRecord
    secret: SecretRecord


class ChangeKey(Struct, frozen=True):
    """What a key is from now on; it exists."""

    key: KeyRecord


class RotateKey(Struct, frozen=True):
    """A further secret of a key; its others end at `others_end_at` at the latest."""

    secret: SecretRecord
    others_end_at: float


class PutEndUser(Struct, frozen=True):
    """What is said about an end user from now on."""

    end_user: EndUserRecord


class AddBudget(Struct, frozen=True):
    """A new budget; a subject has at most one for each period."""

    budget: BudgetRecord


class ChangeBudget(Struct, frozen=True):
    """New limits of a budget. What is spent and reserved stays."""

    id: str
    name: str
    limit_e10: int
    soft_e10: int | None


class RemoveBudget(Struct, frozen=True):
    """A budget that counts no more."""

    id: str


Change: TypeAlias = (
    AddTeam
    | ChangeTeam
    | AddKey
    | ChangeKey
    | RotateKey
    | PutEndUser
    | AddBudget
    | ChangeBudget
    | RemoveBudget
)


class Audited(Struct, frozen=True):
    """What an admin did, with the record of it: both are written, or neither.

    `command` is None where something was looked at and nothing changed.
    """

    command: Command | Change | Review | None
    record: AuditRecord


AnyCommand: TypeAlias = Command | Change | Upkeep | Audited | WebhookCommand
