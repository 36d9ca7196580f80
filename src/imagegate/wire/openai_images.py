"""The upstream's side of OpenAI's Images API: one conversation, for every server that speaks it.

Requests are built in `openai_requests.py`, refusals are read in `openai_errors.py`.
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from math import isfinite
from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType

from imagegate.errors import ImageError, UpstreamEmptyError, UpstreamFailedError, UpstreamWords
from imagegate.types import Image, ImageResult, Json, PartialImage, TokenDetails, Usage
from imagegate.wire.exchange import (
    Answer,
    Command,
    Event,
    Exchange,
    UpstreamRequest,
    UpstreamResponse,
    emit,
    next_event,
    send,
)
from imagegate.wire.lift import Base64, blob_of_text
from imagegate.wire.openai_errors import Refusal, map_refusal, parse_refusal, read_words, scrub
from imagegate.wire.openai_errors import read_error as read_error
from imagegate.wire.openai_requests import build_edit_form as build_edit_form
from imagegate.wire.openai_requests import build_edit_json as build_edit_json
from imagegate.wire.openai_requests import build_generation as build_generation
from imagegate.wire.openai_requests import build_variation_form as build_variation_form

ReadError: TypeAlias = Callable[[UpstreamResponse], ImageError]
MapRefusal: TypeAlias = Callable[[Refusal, UpstreamWords], ImageError]
"""What an error within a 200 means to this provider."""

_PARTIAL = ".partial_image"
_COMPLETED = (".completed", ".partial_succeeded")
_EXTRA_FIELDS = ("safety_identifier", "svg_usage")


class ImageItem(Struct):
    """One entry of `data`; some servers put an error where an image should be."""

    b64_json: Base64 | None = None
    url: str | None = None
    revised_prompt: str | None = None
    error: Json = None


class ImagesAnswer(Struct):
    """The answer's body, as far as we look at it."""

    data: list[ImageItem] | None = None
    created: Json = 0
    size: Json = None
    quality: Json = None
    background: Json = None
    output_format: Json = None
    usage: Json = None
    error: Json = None
    safety_identifier: Json = None
    svg_usage: Json = None


def exchange(
    request: UpstreamRequest,
    read_error: ReadError = read_error,
    map_refusal: MapRefusal = map_refusal,
) -> Exchange:
    """Send `request` and return the images of its answer, JSON or event stream.

    The answer's own type decides, not what was asked for: a server that cannot stream sends JSON.
    """
    response = yield from send(request)
    if response.status >= 300:
        raise read_error(response)
    if response.is_event_stream:
        return (yield from _read_stream(map_refusal))
    return parse_answer(response, map_refusal)


def parse_answer(response: UpstreamResponse, map_refusal: MapRefusal = map_refusal) -> ImageResult:
    """Return the result of a 2xx answer in JSON.

    Raises `UpstreamEmptyError` where there is no image in it, and the error that it holds where
    it holds one instead.
    """
    try:
        answer = response.decode(ImagesAnswer)
    except UpstreamEmptyError as error:
        error.upstream = read_words(response)
        raise
    items = answer.data or []
    images = tuple(image for item in items if (image := _image(item)))
    if not images:
        refused = [answer.error, *(item.error for item in items)]
        raise _no_image(response, next(filter(None, refused), None), map_refusal)
    extra = {name: value for name in _EXTRA_FIELDS if (value := getattr(answer, name)) is not None}
    return ImageResult(
        images=images,
        created=_count(answer.created),
        size=_text(answer.size),
        quality=_text(answer.quality),
        background=_text(answer.background),
        output_format=_text(answer.output_format),
        usage=parse_usage(answer.usage),
        raw_usage=answer.usage if isinstance(answer.usage, dict) else None,
        extra=extra,
    )


def _image(item: ImageItem) -> Image | None:
    blob = item.b64_json.blob if item.b64_json and item.b64_json.blob.length else None
    if blob is None and not item.url:
        return None
    return Image(blob, item.url or None, item.revised_prompt)


def _no_image(response: UpstreamResponse, refused: Json, map_refusal: MapRefusal) -> ImageError:
    if refused:
        return map_refusal(parse_refusal({"error": refused}), read_words(response))
    return UpstreamEmptyError(
        "The upstream answered with success and without an image. It may have been billed; look "
        "at its own log before you ask again.",
        upstream=read_words(response),
    )


def parse_usage(raw: Json) -> Usage | None:
    """Return the tokens that were counted, None where none were; missing details count as 0."""
    if not isinstance(raw, dict):
        return None
    sent = raw.get("input_tokens", raw.get("prompt_tokens"))
    made = raw.get("output_tokens", raw.get("completion_tokens"))
    if sent is None and made is None:
        return None
    details = raw.get("output_tokens_details", raw.get("completion_tokens_details"))
    sent, made = _count(sent), _count(made)
    return Usage(
        input_tokens=sent,
        output_tokens=made,
        total_tokens=_count(raw.get("total_tokens")) or sent + made,
        input_tokens_details=_details(raw.get("input_tokens_details")),
        output_tokens_details=_details(details) if isinstance(details, dict) else UNSET,
    )


def _details(raw: Json) -> TokenDetails:
    if not isinstance(raw, dict):
        return TokenDetails()
    cached = _count(raw.get("cached_tokens", 0)) or UNSET
    return TokenDetails(_count(raw.get("text_tokens")), _count(raw.get("image_tokens")), cached)


def _read_stream(map_refusal: MapRefusal) -> Generator[Command, Answer, ImageResult]:
    """Hand on partial images; return what the completed events brought, once the stream ends."""
    completed: list[ImageResult] = []
    seen_partial = False
    while (event := (yield from next_event())) is not None:
        fields = event.data.json()
        if not isinstance(fields, dict):
            continue
        kind = str(fields.get("type") or event.name)
        if kind.endswith(_PARTIAL) and (partial := _partial(event, fields)):
            seen_partial = True
            yield from emit(partial)
        elif kind.endswith(_COMPLETED):
            completed.append(_completed(event, fields))
        elif kind == "error" or fields.get("error"):
            error = map_refusal(*refusal_of(event, fields))
            return _end_by_error(completed, error, seen_partial=seen_partial)
    return _join(completed)


def _event_image(event: Event, fields: Mapping[str, Json]) -> Image | None:
    text, url = fields.get("b64_json"), fields.get("url")
    if isinstance(text, str) and text:
        return Image(event.data.blob(text) or blob_of_text(text))
    return Image(url=url) if isinstance(url, str) and url else None


def _partial(event: Event, fields: Mapping[str, Json]) -> PartialImage | None:
    image = _event_image(event, fields)
    if image is None or image.blob is None:
        return None
    return PartialImage(
        image.blob,
        _count(fields.get("partial_image_index")),
        _created(fields),
        _text(fields.get("size")),
        _text(fields.get("quality")),
        _text(fields.get("background")),
        _text(fields.get("output_format")),
    )


def _completed(event: Event, fields: Mapping[str, Json]) -> ImageResult:
    """Return what one completed event brought; it may be usage alone."""
    image = _event_image(event, fields)
    usage = fields.get("usage")
    extra = {name: fields[name] for name in _EXTRA_FIELDS if fields.get(name) is not None}
    return ImageResult(
        images=(image,) if image else (),
        created=_created(fields),
        size=_text(fields.get("size")),
        quality=_text(fields.get("quality")),
        background=_text(fields.get("background")),
        output_format=_text(fields.get("output_format")),
        usage=parse_usage(usage),
        raw_usage=usage if isinstance(usage, dict) else None,
        extra=extra,
    )


def refusal_of(event: Event, fields: Mapping[str, Json]) -> tuple[Refusal, UpstreamWords]:
    """Return what an `error` event says, nested or flat, and its own words."""
    body = fields if fields.get("error") else {"error": fields}
    return parse_refusal(body), UpstreamWords(200, scrub(event.data.text()))


def _end_by_error(
    completed: Sequence[ImageResult], error: ImageError, *, seen_partial: bool
) -> ImageResult:
    """Return the images that came before the error; without any, raise it."""
    if any(result.images for result in completed):
        return _join(completed)
    if seen_partial and error.fault != "call":
        # The work had begun, so this is no refusal: an image may have been paid for.
        raise UpstreamFailedError(error.message, upstream=error.upstream)
    raise error


def _join(completed: Sequence[ImageResult]) -> ImageResult:
    """Return one result for all completed events. Raises where none brought an image."""
    images = tuple(image for result in completed for image in result.images)
    if not images:
        raise UpstreamFailedError(
            "The upstream's event stream ended before an image was complete. It may have been "
            "billed; look at the upstream's own log before you ask again."
        )
    first = next(result for result in completed if result.images)
    raw = [result.raw_usage for result in completed if result.raw_usage]
    return ImageResult(
        images=images,
        created=first.created,
        size=first.size,
        quality=first.quality,
        background=first.background,
        output_format=first.output_format,
        usage=sum_usage(result.usage for result in completed),
        raw_usage=sum_json(raw) if raw else None,
        extra=first.extra,
    )


def sum_usage(usages: Iterable[Usage | None]) -> Usage | None:
    """Return the tokens of several answers together, None where none of them counted any."""
    given = [usage for usage in usages if usage is not None]
    if not given:
        return None
    total = given[0]
    for usage in given[1:]:
        total = Usage(
            total.input_tokens + usage.input_tokens,
            total.output_tokens + usage.output_tokens,
            total.total_tokens + usage.total_tokens,
            _sum_details(total.input_tokens_details, usage.input_tokens_details),
            _sum_given(total.output_tokens_details, usage.output_tokens_details),
        )
    return total


def _sum_details(one: TokenDetails, other: TokenDetails) -> TokenDetails:
    cached = sum(each.cached_tokens or 0 for each in (one, other))
    return TokenDetails(
        one.text_tokens + other.text_tokens, one.image_tokens + other.image_tokens, cached or UNSET
    )


def _sum_given(
    one: TokenDetails | UnsetType, other: TokenDetails | UnsetType
) -> TokenDetails | UnsetType:
    # Half a breakdown would price tokens as nothing; without one, all are image tokens.
    if isinstance(one, UnsetType) or isinstance(other, UnsetType):
        return UNSET
    return _sum_details(one, other)


def sum_json(values: Sequence[Json]) -> Json:
    """Add up numbers, field by field; of anything else the first stands.

    Objects in lists are added to those that say the same in words (`{"modality": "TEXT", ...}`).
    """
    first = values[0]
    if isinstance(first, dict):
        objects = [value for value in values if isinstance(value, dict)]
        names = dict.fromkeys(name for value in objects for name in value)
        return {name: sum_json([o[name] for o in objects if name in o]) for name in names}
    if isinstance(first, list):
        return _sum_lists([value for value in values if isinstance(value, list)])
    numbers = [value for value in values if _is_number(value)]
    return sum(numbers) if _is_number(first) else first


def _sum_lists(lists: Sequence[list[Json]]) -> list[Json]:
    if not all(isinstance(item, dict) for items in lists for item in items):
        return lists[0]
    alike: dict[str, list[Json]] = {}
    for item in (item for items in lists for item in items):
        words = sorted((name, str(v)) for name, v in item.items() if not _is_number(v))
        alike.setdefault(str(words), []).append(item)
    return [sum_json(items) for items in alike.values()]


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _created(fields: Mapping[str, Json]) -> int:
    return _count(fields.get("created_at", fields.get("created")))


def _count(value: Json) -> int:
    """Return a whole number >= 0; 0 for what is none."""
    if type(value) is int:
        return value if value > 0 else 0
    return max(int(value), 0) if _is_number(value) else 0


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None
