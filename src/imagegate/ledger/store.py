"""The ledger in a database: one writer thread, statements of `schema`, reads on other threads."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from msgspec import Struct
from sqlalchemy import Connection, Executable, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)

from imagegate.errors import ConfigError
from imagegate.ledger import money_schema, postgres, review_schema, schema, sqlite
from imagegate.ledger.database import Database
from imagegate.ledger.execute import flush
from imagegate.ledger.group import withdraw, write_group
from imagegate.ledger.people import AnyCommand
from imagegate.ledger.records import (
    LAST_ID,
    READ_ROWS_MAX,
    Admit,
    AssetRecord,
    AttemptRecord,
    CallRecord,
    CallState,
    ConflictError,
    LedgerError,
    LedgerUnavailableError,
)
from imagegate.ledger.review import VerdictRecord
from imagegate.ledger.writer import GroupWriter

BUSY_TIMEOUT_S = 5.0
READ_S_MAX = 10.0

_R = TypeVar("_R", bound=Struct)
_T = TypeVar("_T")

# These blame the rows; any other error of the driver blames the database.
_ROW_ERRORS = (IntegrityError, DataError, ProgrammingError, InterfaceError)


class _StaleConnectionError(Exception):
    """The connection had died before anything was written on it."""


class SqlLedger:
    """A ledger that outlives its process; see `Ledger` for what its methods promise.

    `is_shared` says whether other processes write to it too. It `is_available` unless it took
    nothing at the last try; where somebody `is_watching`, who tries again, calls are then refused
    at once.
    """

    def __init__(self, database: Database) -> None:
        self._connection = database.writer.connect()
        self._database = database
        self.is_shared = database.is_shared
        self.is_available = True
        self.is_watching = False
        self._is_closed = False
        self._doubtful: deque[AnyCommand] = deque()  # two threads add to it
        at_once = self._write_at_once if database.at_once else None
        self._writer = GroupWriter(self._write, name="imagegate-ledger", write_at_once=at_once)
        self._threads = ThreadPoolExecutor(sqlite.READERS_MAX, thread_name_prefix="ledger-reader")

    async def commit(self, command: AnyCommand) -> None:
        """Write `command` and return when it is durable; raises `LedgerError`, then nothing is."""
        if not self.is_available and self.is_watching and isinstance(command, Admit):
            raise LedgerUnavailableError("the ledger took nothing at the last try")
        await self._writer.put(command)

    def give_up(self) -> None:
        """Let nobody wait any longer for a database that is silent; from the event loop.

        What is being written at this moment is withdrawn, should it be written all the same.
        """
        self.is_available = False
        self._doubtful.extend(self._writer.give_up())

    def note(self, command: AnyCommand) -> None:
        """Write `command` with a later group, at close at the latest; nobody waits for it."""
        self._writer.note(command)

    async def get_call(self, call_id: str) -> CallRecord | None:
        """Return the call, None where there is none."""
        found = await self.select(CallRecord, schema.SELECT_CALL, b_id=call_id)
        return found[0] if found else None

    async def call_by_key(self, scoped_key: str) -> CallRecord | None:
        """Return the call of an idempotency key, None where there is none."""
        found = await self.select(CallRecord, schema.SELECT_CALL_BY_KEY, b_key=scoped_key)
        return found[0] if found else None

    async def like_call(self, fingerprint: str, *, since_s: float) -> CallRecord | None:
        """Return the newest call that asked for the same and has not failed, None for none."""
        statement = schema.SELECT_LIKE_CALLS
        found = await self.select(CallRecord, statement, b_fingerprint=fingerprint, b_since=since_s)
        return found[0] if found else None

    async def undelivered_calls(
        self, *, since_s: float, after: str = "", limit: int = READ_ROWS_MAX
    ) -> tuple[CallRecord, ...]:
        """Return calls made since then that nobody has read and that have not failed, by id."""
        statement = schema.SELECT_UNDELIVERED_CALLS
        return await self.select(
            CallRecord, statement, b_since=since_s, b_after=after, b_limit=limit
        )

    async def newest_calls(
        self, *, states: Collection[CallState], before: str = LAST_ID, limit: int = READ_ROWS_MAX
    ) -> tuple[CallRecord, ...]:
        """Return calls in one of `states`, the newest first, from the one before `before` on."""
        is_done = "done" in states
        statement = schema.SELECT_NEWEST_CALLS if is_done else schema.SELECT_NEWEST_NOT_DONE
        return await self.select(
            CallRecord, statement, b_states=list(states), b_before=before, b_limit=limit
        )

    async def attempts_of(self, call_id: str) -> tuple[AttemptRecord, ...]:
        """Return the attempts of a call, by number."""
        return await self.select(AttemptRecord, schema.SELECT_ATTEMPTS, b_id=call_id)

    async def assets_of(self, call_id: str) -> tuple[AssetRecord, ...]:
        """Return the images of a call that are still kept, by attempt and index."""
        return await self.select(AssetRecord, schema.SELECT_ASSETS, b_id=call_id)

    async def verdicts_of(self, call_id: str) -> tuple[VerdictRecord, ...]:
        """Return what guardrails said of a call, in the order in which they did."""
        return await self.select(VerdictRecord, review_schema.SELECT_VERDICTS, b_id=call_id)

    async def get_asset(self, asset_id: str) -> AssetRecord | None:
        """Return the image with this id, None where it is not kept."""
        found = await self.select(AssetRecord, schema.SELECT_ASSET, b_id=asset_id)
        return found[0] if found else None

    async def open_calls(
        self, *, not_owner: str, after: str = "", limit: int = READ_ROWS_MAX
    ) -> tuple[CallRecord, ...]:
        """Return running calls of other owners, by id, from the one behind `after` on."""
        return await self.select(
            CallRecord, schema.SELECT_OPEN_CALLS, b_owner=not_owner, b_after=after, b_limit=limit
        )

    async def open_attempts(
        self, *, not_owner: str, after: str = "", limit: int = READ_ROWS_MAX
    ) -> tuple[AttemptRecord, ...]:
        """Return attempts of other owners that have not ended, by id, from behind `after` on."""
        statement = schema.SELECT_OPEN_ATTEMPTS
        return await self.select(
            AttemptRecord, statement, b_owner=not_owner, b_after=after, b_limit=limit
        )

    async def orphaned_attempts(self) -> tuple[AttemptRecord, ...]:
        """Return open attempts of owners whose lease is over, at most `READ_ROWS_MAX`."""
        return await self._orphaned(AttemptRecord, money_schema.SELECT_ORPHANED_ATTEMPTS)

    async def orphaned_calls(self) -> tuple[CallRecord, ...]:
        """Return running calls of owners whose lease is over, at most `READ_ROWS_MAX`."""
        return await self._orphaned(CallRecord, money_schema.SELECT_ORPHANED_CALLS)

    async def _orphaned(self, record: type[_R], statement: Executable) -> tuple[_R, ...]:
        def rows(connection: Connection) -> tuple[_R, ...]:
            now_s = self._database.read_time(connection)
            parameters = {"b_now": now_s, "b_limit": READ_ROWS_MAX}
            found = connection.execute(statement, parameters).mappings()
            return tuple(record(**row) for row in found)

        return await self.read(rows)

    async def expired_assets(
        self, now_s: float, *, limit: int = READ_ROWS_MAX
    ) -> tuple[AssetRecord, ...]:
        """Return assets whose time was up at `now_s`, the longest expired first."""
        statement = schema.SELECT_EXPIRED_ASSETS
        return await self.select(AssetRecord, statement, b_now=now_s, b_limit=limit)

    async def oldest_assets(
        self, *, after: str = "", limit: int = READ_ROWS_MAX
    ) -> tuple[AssetRecord, ...]:
        """Return the assets in the folder that were kept first, from behind `after` on."""
        statement = schema.SELECT_OLDEST_ASSETS
        return await self.select(AssetRecord, statement, b_after=after, b_limit=limit)

    async def has_in_folder(self, file: str) -> bool:
        """Return whether an asset's bytes are in this file of the folder, and nowhere else."""
        return bool(await self.select(AssetRecord, schema.SELECT_IN_FOLDER_OF_FILE, b_file=file))

    async def asset_bytes(self) -> int:
        """Return how many bytes the assets in the folder have together, as they are stored."""

        def total(connection: Connection) -> int:
            return int(connection.execute(schema.SELECT_ASSET_BYTES).scalar_one())

        return await self.read(total)

    async def aclose(self) -> None:
        """Write what was noted and let go of the file; calling it again does nothing."""
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Do as `aclose`, blocking."""
        if self._is_closed:
            return
        self._is_closed = True
        self._writer.close()
        self._threads.shutdown()
        self._connection.close()
        self._database.close()

    async def select(
        self, record: type[_R], statement: Executable, **parameters: object
    ) -> tuple[_R, ...]:
        """Return the rows that a statement finds, as records."""

        def rows(connection: Connection) -> tuple[_R, ...]:
            found = connection.execute(statement, parameters).mappings()
            return tuple(record(**row) for row in found)

        return await self.read(rows)

    async def read(self, query: Callable[[Connection], _T]) -> _T:
        """Return what `query` makes of a connection that only reads, on a thread for reading."""
        if self._is_closed:
            raise LedgerUnavailableError("the ledger is closed")

        def run() -> _T:
            try:
                with self._database.readers.begin() as connection:
                    return query(connection)
            except SQLAlchemyError as error:
                raise LedgerUnavailableError(f"the ledger cannot be read: {error}") from error

        try:
            async with asyncio.timeout(READ_S_MAX):
                return await asyncio.get_running_loop().run_in_executor(self._threads, run)
        except TimeoutError as error:
            raise LedgerUnavailableError(f"no answer within {READ_S_MAX:g} s") from error

    def _write(self, commands: Sequence[AnyCommand]) -> Sequence[LedgerError | None]:
        """Write the commands in one transaction, whole or not at all; on the writer's thread.

        Those that there is no room for are left out of it; the answer says why.
        """
        try:
            try:
                results = self._write_once(commands)
            except _StaleConnectionError:
                results = self._write_once(commands)
        except _ROW_ERRORS as error:
            raise ConflictError(f"a row does not fit: {error.orig}") from error
        except (DatabaseError, _StaleConnectionError) as error:
            reason = getattr(error, "orig", error)
            self.is_available = False
            raise LedgerUnavailableError(f"the ledger takes no rows: {reason}") from error
        self.is_available = True
        return results

    def _write_at_once(self, commands: Sequence[AnyCommand]) -> Sequence[LedgerError | None]:
        """Write the commands as `_write` does, on the event loop; whatever it raises, none is."""
        assert self._database.at_once is not None
        with self._database.at_once(self._connection):
            results = self._write_once(commands)
        self.is_available = True
        return results

    def _write_once(self, commands: Sequence[AnyCommand]) -> Sequence[LedgerError | None]:
        doubtful = tuple(self._doubtful)
        with self._connection.begin() as transaction:
            now_s = self._enter()
            if doubtful:
                withdraw(self._connection, doubtful, now_s)
            results = write_group(self._connection, commands, now_s)
            flush(self._connection)
            try:
                transaction.commit()
            except DBAPIError:
                # It may be written all the same, though everybody is told that it is not.
                if self.is_shared:
                    self._doubtful.extend(commands)
                # Without both, neither SQLAlchemy nor the driver would begin another one.
                self._connection.invalidate()
                transaction.rollback()
                raise
        for _ in doubtful:
            self._doubtful.popleft()
        return results

    def _enter(self) -> float:
        """Return the time by which the transaction counts."""
        try:
            return self._database.enter(self._connection)
        except OperationalError as error:
            if error.connection_invalidated:
                raise _StaleConnectionError(str(error.orig)) from error
            raise


def open_ledger(
    url: str,
    *,
    durability: sqlite.Durability = "process",
    busy_timeout_s: float = BUSY_TIMEOUT_S,
) -> SqlLedger:
    """Return the ledger at `url`: a SQLite file, made or brought up to date, or a Postgres.

    A Postgres is used as it is: `imagegate migrate` brings it up to date. Of a file `durability`
    says what it survives, and `busy_timeout_s` how long a write waits for another program that
    holds it. Raises ConfigError, and has changed nothing, where the database is not ours to use.
    Blocks.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError(
            "database_url is not a database URL; write it as sqlite:///path/to/imagegate.db or "
            "postgresql://user:password@host/database."
        ) from error
    if parsed.get_backend_name() in postgres.SCHEMES:
        return SqlLedger(postgres.open_database(parsed))
    if parsed.get_backend_name() != "sqlite":
        raise ConfigError(
            f"database_url begins with {parsed.drivername}:; the ledger is kept in SQLite "
            "(sqlite:///path/to/imagegate.db) or Postgres (postgresql://...)."
        )
    path = sqlite.prepare_file(parsed)
    lock = sqlite.FileLock(path)
    try:
        return SqlLedger(sqlite.open_database(path, lock, durability, busy_timeout_s))
    except BaseException:
        lock.release()
        raise


def upgrade(url: str) -> tuple[str | None, str]:
    """Bring the database at `url` to our schema; return its revision before and after. Blocks.

    Raises ConfigError, and has changed nothing, where that is not possible.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() in postgres.SCHEMES:
        return postgres.upgrade(parsed)
    before = sqlite.file_revision(parsed)
    open_ledger(url).close()
    return before, schema.REVISION


def check(url: str) -> tuple[str | None, str]:
    """Return the revision of the database at `url` and ours, and change nothing. Blocks.

    None for a file that is not there yet. Raises ConfigError where the database cannot be used.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() in postgres.SCHEMES:
        postgres.open_database(parsed).close()
        return schema.REVISION, schema.REVISION
    found = sqlite.check_file(parsed)
    if found is not None and found > schema.REVISION:
        raise ConfigError(
            f"the ledger's schema is revision {found}, which is newer than {schema.REVISION} of "
            "this imagegate; run the newer version."
        )
    return found, schema.REVISION
