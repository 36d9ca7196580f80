"""What callers get, in OpenAI's shape: answers, events, errors. Images are streamed into them."""

from collections.abc import Mapping

import msgspec

from imagegate.errors import ImageError
from imagegate.types import Body, Image, ImageCall, ImageResult, Json, PartialImage, Usage
from imagegate.types import TokenDetails as Tokens
from imagegate.wire.json_body import build_json
from imagegate.wire.lift import Base64

KEEPALIVE = b": keepalive\n\n"
_EVENTS = {"generate": "image_generation", "edit": "image_edit", "variation": "image_edit"}
_FORMATS = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/svg+xml": "svg",
}
# OpenAI's older values, which every client knows; some refuse the newer ones.
_OLD_QUALITIES = ("low", "medium", "high")


def build_answer(
    result: ImageResult,
    *,
    created: int = 0,
    extra: Mapping[str, Json] | None = None,
    echo_quality: bool = True,
) -> Body:
    """Return the JSON answer. What the upstream did not tell is left out, never invented.

    `created`, in unix seconds, stands in where the result has none. `extra` are further fields.
    Without `echo_quality`, a quality that old clients cannot read is left out.
    """
    fields = answer_fields(result, created=created, echo_quality=echo_quality)
    return build_json({**fields, **extra} if extra else fields)


def answer_fields(
    result: ImageResult, *, created: int, echo_quality: bool = True
) -> dict[str, Json]:
    """Return the fields of the JSON answer; its images are still blobs, for `build_json`."""
    answer: dict[str, Json] = {
        "created": result.created or created,
        "background": result.background,
        "data": [_item(image) for image in result.images],
        "output_format": result.output_format,
        "quality": _quality(result.quality, echo_quality=echo_quality),
        "size": result.size,
        "usage": usage_fields(result),
        **result.extra,
    }
    return {name: value for name, value in answer.items() if value is not None}


def _item(image: Image) -> dict[str, Json]:
    item: dict[str, Json] = {"b64_json": Base64(image.blob)} if image.blob else {}
    if image.revised_prompt is not None:
        item["revised_prompt"] = image.revised_prompt
    if image.url is not None:
        item["url"] = image.url
    return item


def _quality(quality: str | None, *, echo_quality: bool) -> str | None:
    return quality if echo_quality or quality in _OLD_QUALITIES else None


def usage_fields(result: ImageResult) -> dict[str, Json] | None:
    """Return the usage as JSON: the upstream's own fields and OpenAI's; None without tokens."""
    if result.usage is None:
        return None
    return {**(result.raw_usage or {}), **msgspec.to_builtins(result.usage)}


def build_partial_event(call: ImageCall, partial: PartialImage, *, created: int) -> Body:
    """Return the frame of a partial image."""
    return _frame(
        f"{_EVENTS[call.operation]}.partial_image",
        {
            "b64_json": Base64(partial.blob),
            "partial_image_index": partial.index,
            "created_at": partial.created or created,
            **_shown(partial, call, partial.blob.media_type),
        },
    )


def build_completed_events(
    call: ImageCall,
    result: ImageResult,
    *,
    created: int,
    extra: Mapping[str, Json] | None = None,
    echo_quality: bool = True,
) -> tuple[Body, ...]:
    """Return a frame for each image, in order. Their usages add up to the result's.

    `extra` (the `imagegate` object) goes into each.
    """
    usages = share_usage(result.usage, len(result.images))
    shown = msgspec.structs.replace(
        result, quality=_quality(result.quality, echo_quality=echo_quality) or "auto"
    )
    return tuple(
        _completed_event(call, shown, image, usage, created, extra or {})
        for image, usage in zip(result.images, usages, strict=True)
    )


def _completed_event(
    call: ImageCall,
    result: ImageResult,
    image: Image,
    usage: Usage | None,
    created: int,
    extra: Mapping[str, Json],
) -> Body:
    fields = {
        **_item(image),
        "created_at": result.created or created,
        **_shown(_alone(result, image), call, image.blob.media_type if image.blob else ""),
    }
    if usage is not None:
        fields["usage"] = msgspec.to_builtins(usage)
    return _frame(f"{_EVENTS[call.operation]}.completed", {**fields, **result.extra, **extra})


def _alone(result: ImageResult, image: Image) -> ImageResult:
    """Return the result as of this image alone, which may differ from the others."""
    blob = image.blob
    if blob is None or len(result.images) == 1:
        return result
    return msgspec.structs.replace(
        result,
        size=f"{blob.width_px}x{blob.height_px}" if blob.width_px else result.size,
        output_format=_FORMATS.get(blob.media_type, result.output_format),
    )


def _shown(made: PartialImage | ImageResult, call: ImageCall, media_type: str) -> dict[str, Json]:
    """Return the fields that OpenAI's events always have: as made, else as asked, else `auto`."""
    return {
        "size": made.size or call.size or "auto",
        "quality": made.quality or call.quality or "auto",
        "background": made.background or call.background or "auto",
        "output_format": made.output_format
        or _FORMATS.get(media_type)
        or call.output_format
        or "png",
    }


def share_usage(usage: Usage | None, count: int) -> list[Usage | None]:
    """Return `usage` in `count` shares of whole tokens that add up to it exactly."""
    if usage is None:
        return [None] * count
    return [_share(usage, index, count) for index in range(count)]


def _share(usage: Usage, index: int, count: int) -> Usage:
    def part(tokens: int) -> int:
        return tokens * (index + 1) // count - tokens * index // count

    def parts(details: Tokens) -> Tokens:
        return Tokens(part(details.text_tokens), part(details.image_tokens))

    made = usage.output_tokens_details
    return Usage(
        input_tokens=part(usage.input_tokens),
        output_tokens=part(usage.output_tokens),
        total_tokens=part(usage.total_tokens),
        input_tokens_details=parts(usage.input_tokens_details),
        output_tokens_details=parts(made) if isinstance(made, Tokens) else made,
    )


def error_fields(error: ImageError, extra: Mapping[str, Json] | None = None) -> dict[str, Json]:
    """Return the error in OpenAI's shape, with `error.imagegate` for those who have to fix it.

    `extra` are further fields of `error.imagegate`.
    """
    return {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": error.param,
            "code": error.code,
            "imagegate": {
                "call_id": error.call_id,
                "fault": error.fault,
                "owner": error.owner,
                "attempts": msgspec.to_builtins(error.attempts),
                **(extra or {}),
            },
        }
    }


def error_body(error: ImageError, extra: Mapping[str, Json] | None = None) -> bytes:
    """Return the error's JSON body; `extra` are further fields of `error.imagegate`."""
    return msgspec.json.encode(error_fields(error, extra))


def build_error_event(error: ImageError, extra: Mapping[str, Json] | None = None) -> bytes:
    """Return the frame of an error; nested, because openai-python overlooks the flat form."""
    fields = {"type": "error", **error_fields(error, extra)}
    return b"event: error\ndata: " + msgspec.json.encode(fields) + b"\n\n"


def _frame(name: str, fields: Mapping[str, Json]) -> Body:
    body = build_json({"type": name, **fields})
    return (f"event: {name}\ndata: ".encode(), *body, b"\n\n")
