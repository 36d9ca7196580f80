"""Names with one `*`, as `openai/*`, which stands for any text. Pure."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

V = TypeVar("V")

MARK = "*"


def captured(pattern: str, name: str) -> str | None:
    """Return what stands in `name` for the `*` of `pattern`, None where they do not match."""
    head, mark, tail = pattern.partition(MARK)
    is_match = name.startswith(head) and name.endswith(tail) and len(name) >= len(head) + len(tail)
    return name[len(head) : len(name) - len(tail)] if mark and is_match else None


def matches(patterns: Iterable[str], name: str) -> bool:
    """Return whether `name` is one of `patterns`, or is matched by one that has a `*`."""
    return any(one == name or captured(one, name) is not None for one in patterns)


def closest(patterns: Iterable[str], name: str) -> str | None:
    """Return `name` itself or the pattern that leaves least open, None where none matches."""
    found = [one for one in patterns if matches((one,), name)]
    return max(found, key=lambda one: (one == name, len(one)), default=None)


def find(by_pattern: Mapping[str, V], name: str) -> V | None:
    """Return the value of the closest pattern, None where none matches."""
    if name in by_pattern or not by_pattern:
        return by_pattern.get(name)
    pattern = closest(by_pattern, name)
    return None if pattern is None else by_pattern[pattern]
