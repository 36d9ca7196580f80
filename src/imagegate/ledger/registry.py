"""Reads teams, keys, end users and budgets; who may see what is part of each question."""

from typing import Any

from sqlalchemy import Connection, Select, Table, select

from imagegate.ledger import people_schema as schema
from imagegate.ledger.people import (
    BudgetRecord,
    EndUserRecord,
    KeyOwner,
    KeyRecord,
    SecretRecord,
    TeamRecord,
)
from imagegate.ledger.store import SqlLedger

PAGE_ROWS_MAX = 500


class Registry:
    """The people of a ledger. `team_id` narrows to what one team may see; None sees all."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger

    async def find_key(self, prefix: str) -> KeyOwner | None:
        """Return the key that has a secret with this prefix, with its team."""

        def query(connection: Connection) -> KeyOwner | None:
            row = connection.execute(schema.SELECT_BY_PREFIX, {"b_prefix": prefix}).first()
            return None if row is None else _key_owner(dict(row._mapping))

        return await self._ledger.read(query)

    async def find_end_user(self, name: str) -> EndUserRecord | None:
        """Return what is said about an end user, None where nothing is."""
        found = await self._ledger.select(EndUserRecord, schema.SELECT_END_USER, b_id=name)
        return found[0] if found else None

    async def teams(
        self, team_id: str | None, *, only: str = "", after: str = "", limit: int = PAGE_ROWS_MAX
    ) -> tuple[TeamRecord, ...]:
        """Return teams by id from behind `after` on, or the one named by `only`."""
        statement = _page(schema.teams, only, after, limit)
        if team_id is not None:
            statement = statement.where(schema.teams.c.id == team_id)
        return await self._ledger.select(TeamRecord, statement)

    async def keys(
        self, team_id: str | None, *, only: str = "", after: str = "", limit: int = PAGE_ROWS_MAX
    ) -> tuple[KeyRecord, ...]:
        """Return keys by id from behind `after` on, or the one named by `only`."""
        statement = _page(schema.keys, only, after, limit)
        if team_id is not None:
            statement = statement.where(schema.keys.c.team_id == team_id)
        return await self._ledger.select(KeyRecord, statement)

    async def secrets_of(self, key_id: str) -> tuple[SecretRecord, ...]:
        """Return the secrets of a key, the newest first."""
        statement = (
            select(schema.secrets)
            .where(schema.secrets.c.key_id == key_id)
            .order_by(schema.secrets.c.created_at.desc(), schema.secrets.c.prefix)
        )
        return await self._ledger.select(SecretRecord, statement)

    async def end_users(
        self, *, only: str = "", after: str = "", limit: int = PAGE_ROWS_MAX
    ) -> tuple[EndUserRecord, ...]:
        """Return end users by id from behind `after` on, or the one named by `only`."""
        return await self._ledger.select(EndUserRecord, _page(schema.end_users, only, after, limit))

    async def budgets(
        self, team_id: str | None, *, only: str = "", after: str = "", limit: int = PAGE_ROWS_MAX
    ) -> tuple[BudgetRecord, ...]:
        """Return budgets by id from behind `after` on, or the one named by `only`."""
        statement = _page(schema.budgets, only, after, limit)
        if team_id is not None:
            statement = statement.where(schema.budgets.c.team_id == team_id)
        return await self._ledger.select(BudgetRecord, statement)

    async def budgets_of(self, subject: str) -> tuple[BudgetRecord, ...]:
        """Return the budgets of one subject, one for each period."""
        statement = select(schema.budgets).where(schema.budgets.c.subject == subject)
        return await self._ledger.select(BudgetRecord, statement)


def _page(table: Table, only: str, after: str, limit: int) -> Select[Any]:
    statement = select(table).order_by(table.c.id).limit(min(limit, PAGE_ROWS_MAX))
    return statement.where(table.c.id == only) if only else statement.where(table.c.id > after)


def _key_owner(row: dict[str, Any]) -> KeyOwner:
    def part(prefix: str) -> dict[str, Any]:
        return {
            name.removeprefix(prefix): value
            for name, value in row.items()
            if name.startswith(prefix)
        }

    team = part("teams_")
    return KeyOwner(
        key=KeyRecord(**part("keys_")),
        team=TeamRecord(**team) if team["id"] is not None else None,
        secret=SecretRecord(**part("secrets_")),
    )
