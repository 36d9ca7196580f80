"""Spool files are recycled within a process, and read back by the next one after it died."""

from pathlib import Path

import pytest

from imagegate.assets.journal import SEGMENT_BYTES, Done, Head, Opened
from imagegate.assets.leftovers import Leftovers
from imagegate.assets.spool import CallSpool, Spool, lock_folder
from imagegate.config.settings import AssetSettings
from imagegate.types import ImageCall
from imagegate.wire.provider import Target


def opened(attempt: str) -> Opened:
    call = ImageCall(id="call_1", operation="generate", model="m", prompt="p", extra={"seed": 7})
    return Opened(attempt, "openai", "openai/gpt-image-2", call, Target("https://u.example", "m"))


def head(attempt: str, *, file: str = "", body: bytes | None = None) -> Head:
    return Head(attempt, 1, 200, {"x-request-id": "req_1"}, file=file, body=body)


@pytest.fixture
def folder(tmp_path: Path) -> AssetSettings:
    return AssetSettings(folder=str(tmp_path))


def die(spool: Spool) -> None:
    """End a process's hold on its folder as its death does: descriptors close, files stay."""
    spool.has_leftovers = True
    spool.close()


def test_a_file_is_used_again_by_the_next_call(folder: AssetSettings) -> None:
    spool = Spool(folder)
    first: CallSpool = spool.open_call("call_1")
    name = first.new_file().name
    first.close()
    again = spool.open_call("call_2").new_file()
    assert (again.name, again.size) == (name, 0)


def test_a_closed_spool_leaves_nothing(folder: AssetSettings, tmp_path: Path) -> None:
    spool = Spool(folder)
    spool.open_call("call_1").new_file().write(b"x")
    spool.close()
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_complete_answer_is_found_again(folder: AssetSettings) -> None:
    spool = Spool(folder)
    file = spool.open_call("call_1").new_file()
    spool.journal.append(opened("att_1"))
    spool.journal.append(head("att_1", file=file.name))
    file.write(b"body")
    spool.journal.append(Done("att_1", 1, file.size))
    spool.journal.append(opened("att_2"))
    spool.journal.append(head("att_2", body=b"small"))
    die(spool)
    logs = Leftovers(spool.root, own="run_next").logs
    [(found, path, size)] = logs["att_1"].answers()
    assert path is not None
    assert (path.read_bytes()[:size], found.headers["x-request-id"]) == (b"body", "req_1")
    assert logs["att_1"].opened == opened("att_1")
    assert logs["att_2"].answers()[0][0].body == b"small"


def test_an_unfinished_answer_is_a_fragment(folder: AssetSettings) -> None:
    spool = Spool(folder)
    spool.journal.append(opened("att_1"))
    spool.journal.append(head("att_1", file="body-000001"))
    die(spool)
    log = Leftovers(spool.root, own="run_next").logs["att_1"]
    assert log.answers() == []
    assert [path.name for path in log.fragments()] == ["body-000001"]


def test_a_recycled_file_belongs_to_the_attempt_that_named_it_last(folder: AssetSettings) -> None:
    spool = Spool(folder)
    for attempt in ("att_1", "att_2"):
        spool.journal.append(opened(attempt))
        spool.journal.append(head(attempt, file="body-000001"))
        spool.journal.append(Done(attempt, 1, 4))
    die(spool)
    logs = Leftovers(spool.root, own="run_next").logs
    assert logs["att_1"].answers() == []
    assert len(logs["att_2"].answers()) == 1


def test_a_torn_record_ends_the_journal_without_an_error(
    folder: AssetSettings, tmp_path: Path
) -> None:
    spool = Spool(folder)
    spool.journal.append(opened("att_1"))
    spool.journal.append(head("att_1", body=b"whole"))
    die(spool)
    [journal] = spool.folder.glob("journal-*")
    journal.write_bytes(journal.read_bytes()[:-3])
    log = Leftovers(spool.root, own="run_next").logs["att_1"]
    assert log.answers() == []


def test_a_living_process_is_left_alone(folder: AssetSettings) -> None:
    alive = Spool(folder)
    alive.journal.append(opened("att_1"))
    leftovers = Leftovers(alive.root, own="run_next")
    leftovers.remove()
    assert leftovers.logs == {}
    assert alive.folder.exists()
    with pytest.raises(BlockingIOError):
        lock_folder(alive.folder)


def test_a_segment_goes_with_its_last_open_attempt(folder: AssetSettings) -> None:
    spool = Spool(folder)
    spool.journal.append(opened("att_1"))
    spool.journal.append(head("att_1", body=b"x" * SEGMENT_BYTES))
    spool.journal.append(opened("att_2"))
    names = sorted(path.name for path in spool.folder.glob("journal-*"))
    assert names == ["journal-000001", "journal-000002"]
    spool.journal.end("att_1")
    assert [path.name for path in spool.folder.glob("journal-*")] == ["journal-000002"]


def test_a_folder_that_comes_or_goes_is_claimed_by_nobody(folder: AssetSettings) -> None:
    spool = Spool(folder)
    coming, going = spool.root / ".coming-run_b", spool.root / ".going-run_c"
    for path in (coming, going):
        path.mkdir()
        (path / "lock").touch()
    assert Leftovers(spool.root, own=spool.owner).owners == set()
    assert coming.exists(), "its process is about to lock it"
    assert not going.exists(), "its process died while it removed it"


def test_what_is_taken_over_is_taken_once(folder: AssetSettings) -> None:
    spool = Spool(folder)
    spool.journal.append(opened("att_1"))
    die(spool)
    first = Leftovers(spool.root, own="run_next")
    assert first.owners == {spool.owner}
    assert Leftovers(spool.root, own="run_other").owners == set()
    first.remove()
    assert Leftovers(spool.root, own="run_other").owners == set()
    assert list(spool.root.iterdir()) == []
