"""What every call was, what it cost, who asked for it, and who may ask.

`records` holds the rows of calls and the commands that write them, `people` those of teams, keys,
end users and budgets, `review` those of verdicts, held images and the audit log. `store` keeps
them in a database (behind it `writer`, `group`, `reserve`, `rate`, `book`, the schemas, `sqlite`,
`postgres`, `migrate`, `migrations/`), `memory` only while a call runs. `registry` and `reports`
read, `keyring` finds whose a key is, `permissions` and `budget` are pure. SQLAlchemy is imported by
`store` and what stands behind it, Alembic by a schema that is behind; this module imports neither.
"""

from collections.abc import Collection
from typing import Protocol

from imagegate.ledger.records import (
    LAST_ID,
    READ_ROWS_MAX,
    AssetRecord,
    AttemptRecord,
    CallRecord,
    CallState,
    Command,
)
from imagegate.ledger.review import VerdictRecord


class Ledger(Protocol):
    """Where commands are written and rows are read; belongs to the event loop that uses it."""

    async def commit(self, command: Command) -> None:
        """Write `command` and return when it is durable; raises `LedgerError`, then nothing is.

        Cancelling the waiter does not take the command back.
        """

    def note(self, command: Command) -> None:
        """Write `command` with a later group, at close at the latest; nobody waits for it."""

    async def get_call(self, call_id: str) -> CallRecord | None:
        """Return the call, None where there is none."""

    async def call_by_key(self, scoped_key: str) -> CallRecord | None:
        """Return the call of an idempotency key, None where there is none."""

    async def like_call(self, fingerprint: str, *, since_s: float) -> CallRecord | None:
        """Return the newest call that asked for the same and has not failed, None for none."""

    async def undelivered_calls(
        self, *, since_s: float, after: str = "", limit: int = READ_ROWS_MAX
    ) -> tuple[CallRecord, ...]:
        """Return calls made since then that nobody has read and that have not failed, by id."""

    async def newest_calls(
        self, *, states: Collection[CallState], before: str = LAST_ID, limit: int = READ_ROWS_MAX
    ) -> tuple[CallRecord, ...]:
        """Return calls in one of `states`, the newest first, from the one before `before` on."""

    async def attempts_of(self, call_id: str) -> tuple[AttemptRecord, ...]:
        """Return the attempts of a call, by number."""

    async def assets_of(self, call_id: str) -> tuple[AssetRecord, ...]:
        """Return the images of a call that are still kept, by attempt and index."""

    async def verdicts_of(self, call_id: str, /) -> tuple[VerdictRecord, ...]:
        """Return what guardrails said of a call, in the order in which they did."""

    async def get_asset(self, asset_id: str) -> AssetRecord | None:
        """Return the image with this id, None where it is not kept."""

    async def open_calls(
        self, *, not_owner: str, after: str = "", limit: int = READ_ROWS_MAX
    ) -> tuple[CallRecord, ...]:
        """Return running calls of other owners, by id, from the one behind `after` on."""

    async def open_attempts(
        self, *, not_owner: str, after: str = "", limit: int = READ_ROWS_MAX
    ) -> tuple[AttemptRecord, ...]:
        """Return attempts of other owners that have not ended, by id, from behind `after` on."""

    async def expired_assets(
        self, now_s: float, *, limit: int = READ_ROWS_MAX
    ) -> tuple[AssetRecord, ...]:
        """Return assets whose time was up at `now_s`, the longest expired first."""

    async def oldest_assets(
        self, *, after: str = "", limit: int = READ_ROWS_MAX
    ) -> tuple[AssetRecord, ...]:
        """Return the assets in the folder that were kept first, from behind `after` on."""

    async def asset_bytes(self) -> int:
        """Return how many bytes the assets in the folder have together, as they are stored."""

    async def aclose(self) -> None:
        """Write what was noted and let go of everything."""
