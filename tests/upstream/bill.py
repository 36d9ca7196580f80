"""The bill: what arrived, what was answered and what it would have cost."""

import hashlib
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import Any

BODY_KEPT_BYTES_MAX = 1024 * 1024


@dataclass
class FilePart:
    """One file of a form."""

    name: str
    filename: str
    content_type: str
    size: int
    sha256: str


@dataclass
class Record:
    """One request. Times are nanoseconds of CLOCK_MONOTONIC, the same in each process.

    `finished_ns` is the moment when the last byte of the answer was handed to the kernel, 0 until
    then. `billed` says that a real upstream would charge, `images_billed` for how many images;
    `answered_sha256` are the hashes of the image files that were (to be) sent. `body` is kept up
    to 1 MiB and only in this process.
    """

    number: int
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""
    body_bytes: int = 0
    body_sha256: str = ""
    json: Any = None
    form: list[tuple[str, str]] = field(default_factory=list)
    files: list[FilePart] = field(default_factory=list)
    mode: str = ""
    status: int = 0
    billed: bool = False
    images_billed: int = 0
    answered_sha256: list[str] = field(default_factory=list)
    received_ns: int = 0
    sent_bytes: int = 0
    finished: bool = False
    finished_ns: int = 0
    left: bool = False

    def keep_body(self, body: bytes) -> None:
        """Note length, hash and, where it is short, the body itself."""
        self.body_bytes = len(body)
        self.body_sha256 = hashlib.sha256(body).hexdigest()
        self.body = body if len(body) <= BODY_KEPT_BYTES_MAX else b""
        self.received_ns = time.monotonic_ns()

    def field_of(self, name: str) -> Any:
        """Return a field of the JSON body or of the form, None where it is absent."""
        if isinstance(self.json, dict):
            return self.json.get(name)
        return dict(self.form).get(name)

    def as_json(self) -> dict[str, Any]:
        """Return everything but the body."""
        return {name: value for name, value in asdict(self).items() if name != "body"}


class Bill:
    """All records since the last reset; safe to read from another thread."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._numbered = 0
        self.changed = threading.Condition()

    def open_record(
        self, method: str, path: str, query: dict[str, str], headers: dict[str, str]
    ) -> Record:
        """Return the record of a request whose head has arrived; it is not on the bill yet."""
        self._numbered += 1
        return Record(self._numbered, method, path, query, headers)

    def add(self, record: Record) -> None:
        """Put a request on the bill that has arrived whole."""
        with self.changed:
            self._records.append(record)
            self.changed.notify_all()

    def finish(self, record: Record) -> None:
        """Note that the last byte of the answer is with the kernel."""
        with self.changed:
            record.finished = True
            record.finished_ns = time.monotonic_ns()
            self.changed.notify_all()

    def records(self) -> list[Record]:
        """Return the records in order of arrival."""
        with self.changed:
            return list(self._records)

    def reset(self) -> None:
        """Forget all records."""
        with self.changed:
            self._records.clear()
