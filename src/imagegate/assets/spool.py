"""Files in flight: recycled files for bodies and the journal that says whose they are.

Page allocation is what a body costs, not the copy, so a file is rewritten in place by the next
call. A recycled file holds old bytes beyond its `size`: nothing ever reads past it, and its path
is never handed out.
"""

import asyncio
import fcntl
import os
import shutil
from pathlib import Path

from imagegate import clock
from imagegate.assets.blobs import (
    body_bytes,
    body_chunks,
    head_and_tail,
    part_bytes,
    raw_bytes,
    read_body,
    read_bytes,
    read_chunks,
)
from imagegate.assets.journal import Journal
from imagegate.assets.room import Room
from imagegate.config.settings import AssetSettings

__all__ = [
    "CallSpool",
    "Spool",
    "SpoolFile",
    "body_bytes",
    "body_chunks",
    "head_and_tail",
    "part_bytes",
    "raw_bytes",
    "read_body",
    "read_bytes",
    "read_chunks",
]

MEMORY_BYTES_MAX = 64 * 1024  # up to here no file is made
LOCK = "lock"
COMING, GOING = ".coming-", ".going-"  # before the names of folders that nobody may claim
POOL_FILES_MAX = 64
POOL_FILE_BYTES_MAX = 32 * 1024 * 1024
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class SpoolFile:
    """An open file that grows by `write` and is read by position, never past `size` (bytes)."""

    __slots__ = ("fd", "kept", "name", "path", "size")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.fd = os.open(path, _FLAGS, 0o600)
        self.size = 0
        self.kept = False

    def write(self, data: bytes) -> None:
        """Append `data`. Raises `OSError` where the disk is full."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self.fd, view, self.size)
            self.size += written
            view = view[written:]

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`, never past `size`."""
        return os.pread(self.fd, min(length, self.size - offset), offset)

    def move(self, path: Path) -> None:
        """Give the file another place; it stays open and is not recycled any more."""
        self.path.rename(path)
        self.path = path
        self.kept = True


class Spool:
    """The folder of one process: its lock, its journal, its pool of files."""

    def __init__(self, settings: AssetSettings, *, owner: str = "") -> None:
        self.owner = owner or clock.new_id("run")
        self.root = Path(settings.folder) / "spool"
        self.folder = self.root / self.owner
        # A neighbour may look for folders without an owner at any time: ours comes with its lock.
        coming = self.root / f"{COMING}{self.owner}"
        coming.mkdir(parents=True, mode=0o700)
        (coming / LOCK).touch(mode=0o600)
        self._lock_fd = lock_folder(coming)
        coming.rename(self.folder)
        self.journal = Journal(self.folder)
        self.room = Room(self.root)
        self.has_leftovers = False
        self._pool: list[SpoolFile] = []
        self._in_use: set[SpoolFile] = set()
        self._made = 0

    @property
    def bytes_in_use(self) -> int:
        """How many bytes the files of all calls in flight have together."""
        return sum(file.size for file in self._in_use)

    def open_call(self, call_id: str) -> "CallSpool":
        """Return the spool of one call; its `close` gives the files back."""
        return CallSpool(self, call_id)

    def new_file(self) -> SpoolFile:
        """Return an empty file, recycled where there is one."""
        file = self._pool.pop() if self._pool else self._made_file()
        self._in_use.add(file)
        return file

    def _made_file(self) -> SpoolFile:
        self._made += 1
        return SpoolFile(self.folder / f"body-{self._made:06d}")

    def give_back(self, file: SpoolFile) -> None:
        """Recycle a file, or close it where it was kept or the pool is full."""
        self._in_use.discard(file)
        if file.kept:
            os.close(file.fd)
        elif len(self._pool) >= POOL_FILES_MAX or file.size > POOL_FILE_BYTES_MAX:
            os.close(file.fd)
            file.path.unlink(missing_ok=True)
        else:
            file.size = 0
            self._pool.append(file)

    def close(self) -> None:
        """Close all; the folder goes unless it has leftovers that wait for a recovery."""
        self.journal.close()
        for file in self._pool:
            os.close(file.fd)
        self._pool.clear()
        if not self.has_leftovers:
            remove_folder(self.folder)
        os.close(self._lock_fd)


class CallSpool:
    """The files of one call: inputs and answers. Closed once, by whoever ends the call last."""

    __slots__ = ("_files", "_spool", "call_id", "is_closed")

    def __init__(self, spool: Spool, call_id: str) -> None:
        self._spool = spool
        self._files: list[SpoolFile] = []
        self.call_id = call_id
        self.is_closed = False

    def new_file(self) -> SpoolFile:
        """Return an empty file that belongs to this call."""
        file = self._spool.new_file()
        self._files.append(file)
        return file

    def keep_files(self) -> None:
        """Leave the files where they are when this closes: a recovery needs them."""
        for file in self._files:
            file.kept = True

    async def sync(self) -> None:
        """Force the files and the journal to the device, in a thread."""
        await asyncio.to_thread(self._sync)

    def _sync(self) -> None:
        for file in self._files:
            os.fdatasync(file.fd)
        self._spool.journal.sync()

    def close(self) -> None:
        """Give all files back; further calls do nothing."""
        self.is_closed = True
        while self._files:
            self._spool.give_back(self._files.pop())


def lock_folder(folder: Path) -> int:
    """Take the lock of a process's spool folder and return its descriptor.

    Raises `BlockingIOError` where its owner is alive, `FileNotFoundError` where it is gone.
    """
    path = folder / LOCK
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.stat()  # between the two another process may have taken it and removed the folder
    except OSError:
        os.close(fd)
        raise
    return fd


def remove_folder(folder: Path) -> None:
    """Remove a folder whose lock we hold, in one step for those who look for it."""
    going = folder.with_name(f"{GOING}{folder.name}")
    folder.rename(going)
    shutil.rmtree(going, ignore_errors=True)
