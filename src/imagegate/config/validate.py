"""Checks values against the schema; each of pydantic's complaints becomes a fault with its line."""

from collections.abc import Mapping
from typing import TypeVar, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from imagegate.config.faults import Faults, Path, nearest
from imagegate.types import Json, Secret

M = TypeVar("M", bound=BaseModel)


def secret(value: SecretStr | None) -> Secret:
    """Return the credential in our own type; empty where there is none."""
    return Secret(value.get_secret_value() if value else "")


def validate(
    shape: type[M],
    value: Json,
    path: Path,
    faults: Faults,
    unset: Mapping[Path, str],
    renamed: Mapping[str, str] | None = None,
) -> M | None:
    """Return `value` as `shape`. What is wrong in it is noted and left out, so that checks go on.

    None where nothing usable remains.

    `unset` are paths whose variable is missing: that is told elsewhere, and better. `renamed`
    maps names of the schema to those that stand in the file.
    """
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True, include_input=False)
    for detail in details:
        place = _place(detail["loc"], value)
        at = (*path, *((renamed or {}).get(str(part), part) for part in place))
        if at not in unset:
            faults.add(at, _text(detail, shape, place))
        value = _without(value, place)
    try:
        return shape.model_validate(value)
    except ValidationError:
        return None


def _without(value: Json, place: Path) -> Json:
    """Return a copy of `value` without what stands at `place`. In a list the place is kept."""
    if not place:
        return {}
    key, rest = place[0], place[1:]
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return [*value[:key], _without(value[key], rest), *value[key + 1 :]]
    if not isinstance(value, dict) or key not in value:
        return value
    if rest:
        return value | {key: _without(value[key], rest)}
    return {name: item for name, item in value.items() if name != key}


def _place(loc: Path, value: Json) -> Path:
    """Return where in the file pydantic points; its names for the arms of a union are left out."""
    place: Path = ()
    for index, part in enumerate(loc):
        is_there = (isinstance(value, dict) and part in value) or (
            isinstance(value, list) and isinstance(part, int)
        )
        if not is_there and not (index == len(loc) - 1 and isinstance(value, dict)):
            break
        place = (*place, part)
        value = value[part] if is_there else None
    return place


def _text(detail: ErrorDetails, shape: type[BaseModel], place: Path) -> str:
    match detail["type"]:
        case "extra_forbidden":
            return unknown_key(str(place[-1]), _keys(shape, place))
        case "missing":
            return "this key is missing"
        case "string_type":
            return "must be text; put it in quotes"
        case "model_type" | "dict_type" | "model_attributes_type":
            return "must be a mapping (key: value)"
        case "list_type":
            return "must be a list (lines that begin with '-')"
        case "value_error":
            return detail["msg"].removeprefix("Value error, ")
    return detail["msg"].replace("Input should be", "must be")


def _keys(shape: type[BaseModel], place: Path) -> tuple[str, ...]:
    """Return the keys of the section in which the last part of `place` stands."""
    for part in place[:-1]:
        inner = shape.model_fields[str(part)].annotation if part in shape.model_fields else None
        for arm in (inner, *get_args(inner)):  # a section, or a list of them
            if isinstance(arm, type) and issubclass(arm, BaseModel):
                shape = arm
    return tuple(shape.model_fields)


def unknown_key(key: str, known: tuple[str, ...]) -> str:
    """Return what to say of a key that does not exist."""
    meant = nearest(key, known)
    if meant:
        return f"unknown key; did you mean {meant!r}?"
    return f"unknown key; known are {', '.join(known)}"
