"""What the ledger needs of a database, whichever it is."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from msgspec import Struct
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError


class Database(Struct, frozen=True, eq=False, kw_only=True):
    """An open database.

    `enter` is called first in each transaction of the writer: when it returns nobody else writes
    until the transaction ends. It returns the time by which the transaction counts, in unix
    seconds; `read_time` tells it to a reader. `is_shared` says whether other processes may write
    too; `release` gives up what was held for this process. `at_once` gives a transaction that waits
    for nobody, for the event loop; it raises BlockingIOError where the writer's thread had better
    do it. None: there is no such.
    """

    writer: Engine
    readers: Engine
    enter: Callable[[Connection], float]
    read_time: Callable[[Connection], float]
    release: Callable[[], None]
    is_shared: bool
    at_once: Callable[[Connection], AbstractContextManager[None]] | None = None

    def close(self) -> None:
        """Close all connections and let the next process have the database."""
        self.writer.dispose()
        self.readers.dispose()
        self.release()


def told(connection: Connection, sql: str, error: Exception) -> Exception:
    """Return what SQLAlchemy makes of an error; a connection that is gone is not used again."""
    driver = connection.connection.dbapi_connection
    is_gone = connection.dialect.is_disconnect(error, driver, None)  # type: ignore[arg-type]
    if is_gone:
        connection.invalidate(error)
    kind = connection.dialect.loaded_dbapi.Error
    return DBAPIError.instance(sql, None, error, kind, connection_invalidated=is_gone)
