"""An attempt's answers in the journal: a line when one begins, a line at its end."""

from collections.abc import Mapping

import msgspec

from imagegate.assets.journal import Done, Head, Journal
from imagegate.assets.spool import SpoolFile


class AnswerLog:
    """Numbers the answers of an attempt and writes them to the journal, if there is one."""

    def __init__(self, journal: Journal | None, attempt_id: str) -> None:
        self.attempt_id = attempt_id
        self._journal = journal
        self._number = 0

    def append(self, record: Head | Done) -> None:
        """Write a line, if there is a journal."""
        if self._journal is not None:
            self._journal.append(record)

    def write(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Write the line of an answer whose whole body is there already."""
        self._number += 1
        self.append(Head(self.attempt_id, self._number, status, headers, body=body))

    def begin(self, status: int, headers: Mapping[str, str]) -> "LoggedHead":
        """Return the line of the next answer; it is written with what is known of its body."""
        self._number += 1
        return LoggedHead(self, Head(self.attempt_id, self._number, status, headers))


class LoggedHead:
    """One answer in the journal: its head with a file's name, then its end, or both at once."""

    def __init__(self, log: AnswerLog, head: Head) -> None:
        self._log = log
        self._head = head

    def in_file(self, file: SpoolFile, *, events: bool = False) -> None:
        """Write that the body goes to `file`."""
        head = msgspec.structs.replace(self._head, file=file.name, events=events)
        self._log.append(head)

    def end(self, data: bytes, file: SpoolFile | None) -> None:
        """Write that the body is whole: its size in `file`, or the small body itself."""
        if file is None:
            self._log.append(msgspec.structs.replace(self._head, body=data))
        else:
            self._log.append(Done(self._log.attempt_id, self._head.number, file.size))
