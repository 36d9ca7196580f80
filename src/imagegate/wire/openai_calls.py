"""The caller's side of OpenAI's Images API: JSON or a form becomes an `ImageCall`.

Strict, because what is misread here is bought. Answers are built in `openai_answers.py`.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Never, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from imagegate.errors import BadRequestError
from imagegate.types import Blob, FileId, ImageCall, Json, Operation
from imagegate.wire.lift import Lifted, blob_of_text
from imagegate.wire.openai_answers import KEEPALIVE as KEEPALIVE
from imagegate.wire.openai_answers import build_answer as build_answer
from imagegate.wire.openai_answers import build_completed_events as build_completed_events
from imagegate.wire.openai_answers import build_error_event as build_error_event
from imagegate.wire.openai_answers import build_partial_event as build_partial_event
from imagegate.wire.openai_answers import error_body as error_body
from imagegate.wire.openai_answers import error_fields as error_fields
from imagegate.wire.openai_fields import (
    INPUTS,
    PROMPT_CHARS_MAX,
    TEXT_CHARS_MAX,
    TEXTS,
    check_fields,
    check_image_count,
    check_overlays,
    missing,
    read_form_value,
    require_prompt,
    too_long,
)

URL_CHARS_MAX = 8192
_BRACKETS = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\]){1,5})")
_IMAGE_PART = re.compile(r"images?(\[\d{0,2}\])?")
_OVERLAY_PART = re.compile(r"(mask|markup)(\[\])?")
_DATA_URL_BASE64 = re.compile(r"data:[^,]{0,128};base64,", re.IGNORECASE)


class UrlRef(Struct, frozen=True):
    """An input that stands at an https URL and must be fetched first."""

    url: str


Input: TypeAlias = Blob | FileId | UrlRef
T = TypeVar("T", Blob, FileId, UrlRef)


class ParsedCall(Struct, frozen=True):
    """A call whose inputs may still have to be fetched; `with_fetched` makes it whole."""

    call: ImageCall
    images: tuple[Input, ...] = ()
    mask: Input | None = None
    markup: Input | None = None

    def urls(self) -> tuple[str, ...]:
        """Return what must be fetched, each URL once."""
        inputs = (*self.images, self.mask, self.markup)
        return tuple(dict.fromkeys(part.url for part in inputs if isinstance(part, UrlRef)))

    def with_fetched(self, fetched: Mapping[str, Blob]) -> ImageCall:
        """Return the call with its inputs; `fetched` has a blob for each of `urls()`."""

        def whole(part: Input) -> Blob | FileId:
            return fetched[part.url] if isinstance(part, UrlRef) else part

        markup = whole(self.markup) if self.markup else None
        assert not isinstance(markup, FileId)
        return msgspec.structs.replace(
            self.call,
            images=tuple(whole(image) for image in self.images),
            mask=whole(self.mask) if self.mask else None,
            markup=markup,
        )


def parse_json_call(operation: Operation, lifted: Lifted, call_id: str) -> ParsedCall:
    """Return the call that a JSON body asks for. `model` is `""` where none was named.

    Raises `BadRequestError` in OpenAI's words and codes.
    """
    fields = _load(lifted)
    if operation == "variation":
        raise BadRequestError(
            "Variations are sent as multipart/form-data, with the image as a file.",
            code="unsupported_media_type",
            http_status=415,
        )
    inputs = {name: fields.pop(name) for name in INPUTS if fields.get(name) is not None}
    if lifted.blobs:
        _refuse_blobs(fields, lifted)
    checked = check_fields(fields)
    require_prompt(checked)
    call = _build_call(operation, call_id, checked)
    if operation == "generate":
        _refuse_inputs(list(inputs))
        return ParsedCall(call)
    return _with_references(call, inputs, lifted)


def parse_form_call(
    operation: Operation,
    fields: Sequence[tuple[str, str]],
    files: Sequence[tuple[str, Blob]],
    call_id: str,
) -> ImageCall:
    """Return the call that a form asks for: its text parts and its file parts, in any order.

    Raises `BadRequestError` in OpenAI's words and codes.
    """
    checked = check_fields(_read_fields(fields))
    images, overlays = _sort_files(files)
    if operation == "generate":
        _refuse_inputs([name for name, _ in files])
    else:
        check_image_count(len(images), "image")
    if operation != "variation":
        require_prompt(checked)
    check_overlays(overlays.get("mask"), overlays.get("markup"))
    return _build_call(operation, call_id, checked, images=tuple(images), **overlays)


def _build_call(
    operation: Operation, call_id: str, checked: Mapping[str, Any], **inputs: Any
) -> ImageCall:
    return ImageCall(id=call_id, operation=operation, **checked, **inputs)


# JSON


def _load(lifted: Lifted) -> dict[str, Json]:
    """Return the body's fields. Raises where it is no JSON object, or means two things."""
    skeleton = lifted.skeleton
    try:
        encoding = "utf-8" if skeleton.startswith(b'{"') else json.detect_encoding(skeleton)
        text = skeleton.decode(encoding)
        body = _decoder.decode(text)
        if "\\u" in text:  # half of a surrogate pair is refused: no body can carry it on
            msgspec.json.encode(body)
    except BadRequestError:
        raise
    except (ValueError, RecursionError, msgspec.MsgspecError) as fault:
        raise _no_json(f"it cannot be parsed ({_short(fault)})") from fault
    if not isinstance(body, dict):
        raise _no_json("it is no object")
    return body


def _short(fault: Exception) -> str:
    return str(fault)[:200] or type(fault).__name__


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)[:80]
        raise BadRequestError(
            f"The JSON body names {twice!r} twice; send it once.", param=twice, code="invalid_json"
        )
    return fields


def _refuse_constant(name: str) -> Never:
    raise _no_json(f"{name} is no number that JSON can carry")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_constant(text[:80])


_decoder = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite
)


def _no_json(reason: str) -> BadRequestError:
    return BadRequestError(f"The body must be a JSON object: {reason}.", code="invalid_json")


def _refuse_blobs(fields: Mapping[str, Json], lifted: Lifted) -> None:
    """Raise where a field that is no input holds a long base64 string."""
    for name, value in fields.items():
        if not _holds_blob({name: value}, lifted):
            continue
        if name in TEXTS:
            chars_max = PROMPT_CHARS_MAX if name == "prompt" else TEXT_CHARS_MAX
            raise too_long(name, "a long base64 string", chars_max)
        raise BadRequestError(
            f"'{name[:80]}' holds a long base64 string. Images are taken in 'images' and 'mask' "
            "of /v1/images/edits only.",
            param=name[:80],
            code="invalid_value",
        )


def _holds_blob(value: Json, lifted: Lifted) -> bool:
    if isinstance(value, str):
        return lifted.blob(value) is not None
    if isinstance(value, dict):
        return any(_holds_blob(part, lifted) for pair in value.items() for part in pair)
    return isinstance(value, list) and any(_holds_blob(part, lifted) for part in value)


def _refuse_inputs(names: Sequence[str]) -> None:
    if names:
        raise BadRequestError(
            f"A generation takes no {names[0]!r}; send images to /v1/images/edits.",
            param=names[0],
            code="unknown_parameter",
        )


def _with_references(call: ImageCall, inputs: Mapping[str, Json], lifted: Lifted) -> ParsedCall:
    if "image" in inputs:
        raise BadRequestError(
            "In JSON, images are sent as 'images': [{\"image_url\": \"data:...\"}]; 'image' is "
            "a file of multipart/form-data.",
            param="image",
            code="unknown_parameter",
        )
    images = inputs.get("images")
    if images is None:
        raise missing("images")
    if not isinstance(images, list):
        raise _bad_input("images", "expected an array of objects", code="invalid_type")
    check_image_count(len(images), "images")
    check_overlays(inputs.get("mask"), inputs.get("markup"))
    parsed = [_reference(image, f"images[{i}]", lifted) for i, image in enumerate(images)]
    mask, markup = (
        _reference(inputs[name], name, lifted) if name in inputs else None
        for name in ("mask", "markup")
    )
    if isinstance(markup, FileId):
        raise _bad_input("markup.file_id", "a markup is sent as image_url")
    return ParsedCall(call, tuple(parsed), mask, markup)


def _reference(value: Json, param: str, lifted: Lifted) -> Input:
    """Return what `{"image_url": ...}` or `{"file_id": ...}` refers to."""
    if not isinstance(value, dict):
        raise _bad_input(param, "expected an object", code="invalid_type")
    if len(value) != 1 or not value.keys() <= {"image_url", "file_id"}:
        raise _bad_input(param, "expected exactly one of 'image_url' and 'file_id'")
    (kind, text), *_ = value.items()
    param = f"{param}.{kind}"
    if not isinstance(text, str) or not text:
        raise _bad_input(param, "expected a string that is not empty", code="invalid_type")
    return _file_id(text, param, lifted) if kind == "file_id" else _image_url(text, param, lifted)


def _file_id(text: str, param: str, lifted: Lifted) -> FileId:
    if lifted.blob(text) or len(text) > TEXT_CHARS_MAX:
        raise _bad_input(param, "this is no file id")
    return FileId(text)


def _image_url(text: str, param: str, lifted: Lifted) -> Blob | UrlRef:
    if blob := lifted.blob(text):
        return blob
    if _DATA_URL_BASE64.match(text):
        return blob_of_text(text)
    if text.startswith("https://") and len(text) <= URL_CHARS_MAX:
        return UrlRef(text)
    raise _bad_input(param, f"expected an https URL or a data URL with base64, not {text[:40]!r}")


def _bad_input(param: str, reason: str, *, code: str = "invalid_value") -> BadRequestError:
    return BadRequestError(f"Invalid '{param}': {reason}.", param=param, code=code)


# forms


def _read_fields(parts: Sequence[tuple[str, str]]) -> dict[str, Json]:
    """Return text parts as fields of their types; `svg[model]` nests. One name has one value."""
    fields: dict[str, Json] = {}
    seen: dict[str, str] = {}
    for name, text in parts:
        _refuse_text_file(name)
        if name.endswith("[]"):
            _list_of(fields, name.removesuffix("[]")).append(text)
        elif seen.setdefault(name, text) != text:
            raise _bad_input(name, "it was sent twice with different values")
        else:
            _set_field(fields, name, text)
    return fields


def _refuse_text_file(name: str) -> None:
    if _IMAGE_PART.fullmatch(name) or _OVERLAY_PART.fullmatch(name):
        raise _bad_input(name, "expected a file part with a filename", code="invalid_type")


def _list_of(fields: dict[str, Json], name: str) -> list[Json]:
    values = fields.setdefault(name, [])
    if not isinstance(values, list):
        raise _bad_input(name, "it was sent both as one value and as a list")
    return values


def _set_field(fields: dict[str, Json], name: str, text: str) -> None:
    nested = _BRACKETS.fullmatch(name)
    if not nested:
        fields[name] = read_form_value(name, text)
        return
    path = [nested[1], *nested[2][1:-1].split("][")]
    for key in path[:-1]:
        fields = fields.setdefault(key, {})
        if not isinstance(fields, dict):
            raise _bad_input(name, "it was sent both as one value and in parts")
    fields[path[-1]] = text


def _sort_files(files: Sequence[tuple[str, Blob]]) -> tuple[list[Blob], dict[str, Blob]]:
    """Return the images in order, and the mask or markup by name."""
    images: list[Blob] = []
    overlays: dict[str, Blob] = {}
    for name, blob in files:
        if not blob.length:
            raise _bad_input(name, "the file is empty", code="invalid_image_file")
        overlay = _OVERLAY_PART.fullmatch(name)
        if _IMAGE_PART.fullmatch(name):
            images.append(blob)
        elif not overlay:
            raise _unknown_file(name)
        elif overlay[1] in overlays:
            raise _bad_input(overlay[1], "it was sent twice")
        else:
            overlays[overlay[1]] = blob
    return images, overlays


def _unknown_file(name: str) -> BadRequestError:
    return BadRequestError(
        f"Unknown file part: {name[:80]!r}. Files are taken as 'image', 'image[]', 'mask' and "
        "'markup'.",
        param=name[:80],
        code="unknown_parameter",
    )
