"""Databases to test with: a file, and a Postgres that is started once and dropped at the end."""

import asyncio
import itertools
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from imagegate.ledger import postgres
from imagegate.ledger.store import SqlLedger, open_ledger

KINDS = ("sqlite", "postgres")
WAIT_S = 20.0

_numbers = itertools.count()


class PostgresServer:
    """A server of its own; each test gets a database of its own in it, with our schema."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            # It names a folder for sockets that it then does not use.
            warnings.simplefilter("ignore")
            import pgserver

            self._server = pgserver.get_server(folder, cleanup_mode="delete")
        self._admin = make_url(self._server.get_uri())

    def new_url(self, *, is_migrated: bool = True) -> str:
        """Return the url of a new database."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        engine = create_engine(self._admin.set(drivername="postgresql+psycopg"))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        url = self._admin.set(database=name)
        if is_migrated:
            postgres.upgrade(url)
        return url.render_as_string(hide_password=False)

    def cut(self) -> None:
        """End the server as a crash does."""
        self._server.get_postmaster_info().process.kill()
        self._server.get_postmaster_info().process.wait(WAIT_S)

    def freeze(self) -> None:
        """Let the server be silent, connections and all, until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the server go on where it was."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        server = self._server.get_postmaster_info().process
        for process in (server, *server.children(recursive=True)):
            process.send_signal(number)

    def restore(self) -> None:
        """Start the server again, with what was committed."""
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        """Stop the server and remove its files."""
        self._server.cleanup()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    folder = Path(tempfile.mkdtemp(prefix="imagegate-postgres-"))
    running = PostgresServer(folder)
    yield running
    running.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def doomed_server() -> Iterator[PostgresServer]:
    """A server that a test may kill without harm to the others."""
    folder = Path(tempfile.mkdtemp(prefix="imagegate-postgres-"))
    running = PostgresServer(folder)
    yield running
    running.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=KINDS)
def ledger_url(request, tmp_path) -> str:
    """The url of an empty ledger."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_url()


def in_loop(url: str, test: Callable[[SqlLedger], Awaitable[None]]) -> None:
    """Run a coroutine function on a ledger that is opened for it and closed after it."""

    async def whole() -> None:
        ledger = open_ledger(url)
        try:
            await test(ledger)
        finally:
            await ledger.aclose()

    asyncio.run(whole())
