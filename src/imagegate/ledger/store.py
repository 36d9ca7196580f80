"""The ledger in a database: one writer thread, statements of `schema`, reads on other threads."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, assert_never

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import Connection, Engine, Executable, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)

from imagegate.errors import ConfigError
from imagegate.ledger import schema, sqlite
from imagegate.ledger.migrate import migrate
from imagegate.ledger.records import (
    LAST_ID,
    READ_ROWS_MAX,
    Admit,
    AssetRecord,
    AttemptEnd,
    AttemptRecord,
    CallEnd,
    CallRecord,
    CallState,
    CloseCall,
    Command,
    ConflictError,
    Delivered,
    Fail,
    ForgetFile,
    FreeKey,
    Keep,
    LedgerUnavailableError,
    Redispatch,
    Settle,
    storable,
)
from imagegate.ledger.writer import GroupWriter

BUSY_TIMEOUT_S = 5.0

_Parameters: TypeAlias = dict[str, object]
_Write: TypeAlias = tuple[Executable, _Parameters]
_R = TypeVar("_R", bound=Struct)
_T = TypeVar("_T")

# These blame the rows; any other error of the driver blames the database.
_ROW_ERRORS = (IntegrityError, DataError, ProgrammingError, InterfaceError)


class SqlLedger:
    """A ledger that outlives its process; see `Ledger` for what its methods promise."""

    def __init__(self, writer: Engine, readers: Engine, lock: sqlite.FileLock) -> None:
        self._connection = writer.connect()
        self._engines = (writer, readers)
        self._lock = lock
        self._is_closed = False
        self._writer = GroupWriter(self._write, name="imagegate-ledger")
        self._threads = ThreadPoolExecutor(sqlite.READERS_MAX, thread_name_prefix="ledger-reader")

    async def commit(self, command: Command) -> None:
        """Write `command` and return when it is durable; raises `LedgerError`, then nothing is."""
        await self._writer.put(command)

    def note(self, command: Command) -> None:
        """Write `command` with a later group, at close at the latest; nobody waits for it."""
        self._writer.note(command)

    async def get_call(self, call_id: str) -> CallRecord | None:
        """Return the call, None where there is none."""
        found = await self._select(CallRecord, schema.SELECT_CALL, b_id=call_id)
        return found[0] if found else None

    async def call_by_key(self, scoped_key: str) -> CallRecord | None:
        """Return the call of an idempotency key, None where there is none."""
        found = await self._select(CallRecord, schema.SELECT_CALL_BY_KEY, b_key=scoped_key)
        return found[0] if found else None

    async def like_call(self, fingerprint: str, *, since_s: float) -> CallRecord | None:
        """Return the newest call that asked for the same and has not failed, None for none."""
        statement = schema.SELECT_LIKE_CALLS
        found = await self._select(
            CallRecord, statement, b_fingerprint=fingerprint, b_since=since_s
        )
        return found[0] if found else None

    async def undelivered_calls(
        self, *, since_s: float, after: str = "", limit: int = READ_ROWS_MAX
    ) -> tuple[CallRecord, ...]:
        """Return calls made since then that nobody has read and that have not failed, by id."""
        statement = schema.SELECT_UNDELIVERED_CALLS
        return await self._select(
            CallRecord, statement, b_since=since_s, b_after=after, b_limit=limit
        )

    async def newest_calls(
        self, *, states: Collection[CallState], before: str = LAST_ID, limit: int = READ_ROWS_MAX
    ) -> tuple[CallRecord, ...]:
        """Return calls in one of `states`, the newest first, from the one before `before` on."""
        statement = schema.SELECT_NEWEST_CALLS
        return await self._select(
            CallRecord, statement, b_states=list(states), b_before=before, b_limit=limit
        )

    async def attempts_of(self, call_id: str) -> tuple[AttemptRecord, ...]:
        """Return the attempts of a call, by number."""
        return await self._select(AttemptRecord, schema.SELECT_ATTEMPTS, b_id=call_id)

    async def assets_of(self, call_id: str) -> tuple[AssetRecord, ...]:
        """Return the images of a call that are still kept, by attempt and index."""
        return await self._select(AssetRecord, schema.SELECT_ASSETS, b_id=call_id)

    async def get_asset(self, asset_id: str) -> AssetRecord | None:
        """Return the image with this id, None where it is not kept."""
        found = await self._select(AssetRecord, schema.SELECT_ASSET, b_id=asset_id)
        return found[0] if found else None

    async def open_calls(
        self, *, not_owner: str, after: str = "", limit: int = READ_ROWS_MAX
    ) -> tuple[CallRecord, ...]:
        """Return running calls of other owners, by id, from the one behind `after` on."""
        return await self._select(
            CallRecord, schema.SELECT_OPEN_CALLS, b_owner=not_owner, b_after=after, b_limit=limit
        )

    async def open_attempts(
        self, *, not_owner: str, after: str = "", limit: int = READ_ROWS_MAX
    ) -> tuple[AttemptRecord, ...]:
        """Return attempts of other owners that have not ended, by id, from behind `after` on."""
        statement = schema.SELECT_OPEN_ATTEMPTS
        return await self._select(
            AttemptRecord, statement, b_owner=not_owner, b_after=after, b_limit=limit
        )

    async def expired_assets(
        self, now_s: float, *, limit: int = READ_ROWS_MAX
    ) -> tuple[AssetRecord, ...]:
        """Return assets whose time was up at `now_s`, the longest expired first."""
        statement = schema.SELECT_EXPIRED_ASSETS
        return await self._select(AssetRecord, statement, b_now=now_s, b_limit=limit)

    async def oldest_assets(self, *, limit: int = READ_ROWS_MAX) -> tuple[AssetRecord, ...]:
        """Return the assets that were kept first, oldest first."""
        return await self._select(AssetRecord, schema.SELECT_OLDEST_ASSETS, b_limit=limit)

    async def asset_bytes(self) -> int:
        """Return how many bytes all assets have together, as they are stored."""

        def total(connection: Connection) -> int:
            return int(connection.execute(schema.SELECT_ASSET_BYTES).scalar_one())

        return await self._read(total)

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
        for engine in self._engines:
            engine.dispose()
        self._lock.release()

    async def _select(
        self, record: type[_R], statement: Executable, **parameters: object
    ) -> tuple[_R, ...]:
        def rows(connection: Connection) -> tuple[_R, ...]:
            found = connection.execute(statement, parameters).mappings()
            return tuple(record(**row) for row in found)

        return await self._read(rows)

    async def _read(self, query: Callable[[Connection], _T]) -> _T:
        if self._is_closed:
            raise LedgerUnavailableError("the ledger is closed")

        def run() -> _T:
            try:
                with self._engines[1].begin() as connection:
                    return query(connection)
            except SQLAlchemyError as error:
                raise LedgerUnavailableError(f"the ledger cannot be read: {error}") from error

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    def _write(self, commands: Sequence[Command]) -> None:
        """Write the commands in one transaction, whole or not at all; on the writer's thread."""
        batch: dict[Executable, list[_Parameters]] = {one: [] for one in schema.WRITES}
        for command in commands:
            for statement, parameters in _writes(command):
                batch[statement].append(parameters)
        try:
            with self._connection.begin():
                _execute(self._connection, batch)
        except _ROW_ERRORS as error:
            raise ConflictError(f"a row does not fit: {error.orig}") from error
        except DatabaseError as error:
            raise LedgerUnavailableError(f"the ledger takes no rows: {error.orig}") from error


def open_ledger(
    url: str,
    *,
    durability: sqlite.Durability = "process",
    busy_timeout_s: float = BUSY_TIMEOUT_S,
) -> SqlLedger:
    """Return the ledger at `url` (`sqlite:///imagegate.db`), made or brought up to date.

    `busy_timeout_s` is how long a write waits for another program that holds the file. Raises
    ConfigError, and has changed nothing, where the file is not ours to use. Blocks.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError(
            "database_url is not a database URL; write it as sqlite:///path/to/imagegate.db."
        ) from error
    if parsed.get_backend_name() != "sqlite":
        raise ConfigError(
            f"database_url begins with {parsed.drivername}:; this version keeps its ledger in "
            "SQLite only. Write it as sqlite:///path/to/imagegate.db."
        )
    path = sqlite.prepare_file(parsed)
    lock = sqlite.FileLock(path)
    try:
        return _open(path, lock, durability, busy_timeout_s)
    except BaseException:
        lock.release()
        raise


def _open(
    path: Path, lock: sqlite.FileLock, durability: sqlite.Durability, busy_timeout_s: float
) -> SqlLedger:
    writer = sqlite.open_writer(path, durability=durability, busy_timeout_s=busy_timeout_s)
    readers = sqlite.open_readers(path, busy_timeout_s=busy_timeout_s)
    try:
        with writer.begin() as connection:
            migrate(connection)
    except OperationalError as error:
        raise ConfigError(
            f"the ledger {path} cannot be used now: {error.orig}. Close the program that holds "
            "it, or free space, and start again; nothing was changed."
        ) from error
    except DatabaseError as error:
        raise ConfigError(sqlite.damaged(path, str(error.orig))) from error
    return SqlLedger(writer, readers, lock)


def _execute(connection: Connection, batch: Mapping[Executable, list[_Parameters]]) -> None:
    for statement, rows in batch.items():
        if not rows:
            continue
        result = connection.execute(statement, rows)
        if statement in schema.EXACT_WRITES and result.rowcount != len(rows):
            raise ConflictError("a call or attempt is missing, or has ended already")


def _writes(command: Command) -> Iterator[_Write]:
    """Yield what `command` is in SQL."""
    match command:
        case Admit(call, attempt, parts):
            yield schema.INSERT_CALL, asdict(call) | {"end_user": storable(call.end_user)}
            yield from ((schema.INSERT_ATTEMPT, asdict(one)) for one in (attempt, *parts))
        case Redispatch(attempt, ended, parts):
            yield from () if ended is None else (_end_attempt(ended),)
            yield from ((schema.INSERT_ATTEMPT, asdict(one)) for one in (attempt, *parts))
        case Settle(end, assets, call_end):
            yield from _ends(end, call_end)
            yield from ((schema.INSERT_ASSET, asdict(asset)) for asset in assets)
        case Fail(end, call_end):
            yield from _ends(end, call_end)
        case CloseCall(call_end):
            yield _end_call(call_end)
        case Keep(assets):
            yield from ((schema.INSERT_ASSET, asdict(asset)) for asset in assets)
        case Delivered(call_id, at):
            yield schema.MARK_DELIVERED, {"b_id": call_id, "b_at": at}
        case FreeKey(call_id):
            yield schema.FREE_KEY, {"b_id": call_id}
        case ForgetFile(file):
            yield schema.FORGET_FILE, {"b_file": file}
        case _:
            assert_never(command)


def _ends(attempt: AttemptEnd, call: CallEnd | None) -> Iterator[_Write]:
    yield _end_attempt(attempt)
    if call is not None:
        yield _end_call(call)


def _end_attempt(end: AttemptEnd) -> _Write:
    parameters = _prefixed(end)
    parameters["b_error_text"] = storable(end.error_text)
    parameters["b_upstream_request_id"] = storable(end.upstream_request_id)
    return schema.END_ATTEMPT, parameters


def _end_call(end: CallEnd) -> _Write:
    return schema.END_CALL, _prefixed(end)


def _prefixed(record: Struct) -> dict[str, Any]:
    return {f"b_{name}": value for name, value in asdict(record).items()}
