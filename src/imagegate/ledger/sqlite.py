"""Everything that is special to SQLite: its file, its lock, its connections, its failures."""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, TypeAlias

from sqlalchemy import URL, Connection, Engine, NullPool, QueuePool, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from imagegate import clock
from imagegate.errors import ConfigError
from imagegate.ledger.database import Database, told
from imagegate.ledger.migrate import migrate, read_revision

Durability: TypeAlias = Literal["process", "power"]

READERS_MAX = 4
TIDY_EVERY = 256
CHECKPOINT_PAGES = 1000
_SYNCHRONOUS: dict[Durability, str] = {"process": "NORMAL", "power": "FULL"}
_MAGIC = b"SQLite format 3\0"


class FileLock:
    """Holds a SQLite file for this process until `release`; the kernel lets go if it dies."""

    def __init__(self, database: Path) -> None:
        path = database.with_name(f"{database.name}.lock")
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(_unwritable(path, error)) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise ConfigError(
                f"the ledger {database} is in use by another gateway (process {holder}); a SQLite "
                "file serves one gateway process. Stop that one, or give this one a file of its "
                "own with database_url."
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next process have the file; the lock file stays, empty."""
        os.ftruncate(self._fd, 0)
        os.close(self._fd)


def prepare_file(url: URL) -> Path:
    """Return the database's real path, its folder and file made where missing.

    Raises ConfigError where there is no file, or where it cannot be written or is none of SQLite's.
    """
    if not url.database or url.database == ":memory:" or url.query:
        raise ConfigError(
            f"database_url {url.render_as_string()} names no plain file; a ledger in memory would "
            "forget what was paid for. Use sqlite:///path/to/imagegate.db."
        )
    path = Path(os.path.realpath(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # end users' names are in it
        with path.open("r+b") as file:
            head = file.read(len(_MAGIC))
    except OSError as error:
        raise ConfigError(_unwritable(path, error)) from error
    if head and head != _MAGIC:
        raise ConfigError(damaged(path, "it does not begin as one"))
    return path


def open_database(
    path: Path, lock: FileLock, durability: Durability, busy_timeout_s: float
) -> Database:
    """Return the database in a file that we hold, made or brought up to date. Blocks.

    Raises ConfigError, and has changed nothing, where that is not possible.
    """
    writer = open_writer(path, durability=durability, busy_timeout_s=busy_timeout_s)
    readers = open_readers(path, busy_timeout_s=busy_timeout_s)
    try:
        with writer.begin() as connection:
            migrate(connection)
            learn_sizes(connection)
    except OperationalError as error:
        raise ConfigError(
            f"the ledger {path} cannot be used now: {error.orig}. Close the program that holds "
            "it, or free space, and start again; nothing was changed."
        ) from error
    except DatabaseError as error:
        raise ConfigError(damaged(path, str(error.orig))) from error
    return Database(
        writer=writer,
        readers=readers,
        enter=_time_s,
        read_time=_time_s,
        release=lock.release,
        is_shared=False,
        # A commit that survives a power cut waits for the disk.
        at_once=AtOnce(busy_timeout_s) if durability == "process" else None,
    )


def file_revision(url: URL) -> str | None:
    """Return the schema's revision of a file, None where there is none yet."""
    path = prepare_file(url)
    engine = open_readers(path, busy_timeout_s=1.0)
    try:
        with engine.connect() as connection:
            return read_revision(connection)
    except DatabaseError as error:
        raise ConfigError(damaged(path, str(error.orig))) from error
    finally:
        engine.dispose()


def check_file(url: URL) -> str | None:
    """Return the schema's revision of a file; None where it, or its schema, can still be made.

    Nothing is made. Raises ConfigError as `prepare_file` does.
    """
    path = Path(os.path.realpath(url.database or ""))
    if path.exists():
        return file_revision(url)
    folder = next(one for one in path.parents if one.exists())
    if not os.access(folder, os.W_OK):
        raise ConfigError(_unwritable(path, PermissionError(errno.EACCES, "Permission denied")))
    return None


def damaged(path: Path, words: str) -> str:
    """Return what to tell an operator whose database file is broken."""
    return (
        f"the ledger {path} is not a healthy SQLite database ({words}). It was left as it is: "
        "restore it from a backup, repair a copy with `sqlite3 FILE .recover`, or move it away "
        "to begin a new ledger."
    )


def _unwritable(path: Path, error: OSError) -> str:
    return (
        f"the ledger's {path} cannot be opened for writing ({error.strerror}); make its folder "
        "writable for this user, or give another path with database_url."
    )


def open_writer(path: Path, *, durability: Durability, busy_timeout_s: float) -> Engine:
    """Return an engine whose transactions take the write lock when they begin."""
    engine = _engine(path, busy_timeout_s, pool=NullPool)

    @event.listens_for(engine, "connect")
    def configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        _run(connection, "PRAGMA journal_mode=WAL")
        _run(connection, f"PRAGMA synchronous={_SYNCHRONOUS[durability]}")
        _run(connection, "PRAGMA foreign_keys=ON")

    event.listen(engine, "begin", _begin("BEGIN IMMEDIATE"))
    return engine


def learn_sizes(connection: Connection) -> None:
    """Let SQLite see how large its tables have become, so that it finds rows by the best index."""
    connection.exec_driver_sql("PRAGMA analysis_limit=1000")
    connection.exec_driver_sql("ANALYZE")


def open_readers(path: Path, *, busy_timeout_s: float) -> Engine:
    """Return an engine of at most `READERS_MAX` connections that cannot write."""
    engine = _engine(path, busy_timeout_s, pool=QueuePool)

    @event.listens_for(engine, "connect")
    def configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        _run(connection, "PRAGMA query_only=ON")

    event.listen(engine, "begin", _begin("BEGIN"))
    return engine


class AtOnce:
    """Transactions of a file that wait for nobody: for no lock of another program, for no disk.

    The log of what is written is brought into the file by the writer's thread, whose turn it is
    every `TIDY_EVERY` times; that waits for the disk.
    """

    def __init__(self, busy_timeout_s: float) -> None:
        self._busy_timeout_ms = round(busy_timeout_s * 1000)
        self._count = 0

    @contextmanager
    def __call__(self, connection: Connection) -> Iterator[None]:
        """Let the transaction within not wait. Raises BlockingIOError at the thread's turn."""
        self._count += 1
        if self._count % TIDY_EVERY == 0:
            raise BlockingIOError("the file has to be tidied up")
        file = raw(connection)
        file.execute("PRAGMA busy_timeout=0")
        file.execute("PRAGMA wal_autocheckpoint=0")
        try:
            yield
        finally:
            with suppress(sqlite3.ProgrammingError):  # it is closed where a COMMIT failed
                file.execute(f"PRAGMA busy_timeout={self._busy_timeout_ms}")
                file.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")


def raw(connection: Connection) -> sqlite3.Connection:
    """Return the driver's connection to a file."""
    file = connection.connection.dbapi_connection
    assert isinstance(file, sqlite3.Connection)
    return file


def _engine(path: Path, busy_timeout_s: float, *, pool: type[NullPool | QueuePool]) -> Engine:
    sizes = {"pool_size": READERS_MAX, "max_overflow": 0} if pool is QueuePool else {}
    return create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=pool,
        # No isolation level: Python's driver begins transactions by itself otherwise, and late.
        connect_args={
            "timeout": busy_timeout_s,
            "check_same_thread": False,
            "isolation_level": None,
        },
        **sizes,
    )


def _begin(statement: str) -> Callable[[Connection], None]:
    def begin(connection: Connection) -> None:
        try:
            raw(connection).execute(statement)
        except sqlite3.Error as error:
            raise told(connection, statement, error) from error

    return begin


def _run(connection: DBAPIConnection, statement: str) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute(statement)
        cursor.fetchall()
    finally:
        cursor.close()


def _time_s(_connection: Connection) -> float:
    return clock.now_s()
