"""Groups, their failures, and a writer that dies; `write` is a function that the test scripts."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from imagegate.ledger.pace import Pace
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


class QuickBook(Book):
    """A book that can also be written at once, and knows which thread did it."""

    def __init__(self) -> None:
        super().__init__()
        self.go.set()
        self.threads: list[str] = []

    def write(self, group: Sequence[str]) -> Sequence[LedgerError | None]:
        self.threads.append(threading.current_thread().name)
        return super().write(group)

    def at_once(self, group: Sequence[str]) -> Sequence[LedgerError | None]:
        if {"wait", "die"} & {*group}:
            raise BlockingIOError
        return self.write(group)


class Fast(Pace):
    """A pace at which the first few writes may go at once, and no other."""

    def __init__(self, count: int) -> None:
        self._left = count

    def is_slow(self, now_s: float) -> bool:
        self._left -= 1
        return self._left >= 0


def put_all(
    book: QuickBook, *turns: Sequence[str], note: str = "", pace: Pace | None = None
) -> list[object]:
    """Write the items of each turn together, one turn after the other; then one too late."""

    async def run() -> list[object]:
        writer = GroupWriter(book.write, name="writer", write_at_once=book.at_once, pace=pace)
        if note:
            writer.note(note)
        results: list[object] = []
        async with asyncio.timeout(WAIT_S):
            for items in turns:
                puts = [writer.put(item) for item in items]
                results += await asyncio.gather(*puts, return_exceptions=True)
        await asyncio.to_thread(writer.close)
        results += await asyncio.gather(writer.put("late"), return_exceptions=True)
        return results

    return asyncio.run(run())


def test_what_comes_alone_is_written_on_the_thread_that_brings_it():
    book = QuickBook()
    *results, late = put_all(book, ["a"], ["refused"], note="n")
    assert book.groups == [["a", "n"], ["refused"]]
    assert set(book.threads) == {"MainThread"}
    assert [str(result) for result in results] == ["None", "full up"]
    assert isinstance(late, LedgerUnavailableError)


def test_many_at_the_same_moment_are_left_to_the_writer():
    book = QuickBook()
    items = [str(number) for number in range(20)]
    put_all(book, items, pace=Fast(2))
    assert book.groups[:2] == [["0"], ["1"]]
    assert [item for group in book.groups for item in group] == items
    assert book.threads[:3] == ["MainThread", "MainThread", "writer"]
    assert set(book.threads[2:]) == {"writer"}


def test_nothing_is_written_at_once_while_the_writer_writes():
    book = QuickBook()
    book.go.clear()

    async def run() -> None:
        writer = GroupWriter(book.write, name="writer", write_at_once=book.at_once)
        first = asyncio.create_task(writer.put("wait"))
        await asyncio.to_thread(book.started.wait, WAIT_S)
        second = asyncio.create_task(writer.put("a"))
        asyncio.get_running_loop().call_soon(book.go.set)
        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(first, second)
        await asyncio.to_thread(writer.close)

    asyncio.run(run())
    assert book.threads == ["writer", "writer"]


@pytest.mark.parametrize(("item", "error"), [("wait", type(None)), ("bad", ConflictError)])
def test_what_cannot_be_written_at_once_is_left_to_the_writer(item, error):
    book = QuickBook()
    result, _ = put_all(book, [item], note="n")
    assert type(result) is error
    assert "writer" in book.threads
    assert book.groups == ([["wait", "n"]] if item == "wait" else [["n"]])


def test_when_the_writer_died_nothing_is_written_at_once_either():
    book = QuickBook()
    died, later, _ = put_all(book, ["die"], ["b"])
    assert isinstance(died, LedgerUnavailableError)
    assert isinstance(later, LedgerUnavailableError)
    assert book.groups == []


def test_notes_go_by_themselves_where_there_is_nothing_to_go_with():
    book = QuickBook()

    async def run() -> bool:
        writer = GroupWriter(book.write, name="test", note_s=0.0)
        writer.note("n")
        is_written = await asyncio.to_thread(book.started.wait, WAIT_S)
        await asyncio.to_thread(writer.close)
        return is_written

    assert asyncio.run(run())
    assert book.groups == [["n"]]
