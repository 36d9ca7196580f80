"""What processes that are gone left in the spool: their journals and files, read back."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from imagegate.assets.journal import Done, Ended, Head, Opened, Record, read_records
from imagegate.assets.spool import COMING, GOING, SpoolFile, lock_folder, remove_folder


class AttemptLog:
    """One attempt in a journal that had not ended: what was sent out, and what came back."""

    def __init__(self, folder: Path, opened: Opened) -> None:
        self.folder = folder
        self.opened = opened
        self.heads: dict[int, Head] = {}
        self.sizes: dict[int, int] = {}

    @property
    def last_headers(self) -> Mapping[str, str]:
        """The headers of the last answer that began."""
        return self.heads[max(self.heads)].headers if self.heads else {}

    def answers(self) -> list[tuple[Head, Path | None, int]]:
        """Return the complete answers in order: head, file (None: in the head) and its bytes."""
        found: list[tuple[Head, Path | None, int]] = []
        for number, head in sorted(self.heads.items()):
            if not head.file:
                found.append((head, None, 0))
            elif number in self.sizes:
                found.append((head, self.folder / head.file, self.sizes[number]))
        return found

    def fragments(self) -> list[Path]:
        """Return the files of answers that never ended: evidence."""
        cut = [head for number, head in self.heads.items() if number not in self.sizes]
        return [self.folder / head.file for head in cut if head.file]


class Leftovers:
    """The folders of processes that are gone, claimed by their locks."""

    def __init__(self, root: Path, *, own: str) -> None:
        self.logs: dict[str, AttemptLog] = {}
        self.owners: set[str] = set()
        self._claimed: dict[Path, int] = {}
        for folder in sorted(path for path in root.glob("*") if path.is_dir()):
            if folder.name.startswith(GOING):
                shutil.rmtree(folder, ignore_errors=True)  # whoever removed it died over it
            elif folder.name != own and not folder.name.startswith(COMING):
                self._claim(folder)

    def _claim(self, folder: Path) -> None:
        try:
            self._claimed[folder] = lock_folder(folder)
        except (BlockingIOError, FileNotFoundError):
            return  # its process is alive, or another one has just taken it over
        self.owners.add(folder.name)
        owners: dict[str, Head] = {}
        for record in read_records(folder):
            self._read(folder, record, owners)

    def _read(self, folder: Path, record: Record, owners: dict[str, Head]) -> None:
        if isinstance(record, Opened):
            self.logs[record.attempt] = AttemptLog(folder, record)
            return
        if isinstance(record, Ended):
            self.logs.pop(record.attempt, None)
            return
        log = self.logs.get(record.attempt)
        if log is None:
            return
        if isinstance(record, Done):
            log.sizes[record.number] = record.size
            return
        log.heads[record.number] = record
        if record.file:
            self._forget_former(owners.get(record.file))
            owners[record.file] = record

    def _forget_former(self, former: Head | None) -> None:
        # The file was recycled: its bytes are the later attempt's.
        if former is not None and former.attempt in self.logs:
            self.logs[former.attempt].heads.pop(former.number, None)

    def remove(self) -> None:
        """Delete the folders, once everything in them that matters was moved away."""
        for folder, lock_fd in self._claimed.items():
            remove_folder(folder)
            os.close(lock_fd)
        self._claimed.clear()


def open_leftover(path: Path, size: int) -> SpoolFile:
    """Return a file of a process that is gone, bound to its `size` in bytes."""
    file = SpoolFile(path)
    file.size = size
    return file
