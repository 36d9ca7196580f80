"""Faults of a configuration: collected with line and path, told all at once."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeAlias

from msgspec import Struct

from imagegate.errors import ConfigError

Path: TypeAlias = tuple[str | int, ...]

FAULTS_TOLD_MAX = 100
_SIMILARITY_MIN = 0.75


class ConfigFault(Struct, frozen=True):
    """One thing that is wrong, and its remedy. Line 0 means the file as a whole."""

    line: int
    path: str
    text: str

    def __str__(self) -> str:
        where = ", ".join(
            part for part in (f"line {self.line}" * bool(self.line), self.path) if part
        )
        return f"{where}: {self.text}" if where else self.text


def path_text(path: Path) -> str:
    """Return `path` as users write it: `model_list[0].litellm_params.model`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def nearest(
    name: str,
    known: frozenset[str] | tuple[str, ...],
    *,
    similarity_min: float = _SIMILARITY_MIN,
) -> str | None:
    """Return the known name that `name` is most likely meant to be, or None."""
    found = get_close_matches(name, sorted(known), n=1, cutoff=similarity_min)
    return found[0] if found else None


class Faults:
    """Collects faults; `source` names the file, `lines` gives the line (from 1) of a path."""

    def __init__(self, source: str = "", lines: Mapping[Path, int] | None = None) -> None:
        self.source = source
        self.lines = lines or {}
        self.found: list[ConfigFault] = []

    def __bool__(self) -> bool:
        return bool(self.found)

    def add(self, path: Path, text: str) -> None:
        """Note that `text` is wrong at `path`; the same fault is noted once."""
        fault = ConfigFault(self.line_of(path), path_text(path), text)
        if fault not in self.found:
            self.found.append(fault)

    def has(self, path: Path, *, below: bool = False) -> bool:
        """Return whether a fault is noted at `path`; with `below` also anywhere under it."""
        text = path_text(path)
        starts = (f"{text}.", f"{text}[")
        return any(
            fault.path == text or (below and fault.path.startswith(starts)) for fault in self.found
        )

    def line_of(self, path: Path) -> int:
        """Return the line of `path`, or of the nearest thing around it; 0 without a file."""
        for length in range(len(path), 0, -1):
            line = self.lines.get(path[:length])
            if line is not None:
                return line
        return 0

    def check(self) -> None:
        """Raise `ConfigError` with all faults in the order of their lines, if there is one."""
        if self.found:
            raise ConfigError(self._message(), param=self.found[0].path or None)

    def _message(self) -> str:
        told = sorted(self.found, key=lambda fault: fault.line)
        count = len(told)
        head = f"{self.source or 'the configuration'} has {count} fault{'s' * (count > 1)}:"
        more = [f"... and {count - FAULTS_TOLD_MAX} more"] if count > FAULTS_TOLD_MAX else []
        return "\n  ".join([head, *map(str, told[:FAULTS_TOLD_MAX]), *more])
