"""Requests in the shape of OpenAI's Images API, as its own client sends them."""

import hashlib
from collections.abc import Iterator, Mapping
from operator import attrgetter

from imagegate.types import Blob, Body, FileId, ImageCall, Json
from imagegate.wire.json_body import DataUrl, build_json
from imagegate.wire.multipart import FormFile, build_form
from imagegate.wire.provider import Target

JSON_TYPE = "application/json"
# Each with what is not sent. OpenAI's client sorts them so, after model and prompt.
_FIELDS: Mapping[str, Json] = {
    "aspect_ratio": None,
    "background": None,
    "complexity": None,
    "frame_count": None,
    "frame_duration_ms": None,
    "input_fidelity": None,
    "moderation": None,
    "n": 1,
    "negative_prompt": None,
    "output_compression": None,
    "output_format": None,
    "partial_images": None,
    "quality": None,
    "resolution": None,
    "response_format": None,
    "safety_identifier": None,
    "seed": None,
    "size": None,
    "stream": False,
    "style": None,
    "svg": None,
    "user": None,
}
_UNSENT = tuple(_FIELDS.values())
_read_fields = attrgetter(*_FIELDS)
_SUFFIXES = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/svg+xml": "svg",
}


def build_generation(call: ImageCall, target: Target, *, model_in_body: bool) -> Body:
    """Return the JSON body of a generation; only what was given is in it."""
    return build_json(build_fields(call, target, model_in_body=model_in_body))


def build_edit_json(call: ImageCall, target: Target, *, model_in_body: bool) -> Body:
    """Return the JSON body of an edit, where inputs are file ids; blobs go as data URLs."""
    fields = build_fields(call, target, model_in_body=model_in_body)
    fields["images"] = [_reference(image) for image in call.images]
    for name, overlay in (("mask", call.mask), ("markup", call.markup)):
        if overlay is not None:
            fields[name] = _reference(overlay)
    return build_json(fields)


def build_edit_form(call: ImageCall, target: Target, *, model_in_body: bool) -> tuple[Body, str]:
    """Return the form of an edit and its Content-Type. All inputs must be blobs."""
    fields = build_fields(call, target, model_in_body=model_in_body)
    name = "image" if len(call.images) == 1 else "image[]"
    files = [build_file(name, image) for image in call.images]
    for name, overlay in (("mask", call.mask), ("markup", call.markup)):
        if overlay is not None:
            files.append(build_file(name, overlay))
    return build_form(list(flatten_fields(fields)), files, build_boundary(call))


def build_variation_form(
    call: ImageCall, target: Target, *, model_in_body: bool
) -> tuple[Body, str]:
    """Return the form of a variation and its Content-Type: an edit's form, often without prompt."""
    return build_edit_form(call, target, model_in_body=model_in_body)


def build_fields(call: ImageCall, target: Target, *, model_in_body: bool) -> dict[str, Json]:
    """Return the fields in the order of OpenAI's client, the caller's own last, without inputs."""
    fields: dict[str, Json] = {"model": target.upstream_model} if model_in_body else {}
    if call.prompt:
        fields["prompt"] = call.prompt
    values = _read_fields(call)
    if values != _UNSENT:  # most calls give a prompt and nothing else
        given = zip(_FIELDS, values, _UNSENT, strict=True)
        fields.update((name, value) for name, value, unsent in given if value != unsent)
    for name, value in call.extra.items():
        fields.setdefault(name, value)
    return fields


def build_boundary(call: ImageCall) -> str:
    """Return the boundary of a call's form: always the same, and nobody can have foreseen it."""
    return hashlib.sha256(f"form {call.id}".encode()).hexdigest()[:32]


def flatten_fields(fields: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Yield form fields: nested ones in brackets, booleans as `true`, nothing for null."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from flatten_fields({f"{name}[{key}]": inner for key, inner in value.items()})
        elif isinstance(value, list | tuple):
            for item in value:
                yield from flatten_fields({f"{name}[]": item})
        elif value is not None:
            yield name, _form_text(value)


def _form_text(value: Json) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def build_file(name: str, blob: Blob | FileId) -> FormFile:
    """Return an input as the form's part `name`; its file is called like it. Never a file id."""
    assert isinstance(blob, Blob)
    suffix = _SUFFIXES[blob.media_type]
    return FormFile(name, f"{name.removesuffix('[]')}.{suffix}", blob.media_type, blob)


def _reference(image: Blob | FileId) -> dict[str, Json]:
    if isinstance(image, FileId):
        return {"file_id": image.id}
    return {"image_url": DataUrl(image)}
