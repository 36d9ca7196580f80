"""The configuration's reference page and JSON schema, made from `schema.py`."""

import re
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from imagegate.config.schema import SECTIONS, ConfigFile, DeploymentParams, ModelEntry
from imagegate.types import Json

_HEAD = """\
# Configuration keys

Generated from `src/imagegate/config/schema.py`. The guide is `docs/guide/configuration.md`.

Any value may be `os.environ/NAME`. A section that is ours alone (`server`, `assets`, the top level)
refuses unknown keys. Of LiteLLM's sections the keys below are acted on; its other keys are listed
once by `imagegate check`. Other keys of the params are fields of the request: defaults that a call
may override.
"""


def config_reference() -> str:
    """Return the reference page in Markdown."""
    return "\n".join([_HEAD, *(_section(name, shape) for name, shape in SECTIONS)])


def config_json_schema() -> Json:
    """Return the JSON schema of the file, for editors; `params` beside `litellm_params`."""
    schema = ConfigFile.model_json_schema()
    entry = ModelEntry.model_json_schema(ref_template="#/$defs/{model}")
    schema["$defs"] |= entry.pop("$defs") | {"ModelEntry": entry}
    entry["properties"]["params"] = {"$ref": f"#/$defs/{DeploymentParams.__name__}"}
    entry["required"].remove("litellm_params")
    schema["properties"]["model_list"]["items"] = {"$ref": "#/$defs/ModelEntry"}
    return schema


def _section(name: str, shape: type[BaseModel]) -> str:
    rows = [_row(key, field) for key, field in shape.model_fields.items()]
    return "\n".join(
        [f"## `{name}`\n", "| key | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    )


def _row(key: str, field: FieldInfo) -> str:
    default = "required" if field.is_required() else _plain(field.get_default())
    meaning = re.sub(r"\s+", " ", field.description or "")
    return f"| `{key}` | {_kind(field.annotation)} | {default} | {meaning} |"


def _plain(value: object) -> str:
    if value is None or isinstance(value, BaseModel) or value in ({}, []):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


_KINDS = {"str": "text", "int": "number", "float": "number", "bool": "true, false"}


def _kind(annotation: object) -> str:
    """Return the type in users' words."""
    arms = [arm for arm in get_args(annotation) if arm is not type(None)]
    if "Literal" in str(annotation):
        return ", ".join(f"`{word}`" for word in re.findall(r"'([^']+)'", str(annotation)))
    text = str(annotation)
    if text.startswith(("dict", "list")):
        return "mapping" if text.startswith("dict") else "list"
    if isinstance(annotation, type):
        return "mapping" if issubclass(annotation, BaseModel) else _name(annotation)
    return _kind(arms[0]) if arms else "text"


def _name(annotation: type) -> str:
    return _KINDS.get(annotation.__name__, "text")
