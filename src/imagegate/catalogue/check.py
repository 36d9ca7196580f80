"""What a model takes: refuse what nobody takes, translate what another model takes.

Two questions. `check_universe`: does any OpenAI image model take these values, or did one? Else it
is a 400 everywhere. `check_call`: does this model? Else the value is translated or left out, and
reported; a mask, `n` and a transparent background never are, they are refused.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import msgspec
from msgspec import Struct

from imagegate.catalogue.geometry import (
    flexible_fault,
    is_valid_flexible,
    nearest_flexible,
    nearest_listed,
    parse_size,
)
from imagegate.catalogue.model import Model
from imagegate.errors import BadRequestError
from imagegate.types import Adjustment, AdjustPolicy, Blob, ImageCall, Json

QUALITY_RANKS: Mapping[str, int] = {
    "low": 0,
    "medium": 1,
    "standard": 1,
    "high": 2,
    "hd": 2,
    "xhigh": 3,
    "max": 4,
}
KNOWN_VALUES: Mapping[str, tuple[str, ...]] = {
    "quality": ("auto", *QUALITY_RANKS),
    "background": ("auto", "opaque", "transparent"),
    "output_format": ("png", "jpeg", "webp", "gif", "svg"),
    "moderation": ("auto", "low"),
    "style": ("vivid", "natural"),
    "response_format": ("url", "b64_json"),
    "input_fidelity": ("high", "low"),
    "complexity": ("low", "medium", "high"),
}
"""Every value that an OpenAI image model takes or took."""

FIXED_SIZES = (
    "256x256",
    "512x512",
    "1024x1024",
    "1536x1024",
    "1024x1536",
    "1792x1024",
    "1024x1792",
)
"""Sizes of models that have a list; some lie outside the flexible rule."""

RANGES: Mapping[str, tuple[int, int]] = {
    "n": (1, 10),
    "output_compression": (0, 100),
    "partial_images": (0, 3),
    "frame_count": (2, 16),
    "frame_duration_ms": (1, 655_350),
}
IMAGES_MAX = 16
PROMPT_CHARS_MAX = 32_000

COMPRESSED_FORMATS = ("jpeg", "webp")
WHOLE_FORMATS = ("gif", "svg")
"""Formats that come at once: no stream, no partial images."""

OPAQUE_FORMATS = ("jpeg", "gif")


class _Change(Struct, frozen=True):
    """One field that the model does not take as asked; `sent` is None where it is left out."""

    param: str
    sent: Json
    reason: str
    allowed: tuple[str, ...] = ()


_Rule: TypeAlias = Callable[[ImageCall, Model], _Change | None]


def check_shape(call: ImageCall) -> None:
    """Raise `BadRequestError` where a call makes no sense at any server."""
    if call.operation != "variation" and not call.prompt.strip():
        raise _missing("prompt")
    if call.operation != "generate" and not call.images:
        raise _missing("image")
    if call.n < 1:
        raise BadRequestError(f"Invalid value for 'n': {call.n}; use 1 or more.", param="n")
    if call.mask is not None and call.markup is not None:
        raise BadRequestError("Send either 'mask' or 'markup', not both.", param="markup")


def check_universe(call: ImageCall) -> None:
    """Raise `BadRequestError` where a value is none that an OpenAI image model takes or took."""
    check_shape(call)
    for param, known in KNOWN_VALUES.items():
        value = getattr(call, param)
        if value is not None and value not in known:
            raise _invalid(param, value, known)
    for param, bounds in RANGES.items():
        _check_range(param, getattr(call, param), bounds)
    _check_size(call.size)
    _check_length("prompt", len(call.prompt), PROMPT_CHARS_MAX, "string_above_max_length")
    _check_length("image", len(call.images), IMAGES_MAX, "invalid_value")
    if call.background == "transparent":
        _check_transparency(call.output_format)


def check_call(
    call: ImageCall, model: Model, *, policy: AdjustPolicy = "nearest"
) -> tuple[ImageCall, tuple[Adjustment, ...]]:
    """Return the call as `model` takes it, and what differs from what was asked.

    What makes no difference to the result is not reported: `auto` where the word is unknown,
    `stream` (the gateway streams the finished image itself), `response_format: b64_json`. Raises
    `BadRequestError` for what is never left out and, with `strict`, for every difference.
    """
    _refuse(call, model)
    call = _without_words(call, model)
    adjustments = []
    for rule in _RULES:
        change = rule(call, model)
        if change is None:
            continue
        asked = getattr(call, change.param)
        if policy == "strict":
            raise _not_offered(change, asked, model)
        adjustments.append(Adjustment(change.param, asked, change.sent, change.reason))
        call = msgspec.structs.replace(call, **{change.param: change.sent})
    return _without_stream(call, model), tuple(adjustments)


# What nobody takes


def _check_range(param: str, value: int | None, bounds: tuple[int, int]) -> None:
    least, most = bounds
    if value is not None and not least <= value <= most:
        raise BadRequestError(
            f"Invalid value for {param!r}: {value}. It must be between {least} and {most}.",
            param=param,
        )


def _check_size(size: str | None) -> None:
    if size is None or size == "auto" or size in FIXED_SIZES:
        return
    pixels = parse_size(size)
    if pixels is None:
        reason = "It must be 'auto' or 'WIDTHxHEIGHT' in pixels, like '1024x1024'."
    else:
        reason = flexible_fault(*pixels) or ""
    if reason:
        raise BadRequestError(f"Invalid size {size!r}. {reason}", param="size")


def _check_length(param: str, count: int, most: int, code: str) -> None:
    if count <= most:
        return
    unit = "characters" if param == "prompt" else "images"
    raise BadRequestError(
        f"Invalid {param!r}: {count:,} {unit}; the maximum is {most:,}.", param=param, code=code
    )


def _check_transparency(output_format: str | None) -> None:
    if output_format not in OPAQUE_FORMATS:
        return
    raise BadRequestError(
        f"Transparent background is not supported for {output_format.upper()} output format;"
        " use png or webp.",
        param="background",
    )


def _invalid(param: str, value: str, known: Iterable[str]) -> BadRequestError:
    supported = ", ".join(repr(word) for word in known)
    return BadRequestError(
        f"Invalid value: {value!r}. Supported values are: {supported}.", param=param
    )


def _missing(param: str) -> BadRequestError:
    return BadRequestError(
        f"Missing required parameter: {param!r}.", param=param, code="missing_required_parameter"
    )


# What is never left out


def _refuse(call: ImageCall, model: Model) -> None:
    _refuse_counts(call, model)
    _refuse_inputs(call, model)
    if call.background == "transparent" and "transparent" not in model.backgrounds:
        raise BadRequestError(
            f"Transparent background is not supported by {model.id!r}; leave it out, or use"
            " another model.",
            param="background",
        )
    if _format(call, model) == "svg" and call.n != 1:
        raise BadRequestError("SVG output needs 'n' to be 1.", param="n")


def _refuse_counts(call: ImageCall, model: Model) -> None:
    _check_length("prompt", len(call.prompt), model.prompt_chars_max, "string_above_max_length")
    if call.n > model.n_max:
        raise BadRequestError(
            f"{model.id!r} makes at most {model.n_max} images a call, not {call.n}.", param="n"
        )
    if len(call.images) > model.images_max:
        raise BadRequestError(
            f"{model.id!r} takes at most {model.images_max} input images, not {len(call.images)}.",
            param="image",
        )


def _refuse_inputs(call: ImageCall, model: Model) -> None:
    if call.mask is not None and (not model.mask or _format(call, model) == "gif"):
        whom = repr(model.id) if not model.mask else "GIF output"
        raise BadRequestError(f"A mask is not supported by {whom}.", param="mask")
    if call.markup is not None and not model.markup:
        raise BadRequestError(
            f"A markup image is not supported by {model.id!r}; use gpt-image-2.5 or later.",
            param="markup",
        )
    for image in call.images:
        if isinstance(image, Blob) and image.media_type:
            _refuse_format(image.media_type, model)


def _refuse_format(media_type: str, model: Model) -> None:
    supported = [f"image/{name}" for name in model.input_formats]
    if media_type in supported:
        return
    raise BadRequestError(
        f"Invalid file 'image': {model.id!r} does not take {media_type!r}. Supported file formats"
        f" are {', '.join(map(repr, supported))}.",
        param="image",
        code="unsupported_file_mimetype",
    )


# What is translated or left out


def _size(call: ImageCall, model: Model) -> _Change | None:
    pixels = parse_size(call.size or "")
    if pixels is None:
        return None
    if model.sizes == "flexible":
        if is_valid_flexible(*pixels):
            return None
        nearest = "{}x{}".format(*nearest_flexible(*pixels))
        allowed: tuple[str, ...] = ("WIDTHxHEIGHT in multiples of 16", "auto")
    else:
        nearest, allowed = nearest_listed(*pixels, model.sizes), model.sizes
    if nearest == call.size:
        return None
    return _Change("size", nearest, f"the nearest size that {model.id} has", allowed)


def _quality(call: ImageCall, model: Model) -> _Change | None:
    rank = QUALITY_RANKS.get(call.quality or "")
    if rank is None or call.quality in model.qualities:
        return None
    offered = [word for word in model.qualities if word in QUALITY_RANKS]
    if not offered:
        return _left_out("quality", model)
    nearest = min(offered, key=lambda word: abs(QUALITY_RANKS[word] - rank))
    reason = f"the nearest quality that {model.id} has"
    return _Change("quality", nearest, reason, model.qualities)


def _output_format(call: ImageCall, model: Model) -> _Change | None:
    if call.output_format is None or call.output_format in model.output_formats:
        return None
    if not model.output_formats:
        return _left_out("output_format", model)
    sent = model.output_formats[0]
    reason = f"{model.id} does not make {call.output_format}"
    return _Change("output_format", sent, reason, model.output_formats)


def _output_compression(call: ImageCall, model: Model) -> _Change | None:
    if call.output_compression is None or _format(call, model) in COMPRESSED_FORMATS:
        return None
    return _Change("output_compression", None, "only jpeg and webp are compressed so")


def _input_fidelity(call: ImageCall, model: Model) -> _Change | None:
    offered = model.input_fidelities
    if call.input_fidelity is None or (call.operation == "edit" and call.input_fidelity in offered):
        return None
    if not offered or call.operation != "edit":
        return _left_out("input_fidelity", model)
    reason = f"the only input fidelity that {model.id} has"
    return _Change("input_fidelity", offered[0], reason, offered)


def _response_format(call: ImageCall, model: Model) -> _Change | None:
    if call.response_format is None or call.response_format in model.response_formats:
        return None
    return _Change("response_format", None, f"{model.id} answers with b64_json", ("b64_json",))


def _word_rule(param: str, field: str) -> _Rule:
    """Return the rule for a field that is sent where the model lists the word, else left out."""

    def rule(call: ImageCall, model: Model) -> _Change | None:
        value, offered = getattr(call, param), getattr(model, field)
        if value is None or value in offered:
            return None
        return _left_out(param, model, offered)

    return rule


def _format_rule(param: str, output_format: str) -> _Rule:
    """Return the rule for a field that means something for one output format only."""

    def rule(call: ImageCall, model: Model) -> _Change | None:
        if getattr(call, param) is None or _format(call, model) == output_format:
            return None
        return _Change(param, None, f"it is for {output_format} only")

    return rule


_RULES: tuple[_Rule, ...] = (
    _size,
    _quality,
    _output_format,
    _output_compression,
    _input_fidelity,
    _response_format,
    _word_rule("background", "backgrounds"),
    _word_rule("moderation", "moderations"),
    _word_rule("style", "styles"),
    _word_rule("complexity", "complexities"),
    _format_rule("frame_count", "gif"),
    _format_rule("frame_duration_ms", "gif"),
    _format_rule("svg", "svg"),
)


def _left_out(param: str, model: Model, allowed: tuple[str, ...] = ()) -> _Change:
    return _Change(param, None, f"{model.id} does not take it", allowed)


def _not_offered(change: _Change, asked: Json, model: Model) -> BadRequestError:
    remedy = f"use one of {', '.join(change.allowed)}" if change.allowed else "leave it out"
    return BadRequestError(
        f"{change.param} {asked!r} is not offered by {model.id!r} ({change.reason}); {remedy}.",
        param=change.param,
        code="invalid_value" if change.allowed else "unknown_parameter",
    )


def _without_words(call: ImageCall, model: Model) -> ImageCall:
    """Return the call without words that say what happens anyway."""
    gone = {
        param: None
        for param, offered in (
            ("size", model.sizes),
            ("quality", model.qualities),
            ("background", model.backgrounds),
            ("moderation", model.moderations),
        )
        if getattr(call, param) == "auto" and offered != "flexible" and "auto" not in offered
    }
    if call.response_format == "b64_json" and "b64_json" not in model.response_formats:
        gone["response_format"] = None
    if call.output_compression == 100 and _format(call, model) not in COMPRESSED_FORMATS:
        gone["output_compression"] = None
    return msgspec.structs.replace(call, **gone)


def _without_stream(call: ImageCall, model: Model) -> ImageCall:
    """Return the call without what only a stream has, where none will come from upstream."""
    if call.stream and model.stream and _format(call, model) not in WHOLE_FORMATS:
        return call
    return msgspec.structs.replace(call, stream=False, partial_images=None)


def _format(call: ImageCall, model: Model) -> str:
    """Return the format that the model will answer in."""
    if call.output_format in model.output_formats:
        return str(call.output_format)
    return model.output_formats[0] if model.output_formats else "png"
