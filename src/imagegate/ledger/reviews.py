"""Reads what is looked at afterwards: held images, and what admins did; the newest first."""

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import Connection, select

from imagegate.ledger import review_schema
from imagegate.ledger.records import LAST_ID, AssetRecord, CallRecord
from imagegate.ledger.review import AuditRecord, VerdictRecord
from imagegate.ledger.schema import calls
from imagegate.ledger.store import SqlLedger


class HeldImage(Struct, frozen=True):
    """An image that a guardrail holds, its call, and what guardrails said of the call."""

    asset: AssetRecord
    call: CallRecord
    verdicts: tuple[VerdictRecord, ...]


class AuditQuestion(Struct, frozen=True, kw_only=True):
    """Which entries, from the one before `before` on; `""`: of all keys, of all targets."""

    key_id: str = ""
    target: str = ""
    before: str = ""
    limit: int


class Reviews:
    """What a ledger has for who reviews it."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger

    async def held(self, *, before: str, limit: int) -> tuple[HeldImage, ...]:
        """Return held images from the one before `before` (`""`: the newest) on."""
        statement = review_schema.SELECT_HELD
        found = await self._ledger.select(
            AssetRecord, statement, b_before=before or LAST_ID, b_limit=limit
        )
        return await self._with_calls(found)

    async def held_count(self) -> int:
        """Return how many images are held."""

        def count(connection: Connection) -> int:
            return int(connection.execute(review_schema.COUNT_HELD).scalar_one())

        return await self._ledger.read(count)

    async def held_image(self, asset_id: str) -> HeldImage | None:
        """Return one held image, None where it is not held (any more)."""
        statement = review_schema.SELECT_HELD_ONE
        found = await self._with_calls(
            await self._ledger.select(AssetRecord, statement, b_id=asset_id)
        )
        return found[0] if found else None

    async def audit(self, question: AuditQuestion) -> tuple[AuditRecord, ...]:
        """Return what admins did."""
        table = review_schema.audit
        statement = select(table).order_by(table.c.id.desc()).limit(question.limit)
        for column, wanted in (
            (table.c.key_id, question.key_id),
            (table.c.target, question.target),
        ):
            statement = statement.where(column == wanted) if wanted else statement
        if question.before:
            statement = statement.where(table.c.id < question.before)
        return await self._ledger.select(AuditRecord, statement)

    async def _with_calls(self, found: Sequence[AssetRecord]) -> tuple[HeldImage, ...]:
        ids = {asset.call_id for asset in found}
        statement = select(calls).where(calls.c.id.in_(ids))
        by_id = {one.id: one for one in await self._ledger.select(CallRecord, statement)}
        said = {name: await self._ledger.verdicts_of(name) for name in ids}
        return tuple(HeldImage(asset, by_id[asset.call_id], said[asset.call_id]) for asset in found)
