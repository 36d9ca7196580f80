"""TOML -> rows. The files in `models/` and an operator's overlays are read by the same code.

A row may say `like = "provider/name"`: it then has that row's facts, except its own life and
provenance, and changes only what it names. A row that is like itself amends a known one.
"""

import difflib
import functools
import tomllib
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from importlib import resources

import msgspec

from imagegate.catalogue.model import FREE, TOKEN_RATES, Catalogue, Model, Price
from imagegate.errors import ConfigError
from imagegate.types import Json

FIRST_FILE = "openai.toml"
"""Read before the others, which follow by name: their rows may be like its rows."""

OWN_FACTS = (
    "id",
    "released",
    "shutdown",
    "successor",
    "source",
    "checked",
    "notes",
    "snapshots",
    "snapshot_of",
)
"""What a row never takes over from another one."""

E10_PER_TOKEN = 10_000
"""1 USD per million tokens is 1e-6 USD a token, which is 10,000 times 1e-10 USD."""

E10_PER_USD = 10**10
TABLE_KEYS = ("images", "batch")
FLAG_KEY = "reported"
_PRICE_KEYS = tuple(
    name.removesuffix("_e10") for name in Price.__struct_fields__ if name != "is_own"
)
_MODEL_KEYS = ("like", *(name for name in Model.__struct_fields__ if name != "snapshot_of"))


@functools.cache
def builtin_catalogue() -> Catalogue:
    """Return the catalogue that comes with this package, read once."""
    catalogue = Catalogue()
    folder = resources.files("imagegate.catalogue") / "models"
    names = {file.name for file in folder.iterdir() if file.name.endswith(".toml")}
    for name in (FIRST_FILE, *sorted(names - {FIRST_FILE})):
        catalogue = read_rows((folder / name).read_text("utf-8"), name, catalogue)
    return catalogue


def read_rows(text: str, name: str, catalogue: Catalogue) -> Catalogue:
    """Return `catalogue` overlaid with the rows of the TOML `text`, which came from file `name`.

    Raises `ConfigError` that names the file, the row, the key and the remedy.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: this is no valid TOML: {error}") from error
    _refuse_unknown(document, ("model",), f"{name}: at the top")
    for row in document.get("model", ()):
        catalogue = catalogue.overlay([_model(row, name, catalogue)])
    return catalogue


def _model(row: dict[str, Json], name: str, catalogue: Catalogue) -> Model:
    where = f"{name}: model {row.get('id', '?')!r}"
    _refuse_unknown(row, _MODEL_KEYS, where)
    given = {key: value for key, value in row.items() if key != "like"}
    if "price" in given:
        given["price"] = _price(given["price"], where)
    try:
        return msgspec.convert(_inherited(row, where, catalogue) | given, Model)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from error


def _inherited(row: Mapping[str, Json], where: str, catalogue: Catalogue) -> dict[str, Json]:
    like = row.get("like")
    if like is None:
        return {}
    parent = catalogue.find(str(like))
    if parent is None:
        raise ConfigError(f"{where}: like = {like!r} names no model that is known by then")
    left_out = () if parent.id == row.get("id") else OWN_FACTS
    facts: dict[str, Json] = msgspec.structs.asdict(parent)
    return {key: value for key, value in facts.items() if key not in left_out}


def _price(table: Json, where: str) -> Price:
    if table == "free":
        return FREE
    if not isinstance(table, dict):
        raise ConfigError(f'{where}: price is a table of USD amounts as strings, or "free"')
    _refuse_unknown(table, _PRICE_KEYS, f"{where}: price")
    return Price(**dict(_rate(key, value, where) for key, value in table.items()))


def _rate(key: str, value: Json, where: str) -> tuple[str, Json]:
    """Return the field of `Price` that `key` fills in, and its value."""
    if key == FLAG_KEY:
        if not isinstance(value, bool):
            raise ConfigError(f"{where}: price.{key} is true or false, not {value!r}")
        return key, value
    if key not in TABLE_KEYS:
        return f"{key}_e10", _rate_e10(value, where, key)
    if not isinstance(value, dict):
        raise ConfigError(f'{where}: price.{key} is a table such as {{"1K" = "0.04"}}')
    if key == "batch":
        rates = tuple(name.removesuffix("_e10") for name in TOKEN_RATES)
        _refuse_unknown(value, rates, f"{where}: price.batch")
        return f"{key}_e10", {name: _rate_e10(usd, where, name) for name, usd in value.items()}
    return f"{key}_e10", {name: _rate_e10(usd, where, key) for name, usd in value.items()}


def _rate_e10(usd: Json, where: str, key: str) -> int:
    is_token = f"{key}_e10" in TOKEN_RATES
    unit, factor = ("USD per million tokens", E10_PER_TOKEN) if is_token else ("USD", E10_PER_USD)
    problem = f'{where}: price.{key} must be a string like "5.00" ({unit})'
    try:
        rate = Decimal(usd) * factor if isinstance(usd, str) else Decimal(-1)
    except InvalidOperation as error:
        raise ConfigError(f"{problem}, not {usd!r}") from error
    if not rate.is_finite() or rate < 0 or rate != rate.to_integral_value():
        decimals = len(str(factor)) - 1
        raise ConfigError(f"{problem} with at most {decimals} decimals, not {usd!r}")
    return int(rate)


def _refuse_unknown(table: Mapping[str, Json], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key in known:
            continue
        near = difflib.get_close_matches(key, known, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        raise ConfigError(f"{where}: unknown key {key!r}; {remedy}")
