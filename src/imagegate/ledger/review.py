"""What is looked at afterwards: verdicts of guardrails, held images, and what admins did.

Frozen values and the commands that write them; no SQL.
"""

from typing import TypeAlias

from msgspec import Struct

from imagegate.telemetry import GuardAction, GuardMode, Verdict


class VerdictRecord(Struct, frozen=True, kw_only=True):
    """What a guardrail said of a call; `number` counts from 0 within it."""

    call_id: str
    number: int
    guardrail: str
    mode: GuardMode
    action: GuardAction
    category: str

    @property
    def verdict(self) -> Verdict:
        """The verdict as callers and sinks are told it."""
        return Verdict(
            guardrail=self.guardrail, mode=self.mode, action=self.action, category=self.category
        )


class AuditRecord(Struct, frozen=True, kw_only=True):
    """One thing that an admin did: `action` is the method and the route, `target` whose id.

    `key_id` is None for the master key. `before` and `after` are JSON objects of what differs,
    without secrets: None where there was nothing before, or is nothing after. `at` is in unix
    seconds.
    """

    id: str
    at: float
    key_id: str | None
    role: str
    action: str
    target: str
    before: str | None = None
    after: str | None = None
    request_id: str


class Judge(Struct, frozen=True):
    """Verdicts that were given when nothing else of their call was left to be written."""

    verdicts: tuple[VerdictRecord, ...]


class Release(Struct, frozen=True, kw_only=True):
    """A held image may be delivered: it is `file` from now on, raw, and its attempt brought it.

    `length` is in bytes. `answer` is that of the attempt without the refusal.
    """

    asset_id: str
    attempt_id: str
    file: str
    length: int
    expires_at: float | None
    answer: str | None


class DropHeld(Struct, frozen=True):
    """A held image is to go."""

    asset_id: str


class Reconcile(Struct, frozen=True):
    """What an attempt cost whose charge was held: `cost_e10`, 0 for nothing; `at` in unix seconds.

    What became of the attempt stays as it was: only its money is known now. Raises
    `ConflictError` where its cost is known already, or it has not ended.
    """

    attempt_id: str
    cost_e10: int
    at: float


Review: TypeAlias = Release | DropHeld | Reconcile
