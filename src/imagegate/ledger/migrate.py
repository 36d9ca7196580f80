"""Brings a database to the schema that this version of imagegate speaks."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from imagegate.errors import ConfigError
from imagegate.ledger.schema import REVISION, VERSION_TABLE

MIGRATIONS = Path(__file__).parent / "migrations"


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
    if read_revision(connection) != REVISION:
        _upgrade(connection)


def _upgrade(connection: Connection) -> None:
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
