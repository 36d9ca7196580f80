"""What is seen while an image is in the making: a line with the time, and a preview file."""

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from imagegate.cli.destination import Destination
from imagegate.client.results import PartialImageEvent


class LiveProgress:
    """A context manager that shows a live line on a terminal, and nothing elsewhere.

    Its preview file is replaced as a whole with each partial image and is gone at the end.
    """

    def __init__(self, label: str, destination: Destination, *, is_silent: bool) -> None:
        console = Console(stderr=True)
        self._destination = destination
        self._preview: Path | None = None
        self._label = label
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=is_silent or not console.is_terminal,
        )
        self._task = self._progress.add_task(escape(label), total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()
        if self._preview is not None:
            self._preview.unlink(missing_ok=True)

    def show(self, event: PartialImageEvent) -> None:
        """Put a partial image into the preview file. A preview that fails costs no image."""
        path = self._preview or self._destination.preview_path(event.image.suffix)
        with suppress(OSError):
            self._preview = event.image.save(path)
        number = event.partial_image_index + 1
        text = f"{self._label}  preview {number}: {path}"
        self._progress.update(self._task, description=escape(text))
