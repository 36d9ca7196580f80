"""Whether a model is past its last day; each surface has dates of its own."""

import datetime
import functools
import tomllib
from fnmatch import fnmatchcase
from importlib import resources
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from imagegate.catalogue.rows import builtin_catalogue

State: TypeAlias = Literal["retired", "current", "unknown"]
# Surface -> provider of the catalogue. Names of Azure's deployments and of relays say nothing.
_CATALOGUE = {
    "openai": "openai",
    "openai_shape": "openai",
    "chatgpt": "openai",
    "gemini": "gemini",
    "vertex": "vertex_ai",
    "bedrock": "bedrock",
    "recraft": "recraft",
}
_PREFIXES = ("models/", "openai/", "google/", "gemini/", "azure/", "bedrock/", "vertex_ai/", "cx/")


class Life(Struct, frozen=True):
    """What is known of a model's life; `shutdown` is the first day without it."""

    state: State = "unknown"
    shutdown: datetime.date | None = None
    successor: str = ""
    source: str = ""


class _Row(Struct, frozen=True, forbid_unknown_fields=True):
    surface: str
    model: str
    shutdown: datetime.date
    source: str
    successor: str = ""


def life_of(surface: str, model: str, today: datetime.date | None) -> Life:
    """Return the life of `model` on `surface`; without a day nothing is called retired."""
    name = plain_name(model)
    known = builtin_catalogue().find(f"{_CATALOGUE.get(surface, '-')}/{name}")
    if known is not None and (known.shutdown or not _dated(surface, name)):
        return _life(known.shutdown, known.successor, known.source, today)
    row = _dated(surface, name)
    return _life(row.shutdown, row.successor, row.source, today) if row else Life()


def _dated(surface: str, name: str) -> "_Row | None":
    rows = (row for row in _calendar() if row.surface == surface)
    return next((row for row in rows if fnmatchcase(name, row.model)), None)


def plain_name(model: str) -> str:
    """Return a model's name as its provider writes it: no prefix, no blanks, lower case."""
    name = model.strip().lower()
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _life(
    shutdown: datetime.date | None, successor: str, source: str, today: datetime.date | None
) -> Life:
    is_over = shutdown is not None and today is not None and shutdown <= today
    return Life("retired" if is_over else "current", shutdown, successor, source)


@functools.cache
def _calendar() -> tuple[_Row, ...]:
    """Return the dates of models that the catalogue has no rows for."""
    text = (resources.files("imagegate.diagnosis") / "calendar.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text)["model"], tuple[_Row, ...])
