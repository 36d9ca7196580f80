"""The worker process: it reads jobs from its input, does them, and writes answers to its output.

Untrusted pixels are decoded here and nowhere else, within limits on memory and processor time.
"""

import signal
import sys
from typing import BinaryIO

import msgspec

from imagegate.assets.convert import blur_image, convert_mask, encode_image
from imagegate.assets.draw import UnreadableImageError, draw
from imagegate.assets.transform import (
    BlurRequest,
    Drawing,
    DrawRequest,
    Encoded,
    MaskRequest,
    Refusal,
    WorkerJob,
)

MEMORY_BYTES_MAX = 2 * 1024**3
JOB_CPU_S_MAX = 60
_LENGTH_BYTES = 8


def serve() -> None:
    """Do jobs until the input ends, which it does when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory()
    decoder: msgspec.msgpack.Decoder[WorkerJob] = msgspec.msgpack.Decoder(WorkerJob)
    encoder = msgspec.msgpack.Encoder()
    jobs, answers = sys.stdin.buffer, sys.stdout.buffer
    while head := jobs.read(_LENGTH_BYTES):
        job = jobs.read(int.from_bytes(head, "big"))
        _limit_time()
        _write(answers, encoder.encode(_answer(decoder.decode(job))))


def _answer(job: WorkerJob) -> Drawing | Encoded | Refusal:
    try:
        return _do(job)
    except UnreadableImageError as error:
        return Refusal(str(error), is_input_fault=True)
    except Exception as error:  # the parent tells it; the next job may be fine
        return Refusal(f"it failed: {type(error).__name__}", is_input_fault=False)


def _do(job: WorkerJob) -> Drawing | Encoded:
    if isinstance(job, DrawRequest):
        return draw(job)
    if isinstance(job, MaskRequest):
        return Encoded(convert_mask(job))
    if isinstance(job, BlurRequest):
        return Encoded(blur_image(job))
    return Encoded(encode_image(job))


def _write(answers: BinaryIO, data: bytes) -> None:
    try:
        answers.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)
        answers.flush()
    except BrokenPipeError:
        # The parent left; a flush at exit would print what nobody reads.
        sys.stdout = None
        raise SystemExit from None


if sys.platform == "win32":

    def _limit_memory() -> None:
        """Windows has no such limits."""

    def _limit_time() -> None:
        """Windows has no such limits."""

else:
    import resource

    def _limit_memory() -> None:
        _set(resource.RLIMIT_AS, MEMORY_BYTES_MAX)
        _set(resource.RLIMIT_CORE, 0)

    def _limit_time() -> None:
        """Give the next job its own share: the limit counts from the start of the process."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        _set(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + JOB_CPU_S_MAX)

    def _set(limit: int, soft: int) -> None:
        hard = resource.getrlimit(limit)[1]
        wanted = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
        resource.setrlimit(limit, (wanted, hard))
