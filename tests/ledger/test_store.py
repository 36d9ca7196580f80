"""What only a ledger in a database does: last, be locked, be damaged."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from imagegate.errors import ConfigError
from imagegate.ledger.records import (
    CallRecord,
    ConflictError,
    Delivered,
    LedgerUnavailableError,
    Stored,
    cost_e10_of,
)
from imagegate.ledger.sqlite import TIDY_EVERY
from imagegate.ledger.store import open_ledger
from tests.ledger.databases import in_loop
from tests.ledger.rows import (
    ENDED_AT,
    admit,
    asset,
    call,
    fail,
    settle,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/ledger.db"


@contextlib.asynccontextmanager
async def opened(url: str, **options):
    ledger = open_ledger(url, **options)
    try:
        yield ledger
    finally:
        await ledger.aclose()


def test_a_settled_call_is_there_after_reopening(url):
    end = {
        "cost_e10": 9_007_199_254_740_993,  # more than a float can hold
        "usage": '{"output_tokens":4160}',
        "upstream_request_id": "req_1",
        "upstream_status": 200,
    }

    async def test() -> None:
        async with opened(url) as ledger:
            await ledger.commit(admit("a"))
            await ledger.commit(settle("a", **end))
            ledger.note(Delivered("call_a", ENDED_AT + 1))
        async with opened(url) as ledger:
            assert await ledger.get_call("call_a") == call(
                "a", state="done", finished_at=ENDED_AT, delivered_at=ENDED_AT + 1
            )
            attempts = await ledger.attempts_of("call_a")
            assert cost_e10_of(attempts) == end["cost_e10"]
            assert (attempts[0].usage, attempts[0].upstream_status) == (end["usage"], 200)
            assert await ledger.assets_of("call_a") == (asset("a"),)

    asyncio.run(test())


def test_fifty_at_once_and_one_of_them_bad(url):
    async def test() -> None:
        async with opened(url) as ledger:
            await ledger.commit(admit("7"))
            results = await asyncio.gather(
                *(ledger.commit(admit(str(number))) for number in range(50)),
                return_exceptions=True,
            )
            failed = [number for number, result in enumerate(results) if result is not None]
            assert failed == [7]
            assert isinstance(results[7], ConflictError)
            assert len(await ledger.open_attempts(not_owner="own_2")) == 50

    asyncio.run(test())


def test_an_unknown_charge_can_be_settled_later(url):
    async def test() -> None:
        async with opened(url) as ledger:
            await ledger.commit(admit("a"))
            await ledger.commit(fail("a", "unknown", error_text="x" * 9000))
            (attempt,) = await ledger.attempts_of("call_a")
            assert (attempt.state, len(attempt.error_text)) == ("unknown", 8192)
            await ledger.commit(settle("a", cost_e10=11))
            (attempt,) = await ledger.attempts_of("call_a")
            assert (attempt.state, attempt.cost_e10) == ("settled", 11)
            assert (await ledger.get_call("call_a")).state == "done"

    asyncio.run(test())


def test_odd_characters_of_others_cost_no_row(url):
    async def test() -> None:
        async with opened(url) as ledger:
            await ledger.commit(admit("a", end_user="\ud800"))
            await ledger.commit(fail("a", "refused", error_text="no\0pe \udfff"))
            (attempt,) = await ledger.attempts_of("call_a")
            assert attempt.error_text == "nope ?"

    asyncio.run(test())


def test_a_value_that_no_database_takes_fails_alone(url):
    async def test() -> None:
        async with opened(url) as ledger:
            await ledger.commit(admit("a"))
            results = await asyncio.gather(
                ledger.commit(settle("a", cost_e10=2**70)),
                ledger.commit(admit("b")),
                return_exceptions=True,
            )
            assert isinstance(results[0], Exception)
            assert results[1] is None
            assert (await ledger.get_call("call_a")).state == "running"

    asyncio.run(test())


def test_a_file_that_another_program_holds_is_an_error_and_passes(url, tmp_path):
    async def test() -> None:
        async with opened(url, busy_timeout_s=0.01) as ledger:
            other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
            with contextlib.closing(other):
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(LedgerUnavailableError, match="locked"):
                    await ledger.commit(admit("a"))
                other.execute("ROLLBACK")
            await ledger.commit(admit("a"))
            assert await ledger.get_call("call_a") == call("a")

    asyncio.run(test())


def test_the_loop_goes_on_while_another_program_holds_the_file(url, tmp_path):
    async def test() -> None:
        async with opened(url) as ledger:
            other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
            with contextlib.closing(other):
                other.execute("BEGIN IMMEDIATE")
                waiting = asyncio.create_task(ledger.commit(admit("a")))
                await asyncio.to_thread(bool)  # it has been tried by now
                assert not waiting.done()
                other.execute("ROLLBACK")
            await waiting
            assert await ledger.get_call("call_a") == call("a")

    asyncio.run(test())


@pytest.mark.parametrize("durability", ["process", "power"])
def test_what_is_written_one_by_one_is_brought_into_the_file(url, tmp_path, durability):
    async def test() -> None:
        async with opened(url, durability=durability) as ledger:
            size = (tmp_path / "ledger.db").stat().st_size
            for number in range(2 * TIDY_EVERY):
                await ledger.commit(admit(str(number)))
            assert (tmp_path / "ledger.db").stat().st_size > size

    asyncio.run(test())


def test_a_file_that_another_program_holds_at_start_is_a_clear_error(url, tmp_path):
    open_ledger(url).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ConfigError, match="locked"):
            open_ledger(url, busy_timeout_s=0.01)
    open_ledger(url).close()


CHILD = f"""
import asyncio, sys
from imagegate.ledger.store import open_ledger
from tests.ledger.rows import admit, settle

async def main():
    ledger = open_ledger(sys.argv[1])
    for name in {[str(number) for number in range(20)]!r}:
        await ledger.commit(admit(name))
        await ledger.commit(settle(name, cost_e10=1))
    await ledger.commit(admit("open"))
    print("committed", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


@contextlib.contextmanager
def child(url: str):
    """Run a process that has written 20 settled calls and an open one, and still holds the file."""
    command = [sys.executable, "-c", CHILD, url]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "committed\n"
        try:
            yield process
        finally:
            process.kill()


def test_what_was_committed_survives_kill_9(url):
    with child(url) as process:
        process.send_signal(signal.SIGKILL)

    async def test() -> None:
        async with opened(url) as ledger:
            left = await ledger.open_calls(not_owner="own_2")
            assert [one.id for one in left] == ["call_open"]
            assert await ledger.asset_bytes() == 20_000
            for number in range(20):
                found = await ledger.get_call(f"call_{number}")
                assert isinstance(found, CallRecord)
                assert found.state == "done"

    asyncio.run(test())


def test_a_second_process_on_one_file_is_refused_and_named(url, tmp_path):
    (tmp_path / "other.db").symlink_to(tmp_path / "ledger.db")
    with child(url) as process:
        for same in (url, f"sqlite:///{tmp_path}/other.db"):
            with pytest.raises(ConfigError, match=f"another gateway .process {process.pid}."):
                open_ledger(same)


def test_a_second_ledger_in_one_process_is_refused_until_the_first_is_closed(url):
    first = open_ledger(url)
    with pytest.raises(ConfigError, match=f"process {os.getpid()}"):
        open_ledger(url)
    first.close()
    first.close()
    open_ledger(url).close()


def test_a_file_that_is_no_database_is_left_as_it_is(url, tmp_path):
    (tmp_path / "ledger.db").write_bytes(b"my shopping list" * 100)
    with pytest.raises(ConfigError, match="not a healthy SQLite database"):
        open_ledger(url)
    assert (tmp_path / "ledger.db").read_bytes() == b"my shopping list" * 100


def test_a_damaged_database_is_a_clear_error(url, tmp_path):
    open_ledger(url).close()
    file = tmp_path / "ledger.db"
    whole = file.read_bytes()
    file.write_bytes(whole[:100] + b"\xff" * 5000 + whole[5100:])
    for _ in range(2):  # and it lets go of the lock
        with pytest.raises(ConfigError, match="not a healthy SQLite database"):
            open_ledger(url)


@pytest.mark.parametrize("place", ["taken/ledger.db", "."])
def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path, place):
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(ConfigError, match="cannot be opened for writing"):
        open_ledger(f"sqlite:///{tmp_path}/{place}")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "names no plain file"),
        ("sqlite:///:memory:", "names no plain file"),
        ("mysql://user:sk-test-secret@localhost/db", "SQLite .* or Postgres"),
        ("postgresql://user:sk-test-secret@127.0.0.1:1/db", "cannot be used"),
        ("imagegate.db", "not a database URL"),
    ],
)
def test_urls_that_are_no_sqlite_file_are_refused(url, words):
    with pytest.raises(ConfigError, match=words) as refused:
        open_ledger(url)
    assert "sk-test-secret" not in str(refused.value)


def test_a_missing_folder_is_made_and_the_file_is_private(tmp_path):
    open_ledger(f"sqlite:///{tmp_path}/new/folder/ledger.db").close()
    file = tmp_path / "new/folder/ledger.db"
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("durability", "level"), [("process", 1), ("power", 2)])
def test_durability_decides_how_the_file_is_synchronised(tmp_path, durability, level):
    from imagegate.ledger import sqlite

    engine = sqlite.open_writer(tmp_path / "x.db", durability=durability, busy_timeout_s=1.0)
    with engine.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == level
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
    engine.dispose()


def test_what_is_written_at_once_waits_for_nobody(tmp_path):
    from imagegate.ledger import sqlite

    engine = sqlite.open_writer(tmp_path / "x.db", durability="process", busy_timeout_s=1.0)
    at_once, waits = sqlite.AtOnce(1.0), ("busy_timeout", "wal_autocheckpoint")
    with engine.connect() as connection:
        file = sqlite.raw(connection)

        def settings() -> list[int]:
            return [file.execute(f"PRAGMA {name}").fetchone()[0] for name in waits]

        for _ in range(TIDY_EVERY - 1):
            with at_once(connection):
                assert settings() == [0, 0]
        assert settings() == [1000, sqlite.CHECKPOINT_PAGES]
        with pytest.raises(BlockingIOError), at_once(connection):
            pass
    engine.dispose()


def test_an_image_in_the_bucket_says_where_it_is(ledger_url):
    async def test(ledger):
        await ledger.commit(admit("a"))
        await ledger.commit(settle("a", cost_e10=1))
        await ledger.commit(Stored("img_a_0", "a.body", "o/1", "ff"))
        assert await ledger.get_asset("img_a_0") == asset("a", object="o/1", sha256="ff")
        with pytest.raises(ConflictError):
            await ledger.commit(Stored("img_a_0", "b.body", "o/2", "00"))

    in_loop(ledger_url, test)
