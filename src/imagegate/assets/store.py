"""Kept images in a folder. Keeping a spool file is a rename: asset = (file, range, encoding)."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from imagegate import clock
from imagegate.assets.blobs import read_chunks
from imagegate.assets.bucket import Bucket, ObjectGoneError
from imagegate.assets.spool import SpoolFile
from imagegate.config.settings import AssetSettings
from imagegate.types import Blob

HELD = "held/"
"""The folder of images that a guardrail holds: kept, and out of reach of every route."""
COPY_BYTES = 256 * 1024


class KeptFile:
    """A kept file that is open for reading by position: descriptor `fd` is its own. Close it."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`."""
        return os.pread(self._fd, length, offset)

    def close(self) -> None:
        """Let go of the file; closing again does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class AssetStore:
    """The folder of kept images; file names are made by us and are relative to it.

    With a `bucket` images move there, and are read back through an unnamed file in the folder.
    """

    def __init__(self, settings: AssetSettings) -> None:
        self.root = Path(settings.folder) / "images"
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._evidence = Path(settings.folder) / "evidence"
        self._made: set[str] = set()
        self.bucket = Bucket(settings.bucket, self.root) if settings.bucket else None

    def keep_file(self, file: SpoolFile, name: str, *, is_held: bool = False) -> str:
        """Move a spool file into the store as `name`; return its relative path."""
        relative = self._place(name, is_held=is_held)
        os.truncate(file.path, file.size)  # a recycled file is longer than what is in it
        file.move(self.root / relative)
        return relative

    def keep_bytes(self, data: bytes, name: str, *, is_held: bool = False) -> str:
        """Write a small body into the store as `name`; return its relative path."""
        relative = self._place(name, is_held=is_held)
        (self.root / relative).write_bytes(data)
        return relative

    def open_kept(self, name: str, *, may_be_held: bool = False) -> KeptFile:
        """Return the kept file `name`, a relative path of ours; raises `OSError` if it is gone.

        What a guardrail holds is gone for everyone: whichever route asks, it comes by here. Only
        an admin who reviews it says otherwise, and its move to the bucket.
        """
        if name.startswith(HELD) and not may_be_held:
            raise FileNotFoundError(name)
        return KeptFile(os.open(self.root / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW))

    async def fetch_kept(self, key: str, sha256: str) -> tuple[KeptFile, int]:
        """Return an image of the bucket in a file of its own, and its length in bytes.

        Raises `BucketError`: `ObjectGoneError` where it is not there, or is not what was put there.
        """
        if self.bucket is None:
            raise ObjectGoneError(f"{key} is in a bucket, and assets.bucket names none")
        with tempfile.TemporaryFile(dir=self.root) as file:
            if await self.bucket.fetch(key, file.write) != sha256:
                raise ObjectGoneError(f"{key} has other bytes than it was given")
            file.flush()
            return KeptFile(os.dup(file.fileno())), file.tell()

    def copy_out(self, blob: Blob) -> str:
        """Write the raw bytes of a held image to a file that is not held; return its relative path.

        Blocks. Raises `OSError`. The file may hold other images, of which nothing is said.
        """
        relative = self._place(clock.new_id("file"))
        try:
            with (self.root / relative).open("wb") as copy:
                copy.writelines(read_chunks(blob))
        except OSError:
            (self.root / relative).unlink(missing_ok=True)
            raise
        return relative

    def take_back(self, name: str, path: Path) -> None:
        """Move a kept file back to the spool, where its process died before its row was written."""
        for is_held in (False, True):
            kept = self.root / self._place(name, is_held=is_held)
            if not path.exists() and kept.exists():
                kept.rename(path)

    def keep_evidence(self, file: SpoolFile | Path, name: str) -> None:
        """Move an answer that was no use to where `remove_evidence` finds it when it is old."""
        self._evidence.mkdir(exist_ok=True, mode=0o700)
        if isinstance(file, SpoolFile):
            os.truncate(file.path, file.size)
            file.move(self._evidence / name)
        elif file.exists():
            file.rename(self._evidence / name)

    def remove_evidence(self, *, before_s: float) -> None:
        """Delete evidence that was written before `before_s` (unix seconds)."""
        for path in self._evidence.glob("*"):
            if path.stat().st_mtime < before_s:
                path.unlink(missing_ok=True)

    def remove(self, names: Iterable[str]) -> None:
        """Delete kept files; those that are gone already are no error."""
        for name in names:
            (self.root / name).unlink(missing_ok=True)

    def _place(self, name: str, *, is_held: bool = False) -> str:
        folder = f"{HELD * is_held}{name[-2:]}"  # ids end in chance, so folders fill evenly
        if folder not in self._made:
            (self.root / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
            self._made.add(folder)
        return f"{folder}/{name}"
