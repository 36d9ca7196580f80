"""Everything that is special to Postgres: its connections, its lock, its failures.

The driver comes with the extra `imagegate[postgres]`.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from imagegate.errors import ConfigError
from imagegate.ledger.database import Database
from imagegate.ledger.migrate import migrate, read_revision
from imagegate.ledger.round_trips import round_trips
from imagegate.ledger.schema import REVISION
from imagegate.ledger.sqlite import READERS_MAX

SCHEMES = ("postgresql", "postgres")
CONNECT_S = 2
LOCK_KEY = 0x696D6167  # "imag": one number for all gateways of one database
_SETTINGS: Mapping[str, object] = {
    "lock_timeout": 5_000,
    "statement_timeout": 30_000,
    # A process that stops in the middle of a transaction must not stop the others for ever.
    "idle_in_transaction_session_timeout": 15_000,
    # To compile a statement takes longer than any of ours.
    "jit": "off",
}
_OF_WRITER = {
    # A plan is kept from a time when the tables were empty, where to read all of them looks cheap.
    "enable_seqscan": "off",
    # It would not mark what an index has of calls that are over: that piles up until a vacuum.
    "enable_bitmapscan": "off",
}
_OF_READER = {"default_transaction_read_only": "on"}

# One writer at a time across all processes: what is read of budgets and counters stays true until
# the commit, and no two transactions can wait for each other. Groups make up for the queue.
_LOCK = f"SELECT pg_advisory_xact_lock({LOCK_KEY})"
# After the lock was got, by the one clock that all share.
_NOW = "SELECT extract(epoch FROM clock_timestamp())::double precision"


def open_database(url: URL) -> Database:
    """Return the database at `url`, whose schema is ours. Blocks.

    Raises ConfigError where it cannot be reached, or where its schema is another one.
    """
    writer = _engine(url, _OF_WRITER, poolclass=NullPool)
    try:
        with writer.connect() as connection:
            _check_revision(read_revision(connection))
    except SQLAlchemyError as error:
        raise ConfigError(_unreachable(url, error)) from error
    return Database(
        writer=writer,
        readers=_readers(url),
        enter=enter,
        read_time=_read_time,
        release=_nothing,
        is_shared=True,
    )


def upgrade(url: URL) -> tuple[str | None, str]:
    """Bring the database to our schema; return its revision before and after. Blocks.

    The whole upgrade is one transaction: where it fails nothing was changed.
    """
    # To index a large table takes as long as it takes.
    engine = _engine(url, {"statement_timeout": 0}, poolclass=NullPool)
    try:
        with engine.begin() as connection:
            enter(connection)
            before = read_revision(connection)
            migrate(connection)
    except SQLAlchemyError as error:
        raise ConfigError(_unreachable(url, error)) from error
    finally:
        engine.dispose()
    return before, REVISION


def enter(connection: Connection) -> float:
    """Wait until nobody else writes; return the database's time in unix seconds."""
    trips = round_trips(connection)
    trips.begin()
    trips.add(_LOCK)
    return float(trips.add(_NOW).value())


def _read_time(connection: Connection) -> float:
    return float(connection.exec_driver_sql(_NOW).scalar_one())


def _readers(url: URL) -> Engine:
    return _engine(
        url,
        _OF_READER,
        pool_size=READERS_MAX,
        max_overflow=0,
        pool_pre_ping=True,
        # A statement sees what is committed by then, in a transaction or not; one is two answers
        # more to wait for.
        isolation_level="AUTOCOMMIT",
    )


def _engine(url: URL, settings: Mapping[str, object], **pool: Any) -> Engine:
    arguments = {
        "connect_timeout": CONNECT_S,
        "tcp_user_timeout": 5_000,
        "application_name": "imagegate",
        "options": " ".join(
            f"-c {name}={value}" for name, value in {**_SETTINGS, **settings}.items()
        ),
    }
    try:
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args=arguments,
            **pool,
        )
    except ImportError as error:
        raise ConfigError(
            "database_url is a Postgres, whose driver is not installed: pip install "
            "'imagegate[postgres]'."
        ) from error


def _check_revision(found: str | None) -> None:
    if found == REVISION:
        return
    if found is not None and found > REVISION:
        raise ConfigError(
            f"the ledger's schema is revision {found}, which is newer than {REVISION} of this "
            "imagegate; run the newer version. Nothing was changed."
        )
    state = f"is revision {found}" if found else "is not there yet"
    raise ConfigError(
        f"the ledger's schema {state}; this imagegate needs {REVISION}. Make a backup, then run "
        "`imagegate migrate` with the same configuration. Nothing was changed."
    )


def _unreachable(url: URL, error: SQLAlchemyError) -> str:
    reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
    place = url.render_as_string(hide_password=True)
    advice = (
        "Is it running, and does database_url name the right host, user and database?"
        if isinstance(error, OperationalError)
        else "Nothing was changed."
    )
    return f"the ledger's Postgres {place} cannot be used: {reason}. {advice}"


def _nothing() -> None:
    pass
