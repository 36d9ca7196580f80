"""What is translated or left out because a model does not take it; every difference is reported.

What makes no difference to the result is not reported: `auto` where the word is unknown, `stream`
(the gateway streams the finished image itself), `response_format` (urls are ours, and bytes are
fetched).
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec
from msgspec import Struct

from imagegate.catalogue.check import QUALITY_RANKS, format_of, refuse_lacks
from imagegate.catalogue.geometry import (
    nearest_ratio,
    nearest_resolution,
    nominal_px,
    parse_ratio,
)
from imagegate.catalogue.model import Model
from imagegate.catalogue.shape import allowed_shapes, shape_for
from imagegate.errors import BadRequestError
from imagegate.types import Adjustment, AdjustPolicy, ImageCall, Json

COMPRESSED_FORMATS = ("jpeg", "webp")
WHOLE_FORMATS = ("gif", "svg")
"""Formats that come at once: no stream, no partial images."""

LOCAL_FORMATS = ("png", "jpeg", "webp")
"""Formats that an image is re-encoded to here, where its model does not make them."""


class Encoding(Struct, frozen=True):
    """The format that a finished image is re-encoded to; `compression` is 0 to 100, None: ours."""

    format: str
    compression: int | None = None


class _Change(Struct, frozen=True):
    """One field that the model does not take as asked; `sent` is None where it is left out.

    `fields` are the call's fields that change, where it is not the one named. Without
    `is_difference` the caller gets what was asked, said in other words.
    """

    param: str
    sent: Json
    reason: str = ""
    allowed: tuple[str, ...] = ()
    fields: Mapping[str, Json] = {}
    is_difference: bool = True


_Rule: TypeAlias = Callable[[ImageCall, Model], _Change | None]


def check_call(
    call: ImageCall, model: Model, *, policy: AdjustPolicy = "nearest"
) -> tuple[ImageCall, tuple[Adjustment, ...]]:
    """Return the call as `model` takes it, and what differs from what was asked.

    Raises `BadRequestError` for what is never left out and, with `strict`, for every difference.
    """
    refuse_lacks(call, model)
    call = _without_words(call, model)
    adjustments = []
    for rule in _RULES:
        change = rule(call, model)
        if change is None:
            continue
        asked = getattr(call, change.param)
        if change.is_difference:
            if policy == "strict":
                raise _not_offered(change, asked, model)
            adjustments.append(Adjustment(change.param, asked, change.sent, change.reason))
        fields = change.fields or {change.param: change.sent}
        call = msgspec.structs.replace(call, **fields)
    return _without_stream(call, model), tuple(adjustments)


def encoding_for(call: ImageCall, model: Model) -> Encoding | None:
    """Return what the answer to `call`, as asked, is re-encoded to; None where it stays as made.

    Only where a format was asked for that the model lacks.
    """
    if not _is_encoded_here(call.output_format, model):
        return None
    compression = call.output_compression if call.output_format in COMPRESSED_FORMATS else None
    return Encoding(str(call.output_format), compression)


def _is_encoded_here(output_format: str | None, model: Model) -> bool:
    if output_format not in LOCAL_FORMATS or output_format in model.output_formats:
        return False
    made = model.output_formats or (model.default_format,)
    return output_format not in made and "svg" not in made


# The rules


def _aspect_ratio(call: ImageCall, model: Model) -> _Change | None:
    asked, offered = call.aspect_ratio, model.aspect_ratios
    if asked is None or asked in offered:
        return None
    sides = parse_ratio(asked)
    if sides is None:
        raise _unreadable("aspect_ratio", asked, offered)
    nearest = nearest_ratio(*sides, offered).text
    return _Change("aspect_ratio", nearest, f"the nearest that {model.id} has", offered)


def _resolution(call: ImageCall, model: Model) -> _Change | None:
    asked, offered = call.resolution, model.resolutions
    if asked is None or asked in offered:
        return None
    if not asked[:1].isdigit():
        raise _unreadable("resolution", asked, offered)
    side_px = nominal_px(asked)
    nearest = nearest_resolution(side_px, side_px, offered)
    is_same = nominal_px(nearest) == side_px  # "2k" for "2K"
    reason = f"the nearest that {model.id} has"
    return _Change("resolution", nearest, reason, offered, is_difference=not is_same)


def _unreadable(param: str, asked: str, offered: tuple[str, ...]) -> BadRequestError:
    return BadRequestError(
        f"Invalid {param!r}: {asked!r}. Use one of {', '.join(offered)}.", param=param
    )


def _size(call: ImageCall, model: Model) -> _Change | None:
    if call.size is None or call.size == "auto":
        return None
    if call.aspect_ratio is not None:
        return _Change("size", None, "aspect_ratio was given, which decides the shape")
    shape = shape_for(call.size, model)
    if shape is None:
        return _left_out("size", model)
    fields = {
        "size": shape.size,
        "aspect_ratio": shape.aspect_ratio,
        "resolution": call.resolution or shape.resolution,
    }
    if fields["size"] == call.size:
        return None
    if not model.aspect_ratios:
        reason = f"the nearest size that {model.id} has"
    else:
        made = f"; this one comes as {shape.pixels}" if shape.pixels else ""
        reason = f"{model.id} takes aspect ratios, not pixels{made}"
    allowed = allowed_shapes(model)
    return _Change("size", str(shape), reason, allowed, fields, not shape.is_exact)


def _quality(call: ImageCall, model: Model) -> _Change | None:
    asked = call.quality or ""
    if asked in model.quality_values:
        return _Change("quality", model.quality_values[asked], is_difference=False)
    rank = QUALITY_RANKS.get(asked)
    if rank is None or asked in (*model.qualities, *model.quality_values.values()):
        return None
    words = {word: word for word in model.qualities} | dict(model.quality_values)
    offered = [word for word in words if word in QUALITY_RANKS]
    if not offered:
        return _left_out("quality", model)
    nearest = min(offered, key=lambda word: abs(QUALITY_RANKS[word] - rank))
    reason = f"the nearest quality that {model.id} has"
    is_same = nearest in model.quality_values and QUALITY_RANKS[nearest] == rank
    return _Change("quality", words[nearest], reason, tuple(words), is_difference=not is_same)


def _output_format(call: ImageCall, model: Model) -> _Change | None:
    asked = call.output_format
    if asked is None or asked in model.output_formats:
        return None
    if not model.output_formats and asked == model.default_format:
        return _Change("output_format", None, is_difference=False)
    sent = next(iter(model.output_formats), None)
    reason = f"{model.id} does not make {asked}"
    if not _is_encoded_here(asked, model):
        return _Change("output_format", sent, reason, model.output_formats)
    sent = "png" if "png" in model.output_formats else sent  # the only one without a loss
    fields = {"output_format": sent}
    if asked in COMPRESSED_FORMATS:
        fields["output_compression"] = None
    reason += ": it is re-encoded here"
    return _Change("output_format", sent, reason, model.output_formats, fields)


def _output_compression(call: ImageCall, model: Model) -> _Change | None:
    if call.output_compression is None:
        return None
    if format_of(call, model) not in COMPRESSED_FORMATS:
        return _Change("output_compression", None, "only jpeg and webp are compressed so")
    if model.output_formats and model.output_compression:
        return None
    return _left_out("output_compression", model)


def _input_fidelity(call: ImageCall, model: Model) -> _Change | None:
    offered = model.input_fidelities
    if call.input_fidelity is None or (call.operation == "edit" and call.input_fidelity in offered):
        return None
    if not offered or call.operation != "edit":
        return _left_out("input_fidelity", model)
    reason = f"the only input fidelity that {model.id} has"
    return _Change("input_fidelity", offered[0], reason, offered)


def _seed(call: ImageCall, model: Model) -> _Change | None:
    if call.seed is None or 0 <= call.seed <= model.seed_max > 0:
        return None
    if not model.seed_max:
        return _left_out("seed", model)
    reason = f"the seeds of {model.id} end at {model.seed_max}"
    return _Change("seed", call.seed % (model.seed_max + 1), reason, (f"0 to {model.seed_max}",))


def _negative_prompt(call: ImageCall, model: Model) -> _Change | None:
    if call.negative_prompt is None or model.negative_prompt:
        return None
    return _left_out("negative_prompt", model)


def _word_rule(param: str, field: str) -> _Rule:
    """Return the rule for a field that is sent where the model lists the word, else left out."""

    def rule(call: ImageCall, model: Model) -> _Change | None:
        value, offered = getattr(call, param), getattr(model, field)
        if value is None or value in offered or param in model.params:
            return None
        return _left_out(param, model, offered)

    return rule


def _edit_rule(param: str, left_out: Json = None) -> _Rule:
    """Return the rule for a field that an edit does not take at some models."""

    def rule(call: ImageCall, model: Model) -> _Change | None:
        if call.operation != "edit" or param not in model.edit_without:
            return None
        if getattr(call, param) in (None, ""):
            return None
        reason = f"an edit by {model.id} takes none"
        return _Change(param, None, reason, fields={param: left_out})

    return rule


def _format_rule(param: str, output_format: str) -> _Rule:
    """Return the rule for a field that means something for one output format only."""

    def rule(call: ImageCall, model: Model) -> _Change | None:
        if getattr(call, param) is None or format_of(call, model) == output_format:
            return None
        return _Change(param, None, f"it is for {output_format} only")

    return rule


_RULES: tuple[_Rule, ...] = (
    _edit_rule("prompt", left_out=""),
    _edit_rule("size"),
    _edit_rule("aspect_ratio"),
    _edit_rule("output_format"),
    _edit_rule("seed"),
    _edit_rule("negative_prompt"),
    _aspect_ratio,
    _resolution,
    _size,
    _quality,
    _output_format,
    _output_compression,
    _input_fidelity,
    _seed,
    _negative_prompt,
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
            ("size", () if model.aspect_ratios else model.sizes),
            ("quality", (*model.qualities, *model.quality_values)),
            ("background", model.backgrounds),
            ("moderation", model.moderations),
        )
        if getattr(call, param) == "auto" and offered != "flexible" and "auto" not in offered
    }
    if call.response_format not in model.response_formats:
        gone["response_format"] = None
    if call.output_compression == 100 and format_of(call, model) not in COMPRESSED_FORMATS:
        gone["output_compression"] = None
    return msgspec.structs.replace(call, **gone)


def _without_stream(call: ImageCall, model: Model) -> ImageCall:
    """Return the call without what only a stream has, where none will come from upstream."""
    if call.stream and model.stream and format_of(call, model) not in WHOLE_FORMATS:
        return call
    return msgspec.structs.replace(call, stream=False, partial_images=None)
