"""Pixels are touched in a worker process only: this is the side that asks.

It draws (the sandbox), converts masks, and re-encodes finished images where a format was asked for
that the provider lacks.

The worker is a child of ours that speaks length-prefixed MessagePack over its pipes (`worker.py`).
It is not made by `multiprocessing`: that would run a caller's script again and reads pickles. It
has a session of its own, so Ctrl-C does not reach it, and it ends when its input closes, so it
never outlives its parent.
"""

import asyncio
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Literal, TypeAlias

import msgspec
from msgspec import Struct

MESSAGE_BYTES_MAX = 1024**3
CLOSE_S_MAX = 2.0

_LENGTH_BYTES = 8
_START = "from imagegate.assets.worker import serve; serve()"


class DrawRequest(Struct, frozen=True, kw_only=True, tag="draw"):
    """One picture for the sandbox to draw.

    Width and height are in px, 0 for automatic. `index` counts from 0 to `count` - 1 and makes
    the pictures of one call differ. `images` and `mask` are whole files. `compression` is 0 to
    100. `background` is `transparent`, `opaque` or `auto`.
    """

    prompt: str
    model: str
    width_px: int = 0
    height_px: int = 0
    quality: str = "auto"
    background: str = "auto"
    output_format: str = "png"
    compression: int = 100
    index: int = 0
    count: int = 1
    partial_count: int = 0
    frame_count: int = 9
    frame_duration_ms: int = 200
    images: tuple[bytes, ...] = ()
    mask: bytes | None = None


class Stored(Struct, frozen=True):
    """A file for the worker to read: a range of one on disk, or `data` as it is.

    `is_base64`: it is stored as base64, `is_escaped`: with JSON escapes in it.
    """

    path: str = ""
    offset: int = 0
    length: int = 0
    is_base64: bool = False
    is_escaped: bool = False
    data: bytes = b""


class MaskRequest(Struct, frozen=True, tag="mask"):
    """A mask to convert: the alpha of `file` becomes a grey PNG whose `edit` part is edited.

    `is_derived`: the file is the image itself, whose clear part is edited, if it has one.
    """

    file: Stored
    edit: Literal["white", "black"]
    is_derived: bool = False


class EncodeRequest(Struct, frozen=True, tag="encode"):
    """An image to write as png, jpeg or webp; `compression` is 0 to 100."""

    file: Stored
    output_format: str
    compression: int


class BlurRequest(Struct, frozen=True, tag="blur"):
    """An image to write as png, blurred until nothing in it can be made out."""

    file: Stored


class Encoded(Struct, frozen=True, tag="encoded"):
    """A finished file; empty where a mask was to be derived and nothing would be edited."""

    data: bytes


class Drawing(Struct, frozen=True, tag="drawing"):
    """A finished picture as an encoded file, and its drafts from rough to fine."""

    image: bytes
    partials: tuple[bytes, ...]
    width_px: int
    height_px: int
    is_transparent: bool


class Refusal(Struct, frozen=True, tag="refusal"):
    """The worker could not do it; `is_input_fault` says that an input file was the reason."""

    message: str
    is_input_fault: bool


WorkerJob: TypeAlias = DrawRequest | MaskRequest | EncodeRequest | BlurRequest
WorkerAnswer: TypeAlias = Drawing | Encoded | Refusal
_ANSWERS: msgspec.msgpack.Decoder[WorkerAnswer] = msgspec.msgpack.Decoder(WorkerAnswer)


class InputImageError(Exception):
    """An input file is no image that the worker reads; the message says why."""


class WorkerError(Exception):
    """The worker failed or died: out of memory, out of time, or a defect. It starts anew."""


class Worker:
    """A process that draws, one job at a time; it starts with the first job.

    A job that takes more memory or time than `worker.py` allows ends the process, and only that
    job fails. Call `aclose` when done.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="imagegate-worker")
        self._process: subprocess.Popen[bytes] | None = None
        self._is_closed = False

    async def draw(self, request: DrawRequest) -> Drawing:
        """Return the picture. Raises `InputImageError`, or `WorkerError` when the worker failed."""
        answer = await self._ask(request)
        assert isinstance(answer, Drawing)
        return answer

    async def convert(self, request: MaskRequest | EncodeRequest | BlurRequest) -> bytes:
        """Return the finished file, `b""` where there is nothing to make. Raises as `draw` does."""
        answer = await self._ask(request)
        assert isinstance(answer, Encoded)
        return answer.data

    async def _ask(self, request: WorkerJob) -> Drawing | Encoded:
        if self._is_closed:
            raise WorkerError("the image worker is closed")
        loop = asyncio.get_running_loop()
        job = msgspec.msgpack.encode(request)
        answer = await loop.run_in_executor(self._thread, self._run, job)
        if isinstance(answer, Refusal):
            raise (InputImageError if answer.is_input_fault else WorkerError)(answer.message)
        return answer

    async def aclose(self) -> None:
        """End the process, running job included. Closing again does nothing."""
        self._is_closed = True
        if self._process is not None:
            self._process.kill()
        await asyncio.to_thread(self._thread.shutdown, wait=True, cancel_futures=True)
        self._discard()

    def _run(self, job: bytes) -> WorkerAnswer:
        """Do one job, on the worker's thread."""
        if self._is_closed:
            raise WorkerError("the image worker is closed")
        process = self._process = self._process or _start()
        try:
            return _exchange(process, job)
        except (OSError, EOFError, msgspec.MsgspecError) as error:
            self._discard()
            raise WorkerError(
                "the image worker ended in the middle of a job: it ran out of memory or time"
            ) from error

    def _discard(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait(CLOSE_S_MAX)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                _close(pipe)


def _start() -> subprocess.Popen[bytes]:
    # An environment of its own: no credential of ours may be where untrusted pixels are decoded.
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(  # noqa: S603 - our own interpreter, fixed arguments
        [sys.executable, "-P", "-c", _START],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )


def _exchange(process: subprocess.Popen[bytes], job: bytes) -> WorkerAnswer:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(len(job).to_bytes(_LENGTH_BYTES, "big"))
    process.stdin.write(job)
    process.stdin.flush()
    length = int.from_bytes(_read(process.stdout, _LENGTH_BYTES), "big")
    if length > MESSAGE_BYTES_MAX:
        raise EOFError
    return _ANSWERS.decode(_read(process.stdout, length))


def _read(pipe: IO[bytes], length: int) -> bytes:
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError
    return data


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        return  # closing flushes what the dead worker will not read
