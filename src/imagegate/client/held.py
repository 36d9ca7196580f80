"""Keeps a call's spool files as long as somebody holds an object that reads from them."""

import threading
import weakref
from collections.abc import Callable
from typing import Protocol

from msgspec import structs

from imagegate.assets.blobs import raw_bytes, read_bytes, read_chunks
from imagegate.client.loop import LoopThread
from imagegate.types import Blob, Encoded


class Releasable(Protocol):
    """A running call, as far as holding its bytes goes."""

    def release(self) -> None:
        """The caller has read all that it wants."""
        ...

    def abandon(self) -> None:
        """The caller left before the end."""
        ...


class _Ending:
    """What happens to the call once nobody holds it; apart from `Held`, so that it can die."""

    def __init__(self, thread: LoopThread, running: Releasable) -> None:
        self.thread = thread
        self.running = running
        self.is_done = False

    def __call__(self) -> None:
        self.thread.post(self.running.release if self.is_done else self.running.abandon)


class Held:
    """The bytes of one call. When the last object that refers to it dies, its files are recycled.

    `detach` copies what is still referred to into memory, so that the bytes outlive the runtime.
    """

    def __init__(self, thread: LoopThread, running: Releasable) -> None:
        self._ending = _Ending(thread, running)
        self._finalizer = weakref.finalize(self, self._ending)
        self._finalizer.atexit = False
        self._slots: weakref.WeakSet[BlobSlot] = weakref.WeakSet()
        self._lock = threading.Lock()

    def done(self) -> None:
        """Note that the call has ended well: its files are released, not abandoned."""
        self._ending.is_done = True

    def slot(self, blob: Blob) -> "BlobSlot":
        """Return a reader of `blob` that keeps this call's files."""
        slot = BlobSlot(self, blob)
        self._slots.add(slot)
        return slot

    def detach(self) -> None:
        """Copy the bytes that someone still holds into memory and let the files go."""
        with self._lock:
            for slot in self._slots:
                slot.load()
        self._finalizer()

    @property
    def lock(self) -> threading.Lock:
        """Held while bytes are read, so that the file cannot go meanwhile."""
        return self._lock


class BlobSlot:
    """One image's bytes: in a spool file, or in memory once its call was detached.

    A pickle or a copy has them in memory, and no `held`.
    """

    def __init__(self, held: Held | None, blob: Blob) -> None:
        self._held = held
        self._lock = held.lock if held else threading.Lock()
        self.blob = blob

    def __reduce__(self) -> tuple[type["BlobSlot"], tuple[None, Blob]]:
        with self._lock:
            return BlobSlot, (None, self._loaded())

    def load(self) -> None:
        """Take the bytes into memory."""
        self.blob = self._loaded()

    def _loaded(self) -> Blob:
        data = read_bytes(self.blob)
        return structs.replace(
            self.blob, source=data, offset=0, length=len(data), encoding="raw", escaped=False
        )

    def raw(self) -> bytes:
        """Return the image file's bytes."""
        with self._lock:
            return read_bytes(self.blob)

    def base64(self) -> str:
        """Return the image file as base64, as it came where it came so."""
        with self._lock:
            return b"".join(read_chunks(Encoded(self.blob))).decode("ascii")

    def size_bytes(self) -> int:
        """Return the length of the image file."""
        with self._lock:
            return raw_bytes(self.blob)

    def copy_to(self, write: Callable[[bytes], object]) -> None:
        """Hand the image file's bytes to `write`, chunk by chunk."""
        with self._lock:
            for chunk in read_chunks(self.blob):
                write(chunk)
