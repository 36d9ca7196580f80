"""One statement for many rows; that it does what it should is seen in `test_ledger.py`."""

import pytest
from sqlalchemy.types import NullType

from imagegate.ledger import money_schema, schema
from imagegate.ledger.batch import in_one
from imagegate.ledger.execute import _compiled


def test_an_insert_an_update_and_a_delete_read_a_table_of_rows():
    insert, update, delete = (
        _compiled(one, is_file=False).of_many
        for one in (schema.INSERT_ASSET, schema.MARK_DELIVERED, schema.FORGET_FILE)
    )
    assert insert.startswith("INSERT INTO assets (id, ")
    assert 'SELECT given."id", ' in insert
    assert '"offset" bigint' in insert
    assert update == (
        'UPDATE calls SET delivered_at=given."at" FROM json_to_recordset(%(rows)s::json)'
        ' AS given("at" double precision, "call_id" text) WHERE calls.id = given."call_id"'
    )
    assert delete.endswith(' AS given("file" text) WHERE assets.file = given."file"')


@pytest.mark.parametrize(
    "statement",
    [
        *schema.BEGINNINGS,
        *schema.ENDINGS,
        money_schema.INSERT_ENTRY,
        money_schema.HOLD_RESERVED,
        money_schema.MOVE_BUDGET,
        money_schema.ADD_TO_DAY,
        money_schema.PUT_RATE,
    ],
)
def test_what_each_call_writes_has_such_a_form(statement):
    assert _compiled(statement, is_file=False).of_many


def test_a_parameter_of_no_known_type_has_none():
    assert in_one("DELETE FROM x WHERE x.id = %(a)s", {"a": NullType()}) is None
