"""Where the images of a command go, settled before anything is bought."""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from imagegate.client.results import ImageData
from imagegate.errors import BadRequestError

DEFAULT_STEM = "image"
FORMATS = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".gif": "gif",
    ".svg": "svg",
}


class Destination:
    """The folder and name of the images. Without a path of one's own no file is overwritten.

    Raises `BadRequestError` where the folder is not there, cannot be written to, or where the
    path's suffix is no image format or contradicts `output_format`.
    """

    def __init__(self, output: Path | None, output_format: str | None) -> None:
        self._is_own = output is not None and not output.is_dir()
        folder = output if output is not None and output.is_dir() else None
        self._folder = folder or (output.parent if output else Path())
        self._stem = output.stem if output and self._is_own else DEFAULT_STEM
        self._suffix = output.suffix if output and self._is_own else ""
        self.output_format = output_format or FORMATS.get(self._suffix.lower())
        self._check(output_format)

    def save_all(self, images: list[ImageData]) -> list[Path]:
        """Write the images and return where they are.

        What was paid for is not lost: where the folder fails, the images go to the system's
        temporary folder, and Ctrl-C waits. Raises `OSError` where that fails as well.
        """
        with _uninterrupted():
            return [self._save(image, index) for index, image in enumerate(images)]

    def preview_path(self, suffix: str) -> Path:
        """Return where a preview is shown while the image is in the making: a new file."""
        names = _numbered(f"{self._stem}.preview", suffix)
        return next(self._folder / name for name in names if not (self._folder / name).exists())

    def _save(self, image: ImageData, index: int) -> Path:
        path = self._path(self._folder, image.suffix, index)
        try:
            return image.save(path)
        except OSError:
            return image.save(self._path(Path(tempfile.gettempdir()), image.suffix, index))

    def _path(self, folder: Path, suffix: str, index: int) -> Path:
        asked = FORMATS.get(self._suffix.lower())
        is_adjusted = asked not in (None, FORMATS.get(suffix, asked))
        names = _numbered(self._stem, suffix if is_adjusted else self._suffix or suffix)
        # A name that nobody asked for must not take the place of a file.
        if self._is_own and folder == self._folder and not is_adjusted:
            return folder / [next(names) for _ in range(index + 1)][-1]
        return next(folder / name for name in names if not (folder / name).exists())

    def _check(self, asked: str | None) -> None:
        if not self._folder.is_dir():
            raise BadRequestError(f"there is no folder {str(self._folder)!r}", param="output")
        if not os.access(self._folder, os.W_OK):
            raise BadRequestError(
                f"the folder {str(self._folder)!r} cannot be written to", param="output"
            )
        implied = FORMATS.get(self._suffix.lower())
        if self._suffix and not implied:
            raise BadRequestError(
                f"--output ends in {self._suffix}, which is no image format; use one of "
                f"{', '.join(FORMATS)}, or none",
                param="output",
            )
        if asked and implied and asked != implied:
            raise BadRequestError(
                f"--output ends in {self._suffix} and --output-format is {asked}; "
                "make them agree, or give one of them",
                param="output",
            )


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C off: writing takes milliseconds, and the images are paid for."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _numbered(stem: str, suffix: str) -> Iterator[str]:
    """Yield `image.png`, `image-2.png`, `image-3.png` and so on."""
    yield f"{stem}{suffix}"
    for number in count(2):
        yield f"{stem}-{number}{suffix}"
