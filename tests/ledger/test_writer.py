"""Groups, their failures, and a writer that dies; `write` is a function that the test scripts."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from imagegate.ledger.records import ConflictError, LedgerError, LedgerUnavailableError
from imagegate.ledger.writer import GROUP_MAX, NOTES_MAX, GroupWriter

WAIT_S = 10.0


class Book:
    """Keeps the groups that were written; the first waits until the test says `go`."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.started = threading.Event()
        self.groups: list[list[str]] = []

    def write(self, group: Sequence[str]) -> Sequence[LedgerError | None]:
        self.started.set()
        assert self.go.wait(WAIT_S)
        if "die" in group:
            raise SystemExit
        if "full" in group:
            raise LedgerUnavailableError("disk full")
        if "bad" in group:
            raise ConflictError("bad")
        if "odd" in group:
            raise ValueError("odd")
        self.groups.append(list(group))
        return [LedgerError("full up") if item == "refused" else None for item in group]


def written(items: Sequence[str], notes: Sequence[str] = ()) -> tuple[Book, list[object]]:
    """Write "first" alone, then `items` as one group; return the book and each item's result."""
    book = Book()

    async def run() -> list[object]:
        writer = GroupWriter(book.write, name="test")
        first = asyncio.create_task(writer.put("first"))
        await asyncio.to_thread(book.started.wait, WAIT_S)
        for note in notes:
            writer.note(note)
        rest = [asyncio.create_task(writer.put(item)) for item in items]
        asyncio.get_running_loop().call_soon(book.go.set)
        async with asyncio.timeout(WAIT_S):
            results = await asyncio.gather(first, *rest, return_exceptions=True)
        await asyncio.to_thread(writer.close)
        return results[1:]

    return book, asyncio.run(run())


def test_what_waits_is_written_as_one_group():
    book, results = written(["a", "b", "c"])
    assert book.groups == [["first"], ["a", "b", "c"]]
    assert results == [None, None, None]


def test_a_group_has_a_limit():
    book, results = written([str(number) for number in range(GROUP_MAX + 1)])
    assert [len(group) for group in book.groups] == [1, GROUP_MAX, 1]
    assert results == [None] * (GROUP_MAX + 1)


@pytest.mark.parametrize(("item", "error"), [("bad", ConflictError), ("odd", LedgerError)])
def test_a_bad_item_fails_alone(item, error):
    book, results = written(["a", item, "b"])
    assert book.groups == [["first"], ["a"], ["b"]]
    assert [type(result) for result in results] == [type(None), error, type(None)]


def test_a_refused_item_is_told_so_while_the_others_are_written():
    book, results = written(["a", "refused", "b"])
    assert book.groups == [["first"], ["a", "refused", "b"]]
    assert [str(result) for result in results] == ["None", "full up", "None"]


def test_a_failure_of_the_database_fails_the_group_without_trying_each():
    book, results = written(["a", "full", "b"])
    assert book.groups == [["first"]]
    assert [str(result) for result in results] == ["disk full"] * 3


def test_a_note_rides_with_the_next_group():
    book, _ = written(["a"], notes=["n"])
    assert book.groups == [["first"], ["a", "n"]]


def test_notes_alone_are_written_at_close():
    book, _ = written([], notes=["m", "n"])
    assert book.groups == [["first"], ["m", "n"]]


def test_many_notes_do_not_wait_for_a_group():
    book = Book()
    book.go.set()

    async def run() -> None:
        writer = GroupWriter(book.write, name="test")
        for _ in range(NOTES_MAX):
            writer.note("n")
        assert await asyncio.to_thread(book.started.wait, WAIT_S)
        await asyncio.to_thread(writer.close)

    asyncio.run(run())
    assert sum(len(group) for group in book.groups) == NOTES_MAX


def test_a_writer_that_dies_fails_its_group_and_all_that_comes_later(caplog):
    book = Book()
    book.go.set()

    async def run() -> list[object]:
        writer = GroupWriter(book.write, name="test")
        async with asyncio.timeout(WAIT_S):
            group = await asyncio.gather(
                *(writer.put(item) for item in ("die", "a")), return_exceptions=True
            )
            later = await asyncio.gather(writer.put("b"), return_exceptions=True)
        writer.note("n")
        writer.close()
        return [*group, *later]

    results = asyncio.run(run())
    assert isinstance(results[0], LedgerUnavailableError)
    assert isinstance(results[2], LedgerUnavailableError)
    assert "died" in str(results[2])
    assert "ledger.writer_died" in [record.message for record in caplog.records]


def test_a_waiter_that_leaves_does_not_take_its_item_along():
    book = Book()

    async def run() -> None:
        writer = GroupWriter(book.write, name="test")
        waiter = asyncio.create_task(writer.put("a"))
        await asyncio.to_thread(book.started.wait, WAIT_S)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        book.go.set()
        await writer.put("b")
        await asyncio.to_thread(writer.close)

    asyncio.run(run())
    assert book.groups == [["a"], ["b"]]


def test_who_waits_for_a_silent_writer_is_told_and_what_is_under_way_is_named():
    book = Book()

    async def run() -> tuple[list[object], Sequence[str]]:
        writer = GroupWriter(book.write, name="test")
        first = asyncio.create_task(writer.put("under way"))
        await asyncio.to_thread(book.started.wait, WAIT_S)
        second = asyncio.create_task(writer.put("waiting"))
        await asyncio.sleep(0)
        doubtful = writer.give_up()
        results = await asyncio.gather(first, second, return_exceptions=True)
        book.go.set()
        await writer.put("later")
        assert writer.give_up() == ()
        await asyncio.to_thread(writer.close)
        return results, doubtful

    results, doubtful = asyncio.run(run())
    assert [type(result) for result in results] == [LedgerUnavailableError] * 2
    assert doubtful == ("under way",)
    assert book.groups == [["under way"], ["later"]]
