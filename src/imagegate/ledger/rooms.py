"""The budgets of one group: each is read once, moved by what begins and what ends, written once.

That is exact because nobody else writes meanwhile: SQLite has one writer, and on Postgres each
writer holds a lock.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Connection, Select

from imagegate import clock
from imagegate.ledger import money_schema as schema
from imagegate.ledger.budget import EVERY_END_USER, Room, like, period_at, subject
from imagegate.ledger.execute import Parameters, execute, execute_many
from imagegate.ledger.people import BudgetRecord
from imagegate.ledger.people_schema import INSERT_BUDGET

_END_USER = subject("end_user", "")


class Rooms:
    """What is left of budgets, by whom and by id."""

    def __init__(self, connection: Connection, now_s: float) -> None:
        self._connection = connection
        self._now_s = now_s
        self._by_id: dict[str, Room] = {}

    def of_subjects(self, subjects: Collection[str]) -> dict[str, list[Room]]:
        """Return the rooms of each subject that has any."""
        end_users = [name for name in subjects if name.startswith(_END_USER)]
        asked = sorted((*subjects, EVERY_END_USER) if end_users else subjects)
        found: dict[str, list[Room]] = defaultdict(list)
        templates = []
        for budget in self._read(schema.SELECT_BUDGETS_OF, {"b_subjects": asked}):
            if budget.subject == EVERY_END_USER:
                templates.append(budget)
            else:
                found[budget.subject].append(self._add(self._rolled(budget)))
        for name in end_users if templates else ():
            if name not in found:
                found[name] = self._rooms_like(templates, name)
        return found

    def load(self, ids: Collection[str]) -> None:
        """Read those of these budgets that are still there."""
        unread = sorted(set(ids).difference(self._by_id))
        if unread:
            for budget in self._read(schema.SELECT_BUDGETS, {"b_ids": unread}):
                self._add(self._rolled(budget))

    def get(self, budget_id: str) -> Room | None:
        """Return the room of a budget that was read."""
        return self._by_id.get(budget_id)

    def write(self) -> None:
        """Write what was moved."""
        moves = [room.move for room in self._by_id.values() if room.move.is_any]
        if moves:
            execute_many(self._connection, schema.MOVE_BUDGET, moves)

    def _read(self, statement: Select[Any], parameters: Parameters) -> list[BudgetRecord]:
        rows = execute(self._connection, statement, parameters)
        return sorted((BudgetRecord(*row) for row in rows), key=attrgetter("id"))

    def _add(self, budget: BudgetRecord) -> Room:
        room = self._by_id[budget.id] = Room(budget)
        return room

    def _rooms_like(self, templates: Sequence[BudgetRecord], end_user: str) -> list[Room]:
        made = [
            like(one, end_user, budget_id=clock.new_id("bud"), now_s=self._now_s)
            for one in templates
        ]
        # Before what changes or removes a template in the same group does so with those like it.
        execute_many(self._connection, INSERT_BUDGET, made)
        return [self._add(one) for one in made]

    def _rolled(self, budget: BudgetRecord) -> BudgetRecord:
        """Return the budget in its present period, begun anew in the database if need be.

        What is reserved stays so: it is spent in the period in which it is settled.
        """
        if budget.resets_at is None or self._now_s < budget.resets_at:
            return budget
        start, resets_at = period_at(budget.period, self._now_s)
        rolled = replace(budget, spent_e10=0, period_start=start, resets_at=resets_at)
        execute_many(self._connection, schema.ROLL_BUDGET, [rolled])
        return rolled
