"""The recorded failures: what people paste, and whose each is."""

import datetime
import tomllib
from pathlib import Path

import msgspec

from imagegate.diagnosis.explain import explain
from imagegate.diagnosis.paste import parse_paste
from imagegate.errors import Finding

FOLDER = Path(__file__).parent / "fixtures"
TODAY = datetime.date(2026, 11, 20)


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One failure. `message` is the part of `text` that holds the error's own words."""

    row: int | str
    owner: str
    exit_code: int
    message: str
    text: str
    confidence: str = ""

    def __str__(self) -> str:
        return str(self.row)


def rows(name: str) -> list[Row]:
    """Return the failures of one file."""
    return msgspec.convert(_load(name)["row"], list[Row])


def undecidable() -> list[str]:
    """Return texts that tell nobody enough."""
    return msgspec.convert(_load("undecided")["texts"], list[str])


def explain_text(text: str) -> Finding:
    """Return the finding on a pasted text, as of 2026-11-20."""
    return explain(parse_paste(text, TODAY))


def _load(name: str) -> dict[str, object]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))
