"""What is refused: values that nobody takes, and what a model lacks and nobody may leave out.

`check_universe`: does any OpenAI image model take these values, or did one, or this one? Else it
is a 400. `refuse_lacks`: masks, inputs and a transparent background are never left out. All else
that a model does not take is translated: `adjust.py`.
"""

from collections.abc import Iterable, Mapping

from imagegate.catalogue.geometry import flexible_fault, parse_ratio, parse_size
from imagegate.catalogue.model import Model
from imagegate.catalogue.shape import fits_any
from imagegate.errors import BadRequestError
from imagegate.types import Blob, ImageCall

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

OPAQUE_FORMATS = ("jpeg", "gif")


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


def check_universe(call: ImageCall, model: Model | None = None) -> None:
    """Raise `BadRequestError` where a value is none that an OpenAI image model takes or took.

    What `model` itself takes is fine at `model`: its own words, its own sizes.
    """
    check_shape(call)
    for param, known in KNOWN_VALUES.items():
        value = getattr(call, param)
        if value is not None and value not in known and not _has_word(model, param, value):
            raise _invalid(param, value, known)
    for param, bounds in RANGES.items():
        _check_range(param, getattr(call, param), bounds)
    if not _has_size(model, call.size):
        _check_size(call.size)
    most = max(PROMPT_CHARS_MAX, model.prompt_chars_max if model else 0)
    _check_length("prompt", len(call.prompt), most, "string_above_max_length")
    _check_length("image", len(call.images), IMAGES_MAX, "invalid_value")
    if call.background == "transparent":
        _check_transparency(call.output_format)


def refuse_lacks(call: ImageCall, model: Model) -> None:
    """Raise `BadRequestError` for what `model` lacks and is never left out."""
    _refuse_counts(call, model)
    _refuse_inputs(call, model)
    if call.background == "transparent" and "transparent" not in model.backgrounds:
        raise BadRequestError(
            f"Transparent background is not supported by {model.id!r}; leave it out, or use"
            " another model.",
            param="background",
        )
    if call.output_format == "svg" in model.output_formats[1:] and call.n != 1:
        raise BadRequestError("SVG output needs 'n' to be 1.", param="n")


def format_of(call: ImageCall, model: Model) -> str:
    """Return the format that the model will answer in."""
    if call.output_format in model.output_formats:
        return str(call.output_format)
    return model.output_formats[0] if model.output_formats else model.default_format or "png"


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


def _has_word(model: Model | None, param: str, value: str) -> bool:
    if model is None:
        return False
    fields = {"style": model.styles, "quality": (*model.qualities, *model.quality_values.values())}
    return value in fields.get(param, ()) or param in model.params


def _has_size(model: Model | None, size: str | None) -> bool:
    if model is None or size is None:
        return False
    pixels = parse_size(size)
    if model.sizes == "any" and pixels:
        return fits_any(pixels, model)
    if parse_ratio(size):
        return size in model.aspect_ratios
    return not isinstance(model.sizes, str) and size in model.sizes


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


def _refuse_counts(call: ImageCall, model: Model) -> None:
    _check_length("prompt", len(call.prompt), model.prompt_chars_max, "string_above_max_length")
    if len(call.images) > model.images_max:
        raise BadRequestError(
            f"{model.id!r} takes at most {model.images_max} input images, not {len(call.images)}.",
            param="image",
        )


def _refuse_inputs(call: ImageCall, model: Model) -> None:
    if call.mask is not None and (not model.mask or format_of(call, model) == "gif"):
        whom = repr(model.id) if not model.mask else "GIF output"
        raise BadRequestError(
            f"A mask is not supported by {whom}.", param="mask", code="mask_not_supported"
        )
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
