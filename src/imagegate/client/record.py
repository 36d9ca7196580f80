"""Objects that read like OpenAI's: by attribute, by key, and as plain JSON."""

from collections.abc import Iterator
from json import dumps
from typing import Any, ClassVar

from imagegate.types import Json


class Record:
    """A value with named fields. `fields` lists what `keys()` and `model_dump()` show, in order."""

    fields: ClassVar[tuple[str, ...]] = ()

    def __getitem__(self, name: str) -> Any:
        if name not in self.fields:
            raise KeyError(name)
        return getattr(self, name)

    def __contains__(self, name: object) -> bool:
        return name in self.fields

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def keys(self) -> tuple[str, ...]:
        """Return the names of the fields, so that `dict(record)` works."""
        return self.fields

    def get(self, name: str, default: Any = None) -> Any:
        """Return the field `name`, or `default` where there is no such field or it is None."""
        value = self[name] if name in self.fields else None
        return default if value is None else value

    def model_dump(
        self,
        *,
        mode: str = "json",  # noqa: ARG002 - pydantic's; the values are plain in both modes
        exclude_none: bool = False,
        exclude_unset: bool = False,  # noqa: ARG002 - pydantic's; all fields are set
    ) -> dict[str, Json]:
        """Return the fields as plain values, images as base64 in `b64_json`."""
        dumped = {name: _plain(getattr(self, name), exclude_none) for name in self.fields}
        return {k: v for k, v in dumped.items() if not (exclude_none and v is None)}

    def model_dump_json(self, *, indent: int | None = None, exclude_none: bool = False) -> str:
        """Return `model_dump()` as JSON text."""
        return dumps(self.model_dump(exclude_none=exclude_none), indent=indent)

    def to_dict(self) -> dict[str, Json]:
        """Return `model_dump()`, by the name of OpenAI's objects."""
        return self.model_dump()

    def to_json(self, *, indent: int | None = 2) -> str:
        """Return `model_dump_json()`, by the name of OpenAI's objects."""
        return self.model_dump_json(indent=indent)

    def json(self) -> str:
        """Return `model_dump_json()`, by the name that LiteLLM's users know."""
        return self.model_dump_json()


def _plain(value: object, exclude_none: bool) -> Json:
    if isinstance(value, Record):
        return value.model_dump(exclude_none=exclude_none)
    if isinstance(value, (list, tuple)):
        return [_plain(item, exclude_none) for item in value]
    return value
