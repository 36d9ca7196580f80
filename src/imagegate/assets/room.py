"""Whether the disk has room for what calls bring. It is looked at by the clock, never by a call."""

import logging
import math
import shutil
from pathlib import Path

from imagegate import telemetry
from imagegate.errors import ImageError, OverloadedError

ANSWER_BYTES = 8 * 1024 * 1024
"""What a call is taken to bring: a large picture, as base64."""
RETRY_S = 30.0

log = logging.getLogger(telemetry.LOGGER)


class Room:
    """The room of one folder's disk, as it was at the last `look` and less what began since."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._calls_left = math.inf
        self.free_bytes = 0

    @property
    def is_low(self) -> bool:
        """Whether nothing more may be bought."""
        return self._calls_left < 1

    def look(self, free_bytes_min: int, running_count: int) -> None:
        """Ask the disk (blocking); `running_count` calls have yet to bring something."""
        was_low = self.is_low
        try:
            self.free_bytes = shutil.disk_usage(self._folder).free
        except OSError:  # it was unmounted or removed: nothing can be kept there
            self.free_bytes = 0
        self._calls_left = (self.free_bytes - free_bytes_min) // ANSWER_BYTES - running_count
        if was_low != self.is_low:
            told = {"folder": str(self._folder), "free_bytes": self.free_bytes}
            log.warning(telemetry.DISK_LOW if self.is_low else telemetry.DISK_ROOM, extra=told)

    def take(self) -> None:
        """Take the room of one call. Raises `OverloadedError` where there is none."""
        if self._calls_left < 1:
            raise _low()
        self._calls_left -= 1


def _low() -> ImageError:
    error: ImageError = OverloadedError(
        "The gateway's disk has too little room left to keep an image (assets.free_bytes_min), so "
        "none was bought. Its operator has to make room; what is kept is still delivered.",
        code="disk_low",
        retry_after_s=RETRY_S,
    )
    error.owner = "operator"
    return error
