"""Brings a database to the schema that this version of imagegate speaks."""

from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    insert,
    inspect,
    text,
)

from imagegate.errors import ConfigError
from imagegate.ledger.schema import REVISION, VERSION_TABLE, metadata

MIGRATIONS = Path(__file__).parent / "migrations"
_VERSIONS = Table(  # as Alembic makes it
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)


def read_revision(connection: Connection) -> str | None:
    """Return the revision of the database, None where it has no tables of ours."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    query = text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 - a constant of ours
    return connection.execute(query).scalar_one_or_none()


def migrate(connection: Connection) -> None:
    """Bring the schema up to date within the transaction that `connection` is in.

    Raises ConfigError where the database was written by a version that knows more than we do.
    """
    if not inspect(connection).get_table_names():
        _create(connection)
    elif read_revision(connection) != REVISION:
        upgrade(connection)


def _create(connection: Connection) -> None:
    """Make the tables of an empty database; a test holds that the migrations make the same.

    Alembic would take 0.08 s of CPU, and 10 MB that the process never gives back.
    """
    metadata.create_all(connection, checkfirst=False)
    _VERSIONS.create(connection)
    connection.execute(insert(_VERSIONS), {"version_num": REVISION})


def upgrade(connection: Connection) -> None:
    """Run the migrations that the database lacks. Raises ConfigError as `migrate` does."""
    # Only here: importing Alembic takes longer than all else that opening a ledger does.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    try:
        command.upgrade(config, REVISION)
    except CommandError as error:
        raise ConfigError(
            f"the ledger's schema cannot be brought to revision {REVISION}: {error}. Was it "
            "written by a newer imagegate? Run that version, or restore an older copy of the "
            "database; nothing was changed."
        ) from error
