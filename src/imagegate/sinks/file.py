"""`file`: events as JSON lines, appended to one file of the operator's."""

from collections.abc import Sequence
from pathlib import Path

from imagegate.aside import Aside
from imagegate.config.sinks import SinkSettings
from imagegate.sinks.webhook import json_lines
from imagegate.telemetry import CallEvent


class LineFile:
    """Appends; opened anew for each batch, so that it may be rotated away."""

    def __init__(self, settings: SinkSettings) -> None:
        self._path = Path(settings.path)
        self._thread = Aside(f"sink {settings.name}")

    async def send(self, events: Sequence[CallEvent]) -> None:
        """Append a batch in a thread: a disk may hang. Raises `OSError`."""
        await self._thread.run(self._append, json_lines(events))

    async def aclose(self) -> None:
        """Nothing stays open."""

    def _append(self, lines: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(lines)
