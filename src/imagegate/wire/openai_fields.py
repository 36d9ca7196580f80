"""The fields of a caller's call: which there are, of what type, in what range.

What only some models take (sizes, qualities, formats) is no concern here: `catalogue/check.py`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from imagegate.errors import BadRequestError
from imagegate.types import Json

Checked: TypeAlias = dict[str, Any]  # keyword arguments of an ImageCall

PROMPT_CHARS_MAX = 32_000
TEXT_CHARS_MAX = 1024
IMAGES_MAX = 16

TEXTS = frozenset(
    {
        "background",
        "complexity",
        "input_fidelity",
        "model",
        "moderation",
        "output_format",
        "prompt",
        "quality",
        "response_format",
        "safety_identifier",
        "size",
        "style",
        "user",
    }
)
RANGES: Mapping[str, tuple[int, int | None]] = {
    "n": (1, 10),
    "output_compression": (0, 100),
    "partial_images": (0, 3),
    "frame_count": (2, 16),
    "frame_duration_ms": (1, None),
}
CHOICES = {"response_format": ("url", "b64_json")}
INPUTS = ("image", "images", "mask", "markup")

# They choose hosts or credentials, which an HTTP body may not.
_SDK_ONLY = frozenset(
    {
        "api_base",
        "base_url",
        "api_key",
        "api_version",
        "api_type",
        "azure_ad_token",
        "organization",
        "project",
        "custom_llm_provider",
        "extra_headers",
        "extra_query",
        "proxy",
        "model_info",
    }
)
_SDK_ONLY_PREFIXES = ("aws_", "vertex_")
_JSON_TYPES: Mapping[type, str] = {
    bool: "a boolean",
    int: "an integer",
    float: "a decimal number",
    str: "a string",
    list: "an array",
    dict: "an object",
}
_WHOLE_NUMBER = re.compile(r"-?\d{1,9}")


def check_fields(fields: Mapping[str, Json]) -> Checked:
    """Return the fields as arguments of an `ImageCall`, unknown ones in `extra`; null is left out.

    Raises `BadRequestError` for a wrong type or range, and for names that are for the SDK.
    """
    extra: dict[str, Json] = {}
    checked: Checked = {"model": "", "extra": extra}
    for name, value in fields.items():
        check = _CHECKS.get(name)
        if check is None:
            _refuse_sdk_field(name)
        if value is None:
            continue
        if check is None:
            extra[name] = value
        else:
            checked[name] = check(name, value)
    return checked


def _refuse_sdk_field(name: str) -> None:
    if name in _SDK_ONLY or name.startswith(_SDK_ONLY_PREFIXES):
        raise BadRequestError(
            f"{name!r} is not taken over HTTP: a request may not choose hosts or credentials. "
            "It is a parameter of the Python SDK; here, the operator configures it.",
            param=name,
            code="unknown_parameter",
        )


def _check_type(name: str, value: Json, wanted: type) -> Json:
    if type(value) is not wanted:
        raise BadRequestError(
            f"Invalid type for '{name}': expected {_JSON_TYPES[wanted]}, but got "
            f"{_JSON_TYPES.get(type(value), 'null')} instead.",
            param=name,
            code="invalid_type",
        )
    return value


def _check_flag(name: str, value: Json) -> Json:
    return _check_type(name, value, bool)


def _check_object(name: str, value: Json) -> Json:
    return _check_type(name, value, dict)


def _check_number(name: str, value: Json) -> int:
    number: int = _check_type(name, value, int)
    lowest, highest = RANGES[name]
    if number < lowest:
        raise BadRequestError(
            f"Invalid '{name}': {number} is too small; the least is {lowest}.",
            param=name,
            code="integer_below_min_value",
        )
    if highest is not None and number > highest:
        raise BadRequestError(
            f"Invalid '{name}': {number} is too large; the most is {highest}.",
            param=name,
            code="integer_above_max_value",
        )
    return number


def _check_text(name: str, value: Json, chars_max: int = TEXT_CHARS_MAX) -> str:
    text: str = _check_type(name, value, str)
    if len(text) > chars_max:
        raise too_long(name, f"{len(text)} characters", chars_max)
    return text


def _check_prompt(name: str, value: Json) -> str:
    text = _check_text(name, value, PROMPT_CHARS_MAX)
    if not text.strip():
        raise BadRequestError(
            "Invalid 'prompt': it is empty; say what the image should show.",
            param=name,
            code="string_below_min_length",
        )
    return text


def _check_choice(name: str, value: Json) -> str:
    text = _check_text(name, value)
    if text not in CHOICES[name]:
        raise BadRequestError(
            f"Invalid value for '{name}': {text!r}. It is one of {', '.join(CHOICES[name])}.",
            param=name,
            code="invalid_value",
        )
    return text


_CHECKS: Mapping[str, Callable[[str, Json], Json]] = {
    **dict.fromkeys(TEXTS, _check_text),
    **dict.fromkeys(RANGES, _check_number),
    **dict.fromkeys(CHOICES, _check_choice),
    "prompt": _check_prompt,
    "stream": _check_flag,
    "svg": _check_object,
}


def too_long(name: str, length: str, chars_max: int) -> BadRequestError:
    """Return the error for a text of `length` where `chars_max` characters are taken."""
    return BadRequestError(
        f"Invalid '{name}': it is too long ({length}); at most {chars_max} characters are taken.",
        param=name,
        code="string_above_max_length",
    )


def require_prompt(checked: Checked) -> None:
    """Raise `BadRequestError` where there is no prompt."""
    if "prompt" not in checked:
        raise missing("prompt")


def missing(name: str) -> BadRequestError:
    """Return the error for a required field that is not there."""
    return BadRequestError(
        f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
    )


def check_image_count(count: int, name: str) -> None:
    """Raise `BadRequestError` unless there are 1 to 16 images."""
    if count == 0:
        raise missing(name)
    if count > IMAGES_MAX:
        raise BadRequestError(
            f"Invalid '{name}': {count} images were sent; at most {IMAGES_MAX} are taken.",
            param=name,
            code="array_above_max_length",
        )


def check_overlays(mask: object, markup: object) -> None:
    """Raise `BadRequestError` where both a mask and a markup were sent."""
    if mask is not None and markup is not None:
        raise BadRequestError("'mask' and 'markup' exclude each other; send one.", param="markup")


def read_form_value(name: str, text: str) -> Json:
    """Return a form's text as the type that the field has; None for an empty one.

    Text that is not of the type stays text, so that the check of types can say so.
    """
    if name in RANGES and _WHOLE_NUMBER.fullmatch(text):
        return int(text)
    if name == "stream" and text in ("true", "false"):
        return text == "true"
    return text if text or name == "prompt" else None
