"""Google's answers for images: one conversation, for Google AI Studio and for Vertex AI.

A 200 without an image has eight meanings; `no_image` tells them apart. Requests are built in
`google_requests.py`, refusals are read in `google_errors.py`.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TypeAlias, TypeVar
from urllib.parse import quote

from msgspec import UNSET, Struct, UnsetType

from imagegate.errors import ImageError, UpstreamEmptyError, UpstreamFailedError, UpstreamWords
from imagegate.types import Image, ImageResult, Json, TokenDetails, Usage
from imagegate.wire.exchange import (
    Answer,
    Command,
    Event,
    Exchange,
    UpstreamRequest,
    UpstreamResponse,
    next_event,
    send,
)
from imagegate.wire.google_errors import map_status, parse_status
from imagegate.wire.google_silence import Silence, no_image, no_prediction
from imagegate.wire.lift import Base64
from imagegate.wire.openai_errors import read_words, scrub

T = TypeVar("T")
ReadError: TypeAlias = Callable[[UpstreamResponse], ImageError]

TEXT_CHARS_MAX = 4000
_BUCKET = "gs://"


class InlineData(Struct, rename="camel"):
    """Bytes in an answer."""

    mime_type: str | None = None
    data: Base64 | None = None


class FileData(Struct, rename="camel"):
    """A file that Google keeps, where the deployment's owner asked for that."""

    mime_type: str | None = None
    file_uri: str | None = None


class Part(Struct, rename="camel"):
    """One piece of an answer. A thought is a draft: never the result."""

    text: str | None = None
    inline_data: InlineData | None = None
    file_data: FileData | None = None
    thought: bool | None = None


class Content(Struct):
    """What the model said; `parts` is missing where it was stopped."""

    parts: list[Part] | None = None


class Candidate(Struct, rename="camel"):
    """One answer of the model; image models give one."""

    content: Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    safety_ratings: Json = None


class Feedback(Struct, rename="camel"):
    """Why a prompt went no further."""

    block_reason: str | None = None
    block_reason_message: str | None = None
    safety_ratings: Json = None


class ContentAnswer(Struct, rename="camel"):
    """The body of `generateContent`, or one event of its stream, as far as we look at it."""

    candidates: list[Candidate] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: Json = None
    error: Json = None


class Prediction(Struct, rename="camel"):
    """One entry of Imagen's answer: an image, or why there is none, or ratings of the prompt."""

    bytes_base64_encoded: Base64 | None = None
    gcs_uri: str | None = None
    prompt: str | None = None
    rai_filtered_reason: str | None = None


class PredictAnswer(Struct):
    """The body of `predict`; filtered as a whole it may lack everything."""

    predictions: list[Prediction] | None = None


def exchange(
    request: UpstreamRequest, read_error: ReadError, *, name: str, is_predicted: bool
) -> Exchange:
    """Send `request` and return the images of its answer, JSON or event stream."""
    response = yield from send(request)
    if response.status >= 300:
        raise read_error(response)
    if response.is_event_stream:
        return (yield from _read_stream(name))
    return parse_prediction(response, name) if is_predicted else parse_content(response, name)


def parse_content(response: UpstreamResponse, name: str) -> ImageResult:
    """Return the result of a `generateContent` that was a success; raise where it holds no image.

    `usage` counts thoughts and words as text, as Google bills them.
    """
    words = read_words(response)
    return _result([_decoded(response, ContentAnswer)], words, name)


def parse_prediction(response: UpstreamResponse, name: str) -> ImageResult:
    """Return Imagen's images; those that were filtered are left out, unless all were."""
    predictions = _decoded(response, PredictAnswer).predictions or []
    images = [
        Image(blob=part.bytes_base64_encoded.blob, revised_prompt=part.prompt or None)
        for part in predictions
        if part.bytes_base64_encoded and part.bytes_base64_encoded.blob.length
    ]
    images += [_stored(part.gcs_uri) for part in predictions if part.gcs_uri]
    if not images:
        reasons = [part.rai_filtered_reason for part in predictions if part.rai_filtered_reason]
        raise no_prediction(reasons, read_words(response), name)
    return ImageResult(images=tuple(images))


def _decoded(response: UpstreamResponse, shape: type[T]) -> T:
    try:
        return response.decode(shape)
    except UpstreamEmptyError as error:
        error.upstream = read_words(response)
        raise


def _read_stream(name: str) -> Generator[Command, Answer, ImageResult]:
    """Return what all events of the stream hold; an image comes whole, within one of them."""
    answers: list[ContentAnswer] = []
    last: Event | None = None
    while (event := (yield from next_event())) is not None:
        last = event
        answer = event.data.decode(ContentAnswer)
        if answer.error:
            return _end_by_error(answers, event, name)
        answers.append(answer)
    words = UpstreamWords(200, scrub(last.data.text()) if last else "")
    if not any(_has_ended(answer) for answer in answers) and not any(map(_has_image, answers)):
        raise _broke_off(words, name)
    return _result(answers, words, name)


def _end_by_error(answers: Sequence[ContentAnswer], event: Event, name: str) -> ImageResult:
    """Return the images that came before the error; without any, raise what it says."""
    words = UpstreamWords(200, scrub(event.data.text()))
    if any(map(_has_image, answers)):
        return _result(answers, words, name)
    body = event.data.json()
    code = body["error"].get("code") if isinstance(body["error"], dict) else None
    status = code if isinstance(code, int) and 300 <= code < 600 else 500
    raise map_status(parse_status(body), UpstreamWords(status, words.text), name=name)


def _broke_off(words: UpstreamWords, name: str) -> ImageError:
    return UpstreamFailedError(
        f"{name}'s event stream ended before an image was complete. It may have been billed; look "
        "at Google's own log before you ask again.",
        upstream=words,
    )


def _has_ended(answer: ContentAnswer) -> bool:
    """Return whether this event says how the answer ended."""
    reasons = [candidate.finish_reason for candidate in answer.candidates or ()]
    return bool(answer.prompt_feedback) or any(reasons)


def _has_image(answer: ContentAnswer) -> bool:
    return any(_image(part) for part in _parts([answer]))


def _result(answers: Sequence[ContentAnswer], words: UpstreamWords, name: str) -> ImageResult:
    parts = _parts(answers)
    images = tuple(image for part in parts if (image := _image(part)))
    text = "".join(part.text or "" for part in parts).strip()[:TEXT_CHARS_MAX]
    if not images:
        raise no_image(_silence(answers, text), words, name)
    raw = next((a.usage_metadata for a in reversed(answers) if a.usage_metadata), None)
    return ImageResult(
        images=images,
        usage=parse_usage(raw),
        raw_usage=raw if isinstance(raw, dict) else None,
        extra={"text": text} if text else {},
    )


def _parts(answers: Iterable[ContentAnswer]) -> list[Part]:
    """Return all that the model said, without its thoughts, in order."""
    contents = [c.content for answer in answers for c in answer.candidates or () if c.content]
    return [part for content in contents for part in content.parts or () if not part.thought]


def _image(part: Part) -> Image | None:
    inline, file = part.inline_data, part.file_data
    if inline and inline.data and _is_image(inline.mime_type) and inline.data.blob.length:
        return Image(blob=inline.data.blob)
    return _stored(file.file_uri) if file and file.file_uri and _is_image(file.mime_type) else None


def _is_image(mime_type: str | None) -> bool:
    return not mime_type or mime_type.startswith("image/")


def _stored(uri: str) -> Image:
    if uri.startswith(_BUCKET):
        uri = f"https://storage.googleapis.com/{quote(uri.removeprefix(_BUCKET))}"
    return Image(url=uri)


def _silence(answers: Sequence[ContentAnswer], text: str) -> Silence:
    """Return why there is no image, as Google puts it."""
    feedback = next((a.prompt_feedback for a in answers if a.prompt_feedback), Feedback())
    ends = [c for answer in answers for c in answer.candidates or () if c.finish_reason]
    end = ends[-1] if ends else Candidate()
    blocked = feedback.block_reason
    return Silence(
        blocked=blocked or "",
        finish=end.finish_reason or "",
        message=(feedback.block_reason_message if blocked else end.finish_message) or "",
        ratings=feedback.safety_ratings if blocked else end.safety_ratings,
        text=text,
    )


# --- tokens ------------------------------------------------------------------------------------


def parse_usage(raw: Json) -> Usage | None:
    """Return the tokens in OpenAI's shape, None where none were counted.

    Thoughts, words and what tools read are text; where the output is not broken down, all but
    the thoughts counts as image.
    """
    if not isinstance(raw, dict):
        return None
    made, thoughts = _count(raw, "candidatesTokenCount"), _count(raw, "thoughtsTokenCount")
    sent = _count(raw, "promptTokenCount") + _count(raw, "toolUsePromptTokenCount")
    if not (made or thoughts or sent):
        return None
    return Usage(
        input_tokens=sent,
        output_tokens=made + thoughts,
        total_tokens=_count(raw, "totalTokenCount") or sent + made + thoughts,
        input_tokens_details=_input_details(raw, sent),
        output_tokens_details=_output_details(raw, made, thoughts),
    )


def _input_details(raw: Json, sent: int) -> TokenDetails:
    image = _of_modality(raw, "promptTokensDetails", "IMAGE")
    image += _of_modality(raw, "toolUsePromptTokensDetails", "IMAGE")
    image = min(image, sent)
    cached = min(_count(raw, "cachedContentTokenCount"), sent) or UNSET
    return TokenDetails(sent - image, image, cached)


def _output_details(raw: Json, made: int, thoughts: int) -> TokenDetails | UnsetType:
    if not raw.get("candidatesTokensDetails"):
        return TokenDetails(thoughts, made) if made else UNSET
    image = min(_of_modality(raw, "candidatesTokensDetails", "IMAGE"), made)
    return TokenDetails(text_tokens=made - image + thoughts, image_tokens=image)


def _of_modality(raw: Json, field: str, modality: str) -> int:
    details = raw.get(field)
    listed = [part for part in details if isinstance(part, dict)] if _is_list(details) else []
    return sum(_count(part, "tokenCount") for part in listed if part.get("modality") == modality)


def _is_list(value: Json) -> bool:
    return isinstance(value, list)


def _count(raw: Json, field: str) -> int:
    value = raw.get(field)
    return max(value, 0) if isinstance(value, int) and not isinstance(value, bool) else 0
