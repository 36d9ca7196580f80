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
        'UPDATE calls SET delivered_at=given."b_at" FROM json_to_recordset(%(rows)s::json)'
        ' AS given("b_at" double precision, "b_id" text) WHERE calls.id = given."b_id"'
    )
    assert delete.endswith(' AS given("b_file" text) WHERE assets.file = given."b_file"')


@pytest.mark.parametrize(
    "statement",
    [
        *schema.WRITES,
        money_schema.INSERT_ENTRY,
        money_schema.INSERT_RESERVATION,
        money_schema.HOLD_RESERVATION,
        money_schema.DELETE_RESERVATION,
        money_schema.MOVE_BUDGET,
        money_schema.ADD_TO_DAY,
        money_schema.PUT_RATE,
    ],
)
def test_what_each_call_writes_has_such_a_form(statement):
    assert _compiled(statement, is_file=False).of_many


def test_a_parameter_of_no_known_type_has_none():
    assert in_one("DELETE FROM x WHERE x.id = %(a)s", {"a": NullType()}) is None
