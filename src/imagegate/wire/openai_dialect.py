"""Servers that nearly speak OpenAI's Images API: what differs, as data, and the code that reads it.

A `Dialect` says under which names a server takes what a plan sends, how it takes input images, and
by which words it refuses. The rows are in `providers/compatible_rows.py`.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Literal

import msgspec
from msgspec import Struct

from imagegate.errors import (
    ContentPolicyViolationError,
    ImageError,
    UpstreamEmptyError,
    UpstreamUnreachableError,
    UpstreamWords,
)
from imagegate.types import Blob, FileId, Image, ImageCall, ImageResult, Json
from imagegate.wire import openai_errors, openai_images
from imagegate.wire.exchange import Exchange, UpstreamRequest, UpstreamResponse, send
from imagegate.wire.json_body import DataUrl, build_json
from imagegate.wire.lift import Base64
from imagegate.wire.multipart import build_form
from imagegate.wire.openai_errors import Refusal
from imagegate.wire.openai_requests import build_boundary, build_file, flatten_fields
from imagegate.wire.provider import Target

GENERATIONS_PATH = "/images/generations"
EDITS_PATH = "/images/edits"
SIDES = "width height"
"""The value of `Dialect.size` where width and height are two numbers."""

_UNAVAILABLE = 503


def named(*own: str, **renamed: str) -> dict[str, str]:
    """Return fields of a call -> fields of a server: `own` have one name, `renamed` have two."""
    return {name: name for name in own} | renamed


class Inputs(Struct, frozen=True, kw_only=True):
    """How input images stand in JSON: a data URL each, bare base64, or an object with a `url`.

    `one` is the field of a single image, `many` that of a list. Without `one` a single image is a
    list too; without `many` the second image is in `<one>2`, and so on.
    """

    one: str = ""
    many: str = ""
    form: Literal["data_url", "base64", "object"] = "data_url"


class Dialect(Struct, frozen=True, kw_only=True):
    """What one server does in its own way.

    `name` is how messages call it. `fields` are the fields that it has (see `named`); what is not
    among them is never sent. `size` is the field of `WIDTHxHEIGHT`, `SIDES` for two numbers, `""`
    where a size is none of pixels. `bytes_word` is the `response_format` that asks for bytes
    instead of urls, sent always. `negative_mark` stands between prompt and negative prompt, where
    both are one text.

    `edits` says whether an edit is a form or JSON, and `edits_path` where it goes; `image_part`,
    `images_part` and `mask_part` are names of form parts, `inputs` those of JSON.

    `cost_field` is the field of `usage` that holds the cost in 1e-10 USD. `empty_is_refused`: a
    success without an image is a refusal. `meanings` are the server's codes, as patterns, and
    OpenAI's words for them, `sayings` the same for its messages. `flat_errors`: an error is
    `{"code", "message"}` without anything around it.
    """

    name: str
    fields: Mapping[str, str] = {}
    size: str = "size"
    bytes_word: str = ""
    negative_mark: str = ""
    edits: Literal["none", "form", "json"] = "none"
    edits_path: str = EDITS_PATH
    image_part: str = "image"
    images_part: str = "image[]"
    mask_part: str = "mask"
    inputs: Inputs = Inputs()
    cost_field: str = ""
    empty_is_refused: bool = False
    meanings: Mapping[str, str] = {}
    sayings: Mapping[str, str] = {}
    flat_errors: bool = False


class Item(Struct, frozen=True):
    """One entry of an answer, as far as refusals and bare urls are concerned."""

    b64_json: Base64 | None = None
    url: str | None = None
    respect_moderation: bool | None = None
    error: Json = None

    @property
    def is_image(self) -> bool:
        """Whether there is an image behind it."""
        return bool(self.url) or bool(self.b64_json and self.b64_json.blob.length)


class Answer(Struct, frozen=True):
    """What servers add to OpenAI's answer. `images` stands in the place of `data`."""

    data: list[Item] | None = None
    images: list[Item] | None = None
    usage: Json = None
    error: Json = None
    content_filter: Json = None


def generate(call: ImageCall, target: Target, *, dialect: Dialect) -> Exchange:
    """Send one request; its answer holds the images or their urls."""
    return (yield from exchange(build_generate(call, target, dialect), dialect))


def edit(call: ImageCall, target: Target, *, dialect: Dialect) -> Exchange:
    """Send one request with the inputs; its answer holds the images or their urls."""
    return (yield from exchange(build_edit(call, target, dialect), dialect))


def exchange(request: UpstreamRequest, dialect: Dialect) -> Exchange:
    """Send `request` and return the images of its answer."""
    response = yield from send(request)
    if response.status >= 300:
        raise read_error(response, dialect=dialect)
    return parse_answer(response, dialect)


# --- what is sent ----------------------------------------------------------------------------


def build_generate(call: ImageCall, target: Target, dialect: Dialect) -> UpstreamRequest:
    """Return the generation as JSON."""
    return _build_json(f"{target.base_url}{GENERATIONS_PATH}", build_fields(call, target, dialect))


def build_edit(call: ImageCall, target: Target, dialect: Dialect) -> UpstreamRequest:
    """Return the edit as the server takes it, a form or JSON."""
    url = f"{target.base_url}{dialect.edits_path}"
    fields = build_fields(call, target, dialect)
    if dialect.edits == "json":
        return _build_json(url, fields | build_inputs(call, dialect.inputs))
    name = dialect.image_part if len(call.images) == 1 else dialect.images_part
    files = [build_file(name, image) for image in call.images]
    if call.mask is not None:
        files.append(build_file(dialect.mask_part, call.mask))
    body, content_type = build_form(list(flatten_fields(fields)), files, build_boundary(call))
    return UpstreamRequest("POST", url, body, {"content-type": content_type})


def _build_json(url: str, fields: Mapping[str, Json]) -> UpstreamRequest:
    return UpstreamRequest("POST", url, build_json(fields), {"content-type": "application/json"})


def build_fields(call: ImageCall, target: Target, dialect: Dialect) -> dict[str, Json]:
    """Return the fields without inputs, the caller's own last; only what was given is in it."""
    given: dict[str, Json] = {
        theirs: value
        for ours, theirs in dialect.fields.items()
        if (value := getattr(call, ours)) is not None and not (ours == "n" and value == 1)
    }
    fields = {
        "model": target.upstream_model,
        "prompt": _build_prompt(call, dialect),
        **given,
        **_build_size(call.size, dialect.size),
        "response_format": dialect.bytes_word,
    }
    sent = {name: value for name, value in fields.items() if value != ""}
    return sent | {name: value for name, value in call.extra.items() if name not in sent}


def _build_prompt(call: ImageCall, dialect: Dialect) -> str:
    if not (dialect.negative_mark and call.negative_prompt):
        return call.prompt
    return f"{call.prompt}{dialect.negative_mark}{call.negative_prompt}"


def _build_size(size: str | None, field: str) -> dict[str, Json]:
    if not size or not field:
        return {}
    if field != SIDES:
        return {field: size}
    width, _, height = size.partition("x")
    return {"width": int(width), "height": int(height)}


def build_inputs(call: ImageCall, inputs: Inputs) -> dict[str, Json]:
    """Return the input images under the server's names."""
    images = [_build_input(image, inputs.form) for image in call.images]
    if not inputs.many:
        return {f"{inputs.one}{n if n > 1 else ''}": image for n, image in enumerate(images, 1)}
    if inputs.one and len(images) == 1:
        return {inputs.one: images[0]}
    return {inputs.many: images}


def _build_input(image: Blob | FileId, form: str) -> Json:
    assert isinstance(image, Blob)
    if form == "base64":
        return Base64(image)
    return {"url": DataUrl(image), "type": "image_url"} if form == "object" else DataUrl(image)


# --- what comes back -------------------------------------------------------------------------


def parse_answer(response: UpstreamResponse, dialect: Dialect) -> ImageResult:
    """Return the result of a 2xx answer.

    Raises `ContentPolicyViolationError` for a silent refusal, `UpstreamEmptyError` where there is
    no image, and the error that stands in an image's place. Where some entries are errors and
    others are images, the images are returned.
    """
    answer = _decode(response)
    items = [item for item in answer.data or answer.images or () if item.is_image]
    if not items and _is_refused(answer, dialect):
        raise _silent_refusal(answer, response, dialect)
    if items and not answer.data:
        return ImageResult(images=tuple(Image(url=item.url) for item in items))
    result = openai_images.parse_answer(response, partial(map_refusal, dialect=dialect))
    return msgspec.structs.replace(result, cost_e10=_cost_e10(answer, dialect))


def _decode(response: UpstreamResponse) -> Answer:
    try:
        return response.decode(Answer)
    except UpstreamEmptyError as error:
        error.upstream = openai_errors.read_words(response)
        raise


def _is_refused(answer: Answer, dialect: Dialect) -> bool:
    if answer.content_filter or any(item.respect_moderation is False for item in answer.data or ()):
        return True
    return dialect.empty_is_refused and answer.data == []


def _silent_refusal(answer: Answer, response: UpstreamResponse, dialect: Dialect) -> ImageError:
    levels = answer.content_filter if isinstance(answer.content_filter, list) else ()
    named = ", ".join(
        f"{entry.get('role')} level {entry.get('level')}"
        for entry in levels
        if isinstance(entry, dict)
    )
    detail = f" ({named})" if named else ""
    cost_e10 = _cost_e10(answer, dialect)
    billed = " It says that it charged for it." if cost_e10 else ""
    return ContentPolicyViolationError(
        f"{dialect.name} made no image because of its content policy{detail}.{billed} Change the "
        "prompt or the image; the same request gets the same answer.",
        upstream=openai_errors.read_words(response),
        cost_e10=cost_e10 or 0,
    )


def _cost_e10(answer: Answer, dialect: Dialect) -> int | None:
    """Return the cost that the answer states in 1e-10 USD, None where it states none."""
    found = answer.usage.get(dialect.cost_field) if isinstance(answer.usage, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


# --- how it says no --------------------------------------------------------------------------


def read_error(response: UpstreamResponse, *, dialect: Dialect) -> ImageError:
    """Return the error of our tree; also for `{"detail": ...}` and for codes that are numbers.

    A 503 that names a time to come back is a server that has not begun (its model is loading).
    """
    refusal = openai_errors.parse_refusal(response.json())
    if dialect.flat_errors and refusal.message:
        refusal = msgspec.structs.replace(refusal, has_shape=True)
    words = openai_errors.read_words(response)
    wait_s = openai_errors.read_retry_after_s(response.headers)
    if response.status == _UNAVAILABLE and refusal.has_shape and wait_s is not None:
        message = f"{dialect.name} is not ready: {refusal.message}"
        return UpstreamUnreachableError(message, retry_after_s=wait_s, upstream=words)
    return map_refusal(refusal, words, dialect=dialect, retry_after_s=wait_s)


def map_refusal(
    refusal: Refusal,
    words: UpstreamWords,
    *,
    dialect: Dialect,
    retry_after_s: float | None = None,
) -> ImageError:
    """Return the error that `refusal` means in this dialect."""
    meaning = _meaning(refusal, dialect)
    if meaning:
        refusal = msgspec.structs.replace(refusal, inner_code=meaning)
    return openai_errors.map_refusal(refusal, words, name=dialect.name, retry_after_s=retry_after_s)


def _meaning(refusal: Refusal, dialect: Dialect) -> str:
    """Return OpenAI's word for what the server says, `""` where there is no other."""
    by_code = (
        word for pattern, word in dialect.meanings.items() if re.fullmatch(pattern, refusal.code)
    )
    by_message = (
        word for pattern, word in dialect.sayings.items() if re.search(pattern, refusal.message)
    )
    return next(by_code, "") or next(by_message, "")
