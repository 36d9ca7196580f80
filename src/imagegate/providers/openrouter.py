"""OpenRouter: https://openrouter.ai/docs/api-reference/images.

One endpoint for image models (`/images`), streaming where the provider behind it streams. A model
whose row says `surface = "chat"` is asked by `/chat/completions` with modalities instead. Every
answer carries its own cost.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from urllib.parse import quote

import msgspec
from msgspec import Struct

from imagegate.errors import (
    BadRequestError,
    ContentPolicyViolationError,
    ImageError,
    UpstreamCredentialError,
    UpstreamEmptyError,
    UpstreamModelNotFoundError,
    UpstreamUnreachableError,
    UpstreamWords,
)
from imagegate.types import Blob, Image, ImageCall, ImageResult, Json
from imagegate.wire import openai_errors, openai_images
from imagegate.wire.exchange import Exchange, UpstreamRequest, UpstreamResponse, send
from imagegate.wire.json_body import DataUrl, build_json
from imagegate.wire.lift import blob_of_text
from imagegate.wire.openai_errors import Refusal
from imagegate.wire.probes import ProbeExchange, Probes, ask_invalid, ask_list, ask_one
from imagegate.wire.provider import Provider, Target

BASE_URL = "https://openrouter.ai/api/v1"
USD_E10 = 10**10
_NAME = "OpenRouter"
_APP_HEADERS = {"site_url": "HTTP-Referer", "app_name": "X-OpenRouter-Title"}
_FIELDS = (
    "aspect_ratio",
    "background",
    "output_compression",
    "output_format",
    "quality",
    "resolution",
    "seed",
    "size",
    "user",
)
_IMAGE_CONFIG = {"aspect_ratio": "aspect_ratio", "resolution": "image_size"}
_REFUSED_WORDS = frozenset(("content_filter", "safety", "image_safety", "prohibited_content"))
_STATUSES = frozenset(str(status) for status in range(400, 600))
_NOT_BEGUN = frozenset((503, 529))
_RAW_CHARS_MAX = 500


class Url(Struct, frozen=True):
    """An image of a chat answer: a data URL, or a tag where it was lifted."""

    url: str = ""


class ChatImage(Struct, frozen=True):
    """One entry of `images`."""

    image_url: Url = Url()


class Message(Struct, frozen=True):
    """What the model said; `content` is text."""

    content: Json = None
    refusal: Json = None
    images: list[ChatImage] | None = None


class Choice(Struct, frozen=True):
    """One choice; it may hold an error although the status is 200."""

    message: Message = Message()
    finish_reason: Json = None
    native_finish_reason: Json = None
    error: Json = None


class ChatAnswer(Struct, frozen=True):
    """The body of a chat answer, as far as we look at it."""

    choices: list[Choice] | None = None
    created: Json = 0
    usage: Json = None
    error: Json = None


def generate(call: ImageCall, target: Target) -> Exchange:
    """Send one request; its answer holds the images, or streams them."""
    if target.traits.get("surface") == "chat":
        return (yield from _chat(call, target))
    request = build_images(call, target)
    result = yield from openai_images.exchange(request, read_error, map_refusal)
    return msgspec.structs.replace(result, cost_e10=read_cost_e10(result.raw_usage))


def edit(call: ImageCall, target: Target) -> Exchange:
    """Do the same with input images. There are no masks."""
    if call.mask is not None:
        raise BadRequestError(
            f"{_NAME} takes no mask; say in the prompt what to change.", param="mask"
        )
    return (yield from generate(call, target))


def build_images(call: ImageCall, target: Target) -> UpstreamRequest:
    """Return the request to the images endpoint; what was not asked for is left to the model."""
    given: dict[str, Json] = {
        name: value for name in _FIELDS if (value := getattr(call, name)) is not None
    }
    if call.images:
        given["input_references"] = _build_parts(call)
    if call.n != 1:
        given["n"] = call.n
    if call.stream:
        given["stream"] = True
    fields = {"model": target.upstream_model, "prompt": call.prompt, **dict(sorted(given.items()))}
    return _build_post(call, target, "images", fields, events=call.stream)


def build_chat(call: ImageCall, target: Target) -> UpstreamRequest:
    """Return the request to the chat endpoint; the trait `modalities` is what the model makes."""
    content: Json = call.prompt
    if call.images:
        content = [{"type": "text", "text": call.prompt}, *_build_parts(call)]
    fields: dict[str, Json] = {
        "model": target.upstream_model,
        "messages": [{"role": "user", "content": content}],
        "modalities": target.traits.get("modalities", ["image", "text"]),
    }
    config = {sent: value for name, sent in _IMAGE_CONFIG.items() if (value := getattr(call, name))}
    fields |= {"image_config": config} if config else {}
    others = {name: getattr(call, name) for name in ("seed", "user")}
    fields |= {name: value for name, value in others.items() if value is not None}
    return _build_post(call, target, "chat/completions", fields)


def _build_parts(call: ImageCall) -> list[Json]:
    return [
        {"type": "image_url", "image_url": {"url": DataUrl(image)}}
        for image in call.images
        if isinstance(image, Blob)
    ]


def _build_post(
    call: ImageCall, target: Target, path: str, fields: dict[str, Json], *, events: bool = False
) -> UpstreamRequest:
    own = {name: value for name, value in call.extra.items() if name not in fields}
    headers = {"content-type": "application/json"} | {
        header: str(target.traits[name])
        for name, header in _APP_HEADERS.items()
        if target.traits.get(name)
    }
    if events:
        headers["accept"] = "text/event-stream"
    url = f"{target.base_url}/{path}"
    return UpstreamRequest("POST", url, build_json(fields | own), headers, events=events)


def _chat(call: ImageCall, target: Target) -> Exchange:
    response = yield from send(build_chat(call, target))
    if response.status >= 300:
        raise read_error(response)
    return parse_chat(response)


def parse_chat(response: UpstreamResponse) -> ImageResult:
    """Return the images of a chat answer. Raises what it holds instead: an error, or words."""
    answer = response.decode(ChatAnswer)
    choices = answer.choices or []
    found = [image for choice in choices for image in choice.message.images or []]
    images = tuple(
        _chat_image(image.image_url.url, response) for image in found if image.image_url.url
    )
    if not images:
        raise _no_image(response, answer)
    usage = answer.usage if isinstance(answer.usage, dict) else None
    return ImageResult(
        images=images,
        created=answer.created if isinstance(answer.created, int) else 0,
        usage=openai_images.parse_usage(usage),
        raw_usage=usage,
        cost_e10=read_cost_e10(usage),
    )


def _chat_image(url: str, response: UpstreamResponse) -> Image:
    if url.startswith(("https:", "http:")):
        return Image(url=url)
    return Image(response.body.blob(url) or blob_of_text(url))


def _no_image(response: UpstreamResponse, answer: ChatAnswer) -> ImageError:
    choices = answer.choices or []
    words = openai_errors.read_words(response)
    errors = [answer.error, *(choice.error for choice in choices)]
    if error := next(filter(None, errors), None):
        return map_refusal(openai_errors.parse_refusal({"error": error}), words)
    for choice in choices:
        ends = {str(choice.finish_reason).lower(), str(choice.native_finish_reason).lower()}
        if choice.message.refusal or ends & _REFUSED_WORDS:
            return ContentPolicyViolationError(
                f"The model behind {_NAME} refused it by its content policy "
                f"({', '.join(sorted(ends - {'none'}))}). {_said(choice)} Change the prompt or the "
                "image; the same request gets the same answer.",
                upstream=words,
            )
    said = " ".join(filter(None, map(_said, choices)))
    return UpstreamEmptyError(
        f"The model behind {_NAME} answered without an image. It may have been billed. {said}",
        upstream=words,
    )


def _said(choice: Choice) -> str:
    text = choice.message.refusal or choice.message.content
    return f"It said: {openai_errors.scrub(text)[:_RAW_CHARS_MAX]}" if isinstance(text, str) else ""


def read_cost_e10(usage: Mapping[str, Json] | None) -> int | None:
    """Return what OpenRouter says that it charged, in 1e-10 USD, None where it says nothing.

    A number of JSON has at most 15 digits that count, so below 100,000 USD nothing is lost. With
    a provider key of one's own, that provider's bill is added where OpenRouter knows it.
    """
    if not usage or not _is_amount(usage.get("cost")):
        return None
    usd = Decimal(str(usage["cost"]))
    if usage.get("is_byok"):
        details = usage.get("cost_details")
        theirs = details.get("upstream_inference_cost") if isinstance(details, dict) else None
        if not _is_amount(theirs):
            return None
        usd += Decimal(str(theirs))
    return int((usd * USD_E10).to_integral_value(ROUND_HALF_EVEN))


def _is_amount(value: Json) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value < float("inf")


def read_error(response: UpstreamResponse) -> ImageError:
    """Return the error of our tree that OpenRouter's answer means."""
    refusal = openai_errors.parse_refusal(response.json())
    wait_s = openai_errors.read_retry_after_s(response.headers)
    error = map_refusal(refusal, openai_errors.read_words(response))
    if error.fault == "moment":
        error.retry_after_s = wait_s
    return error


def map_refusal(refusal: Refusal, words: UpstreamWords) -> ImageError:
    """Return the error for a refusal; its code is a status, also where the answer was a 200."""
    status = int(refusal.code) if refusal.code in _STATUSES else words.status
    shown = msgspec.structs.replace(words, status=status)
    if status in _NOT_BEGUN and refusal.has_shape:
        return UpstreamUnreachableError(
            f"{_NAME} has no provider that takes it now ({status}): {refusal.message}",
            upstream=words,
        )
    if status == 403 and not refusal.categories and "moderation" in refusal.message.lower():
        refusal = msgspec.structs.replace(refusal, inner_code="moderation_blocked")
    plain = msgspec.structs.replace(refusal, code="") if refusal.code in _STATUSES else refusal
    error = openai_errors.map_refusal(plain, shown, name=_NAME)
    error.upstream = words
    return _with_remedy(error, refusal)


def _with_remedy(error: ImageError, refusal: Refusal) -> ImageError:
    """Return the error with what only OpenRouter's own rules explain."""
    remedy = ""
    if isinstance(error, UpstreamModelNotFoundError) and "modalities" in refusal.message:
        remedy = "The model makes images only, or none: use one of GET /api/v1/images/models."
    elif isinstance(error, UpstreamModelNotFoundError) and "endpoints" in refusal.message:
        remedy = (
            "No provider fits the routing rules: look at `provider` and the account's settings."
        )
    elif isinstance(error, UpstreamCredentialError) and refusal.code == "403":
        remedy = "A region, a guardrail or the privacy settings of the account may refuse it too."
    if not remedy:
        return error
    return type(error)(f"{error.message} {remedy}", upstream=error.upstream)


def probe_models(target: Target) -> ProbeExchange:
    """List the image models; the list is public and proves no key."""
    return (yield from ask_list(f"{target.base_url}/images/models"))


def probe_key(target: Target) -> ProbeExchange:
    """Ask for the key: that proves it, and tells its limit."""
    return (yield from ask_one(f"{target.base_url}/key"))


def probe_model(target: Target) -> ProbeExchange:
    """Ask which endpoints serve the model."""
    slug = quote(target.upstream_model)
    return (yield from ask_one(f"{target.base_url}/images/models/{slug}/endpoints"))


def probe_invalid(target: Target) -> ProbeExchange:
    """Send a generation without a prompt, and of no images."""
    body = {"model": target.upstream_model, "n": 0}
    return (yield from ask_invalid(f"{target.base_url}/images", body))


PROVIDER = Provider(
    name="openrouter",
    base_url=BASE_URL,
    auth="bearer",
    generate=generate,
    edit=edit,
    read_error=read_error,
    api_key_env=("OPENROUTER_API_KEY", "OR_API_KEY"),
    base_url_env=("OPENROUTER_API_BASE",),
    settings={"site_url": ("OR_SITE_URL",), "app_name": ("OR_APP_NAME",)},
    probes=Probes(
        account=probe_key,
        models=probe_models,
        model=probe_model,
        invalid=probe_invalid,
        is_gate=True,
    ),
)
