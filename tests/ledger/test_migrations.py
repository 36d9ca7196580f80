"""The schema: made once, and the same by the migrations as from the tables that we write to."""

import asyncio
import contextlib
import re
import sqlite3
import subprocess
import sys

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, make_url, text

from imagegate.errors import ConfigError
from imagegate.ledger import migrate, review_schema, schema
from imagegate.ledger.records import AssetRecord, AttemptEnd, AttemptRecord, CallRecord, Settle
from imagegate.ledger.review import AuditRecord, VerdictRecord
from imagegate.ledger.store import open_ledger, upgrade
from imagegate.running import AttachTerms


@pytest.fixture
def file(tmp_path):
    return tmp_path / "100%.db"


def rows(file, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


def words(found: list[tuple[object, ...]]) -> list[list[list[str]]]:
    """Return rows as the words in them: a column that was added stands behind the others."""
    return sorted(
        [sorted(re.findall(r"\w+|[^\w\s]", str(value))) for value in row] for row in found
    )


def execute(file, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute(statement)


def test_migrations_make_the_tables_that_we_write_to(file):
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        migrate.upgrade(connection)
        context = MigrationContext.configure(
            connection, opts={"version_table": "imagegate_version"}
        )
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


def test_a_new_ledger_has_what_the_migrations_make(file, tmp_path):
    open_ledger(f"sqlite:///{file}").close()
    migrated = tmp_path / "migrated.db"
    engine = create_engine(f"sqlite:///{migrated}")
    with engine.begin() as connection:
        migrate.upgrade(connection)
    engine.dispose()
    tables = "SELECT name, sql FROM sqlite_master WHERE name <> 'sqlite_stat1'"
    for query in (tables, "SELECT * FROM imagegate_version"):
        assert words(rows(file, query)) == words(rows(migrated, query))


def test_opening_again_changes_nothing(file):
    open_ledger(f"sqlite:///{file}").close()
    before = rows(file, "SELECT * FROM sqlite_master")
    open_ledger(f"sqlite:///{file}").close()
    assert rows(file, "SELECT * FROM sqlite_master") == before
    assert rows(file, "SELECT version_num FROM imagegate_version") == [(schema.REVISION,)]


def test_the_revision_is_the_newest_migration():
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.REVISION


def test_columns_are_the_fields_of_the_records():
    for table, record in (
        (schema.calls, CallRecord),
        (schema.attempts, AttemptRecord),
        (schema.assets, AssetRecord),
        (review_schema.verdicts, VerdictRecord),
        (review_schema.audit, AuditRecord),
    ):
        assert tuple(table.columns.keys()) == record.__struct_fields__


def test_a_newer_database_is_refused_and_left_as_it_is(file):
    open_ledger(f"sqlite:///{file}").close()
    execute(file, "UPDATE imagegate_version SET version_num = '9999'")
    with pytest.raises(ConfigError, match="newer imagegate"):
        open_ledger(f"sqlite:///{file}")
    assert rows(file, "SELECT version_num FROM imagegate_version") == [("9999",)]


def test_a_migration_that_fails_half_way_leaves_nothing_behind(file):
    execute(file, "CREATE TABLE assets (mine TEXT)")
    with pytest.raises(ConfigError, match="already exists"):
        open_ledger(f"sqlite:///{file}")
    assert rows(file, "SELECT name FROM sqlite_master") == [("assets",)]


def test_an_upgrade_of_postgres_that_fails_half_way_leaves_nothing_behind(postgres_server):
    url = make_url(postgres_server.new_url(is_migrated=False))
    engine = create_engine(url.set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE attempts (mine TEXT)"))
    with pytest.raises(ConfigError, match="already exists"):
        upgrade(url.render_as_string(hide_password=False))
    assert inspect(engine).get_table_names() == ["attempts"]
    engine.dispose()


LOADED = """
import sys
import imagegate.ledger, imagegate.ledger.memory
assert "sqlalchemy" not in sys.modules
from imagegate.ledger.store import open_ledger, upgrade
open_ledger(sys.argv[1]).close()
print("alembic" in sys.modules)
"""


def test_neither_a_new_nor_a_current_ledger_needs_alembic(file):
    command = [sys.executable, "-c", LOADED, f"sqlite:///{file}"]
    told = [subprocess.run(command, capture_output=True, check=True).stdout for _ in range(2)]
    assert told == [b"False\n", b"False\n"]


def made_before(file, revision: str, *statements: str) -> None:
    """Make a ledger of an older version and write to it."""
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


CALL = (
    "INSERT INTO calls (id, operation, model, state, idempotency_key, end_user, created_at,"
    " adjustments, error_code, owner) VALUES ('call_a', 'generate', 'img', 'running',"
    " 'key:key_1/one', '', 1.0, '[]', '', 'own_1')"
)
ATTEMPT = (
    "INSERT INTO attempts (id, call_id, number, deployment_id, provider, upstream_model, state,"
    " dispatched_at, price, estimate_e10, error_code, error_text, upstream_request_id, owner)"
    " VALUES ('{id}', 'call_a', {number}, 'dep', 'openai', 'img', '{state}', 1.0, '{{}}', 7, '',"
    " '', '', 'own_1')"
)
BUDGET = (
    "INSERT INTO budgets (id, subject, name, limit_e10, period, period_start, spent_e10,"
    " reserved_e10, created_at) VALUES ('bud_a', 'model:img', '', 100, 'none', 0.0, 7, 7, 0.0)"
)
RESERVATION = "INSERT INTO reservations VALUES ('{id}', 'bud_a', 7, {is_held}, 0.5, 'own_1', 60.0)"


def test_idempotency_keys_of_before_become_hashes(file):
    """A caller may have put anything into that header; its call is found by it all the same."""
    made_before(file, "0003", CALL)
    open_ledger(f"sqlite:///{file}").close()
    terms = AttachTerms("{}", holder="key:key_1", key="one")
    assert rows(file, "SELECT idempotency_key FROM calls") == [(terms.scoped_key,)]


def test_what_was_set_aside_before_is_settled_all_the_same(file):
    made_before(
        file,
        "0007",
        CALL,
        BUDGET,
        ATTEMPT.format(id="att_open", number=1, state="dispatched"),
        RESERVATION.format(id="att_open", is_held=False),
        ATTEMPT.format(id="att_held", number=2, state="unknown"),
        RESERVATION.format(id="att_held", is_held=True),
    )
    ledger = open_ledger(f"sqlite:///{file}")
    reserved = "SELECT id, reserved, reserved_until FROM attempts ORDER BY id DESC"
    starts = '{"bud_a": 0.5}'
    assert rows(file, reserved) == [("att_open", starts, 60.0), ("att_held", starts, None)]
    end = AttemptEnd(id="att_open", state="settled", ended_at=2.0, cost_e10=5)
    asyncio.run(ledger.commit(Settle(end)))
    assert rows(file, "SELECT spent_e10, reserved_e10 FROM budgets") == [(12, 0)]
    ledger.close()


NOTE_LIMIT = (
    "CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
    " INSERT INTO limits VALUES (current_setting('statement_timeout')); END $$"
)


def test_an_upgrade_of_large_tables_takes_its_time(postgres_server):
    url = postgres_server.new_url(is_migrated=False)
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        for statement in (
            "CREATE TABLE limits (of_upgrade text)",
            NOTE_LIMIT,
            "CREATE EVENT TRIGGER note ON ddl_command_end EXECUTE FUNCTION note()",
        ):
            connection.exec_driver_sql(statement)
    upgrade(url)
    with engine.begin() as connection:
        found = connection.exec_driver_sql("SELECT DISTINCT of_upgrade FROM limits").all()
    engine.dispose()
    assert found == [("0",)]
