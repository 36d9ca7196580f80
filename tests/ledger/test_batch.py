"""Statements as Postgres takes them; that they do what they should is seen in `test_ledger.py`."""

from imagegate.ledger import money_schema, schema
from imagegate.ledger.execute import _compiled


def test_an_insert_an_update_and_a_delete_read_a_table_of_rows():
    insert, update, delete = (
        _compiled(one, is_file=False).sql
        for one in (schema.INSERT_ASSET, schema.MARK_DELIVERED, schema.FORGET_FILE)
    )
    assert insert.startswith("INSERT INTO assets (id, ")
    assert 'SELECT given."id", ' in insert
    assert '"offset" bigint' in insert
    assert update == (
        'UPDATE calls SET delivered_at=given."at" FROM json_to_recordset($1::json)'
        ' AS given("at" double precision, "call_id" text)'
        ' WHERE calls.id = ANY (ARRAY[given."call_id"])'
    )
    assert delete.endswith(' AS given("file" text) WHERE assets.file = ANY (ARRAY[given."file"])')


def test_a_question_is_one_value_and_its_parameters_are_one_object():
    assert _compiled(money_schema.SELECT_RESERVED, is_file=False).sql == (
        "SELECT json_agg(json_build_array(c0, c1, c2)) FROM"
        " (SELECT attempts.id, attempts.estimate_e10, attempts.reserved \nFROM attempts \n"
        "WHERE attempts.reserved_until IS NOT NULL AND attempts.id = ANY"
        " (ARRAY(SELECT json_array_elements_text($1::json->'b_ids')))) AS found(c0, c1, c2)"
    )
