"""Recraft: https://www.recraft.ai/docs/api-reference/endpoints.

Generations, edits with and without a mask, and one endpoint a tool (backgrounds, upscaling,
vectors), which the catalogue has as models. All bodies are JSON; input images go as data URLs.
Every answer says what was charged, in units of 0.001 USD.
"""

import re
from collections.abc import Mapping
from decimal import Decimal

import msgspec
from msgspec import Struct

from imagegate.catalogue.geometry import nearest_ratio
from imagegate.errors import ImageError, UpstreamEmptyError
from imagegate.types import Blob, Image, ImageCall, ImageResult, Json
from imagegate.wire import openai_errors
from imagegate.wire.exchange import Exchange, UpstreamRequest, UpstreamResponse, send
from imagegate.wire.hosts import host_of, is_trusted
from imagegate.wire.json_body import DataUrl, build_json
from imagegate.wire.lift import Base64
from imagegate.wire.openai_errors import Refusal
from imagegate.wire.probes import ProbeExchange, Probes, ask_invalid, ask_list, ask_one
from imagegate.wire.provider import Provider, Target

BASE_URL = "https://external.api.recraft.ai/v1"
VERSION = "/v1"
HOSTS = (".recraft.ai",)
UNIT_E10 = 10**7  # an API unit is 0.001 USD
STRENGTH = 0.5
"""How far imageToImage may go from its input; the API wants a number, OpenAI's calls have none."""

_NAME = "Recraft"
# fmt: off
_RATIOS = (
    "1:1", "2:1", "1:2", "3:2", "2:3", "4:3", "3:4", "5:4", "4:5", "6:10", "14:10", "10:14",
    "16:9", "9:16",
)
# fmt: on

# What each endpoint takes besides images, mask, response_format and what the caller names.
_PAINTED = ("prompt", "model", "n", "random_seed", "negative_prompt", "style")
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "generations": (*_PAINTED, "size", "image_format"),
    "imageToImage": (*_PAINTED, "strength"),
    "inpaint": _PAINTED,
    "outpaint": (*_PAINTED, "size"),
    "replaceBackground": _PAINTED,
    "generateBackground": _PAINTED,
    "removeBackground": ("image_format",),
    "variateImage": ("n", "size", "random_seed", "image_format"),
}
# In a form everything is text; all parameters but these are numbers or objects.
_TEXT_PARAMS = frozenset(("style", "substyle", "style_id", "style_match"))

_MODERATED = re.compile(
    r"moderat|nsfw|inappropriate|content.polic|prohibited|unsafe|safety|sensitive|offensive", re.I
)
_MONEY = re.compile(r"\b(credits?|units?|balance)\b", re.I)
_NO_MODEL = re.compile(
    r"\b(unknown|invalid|unsupported) model\b"
    r"|^model\b[^,;]{0,80}\b(not found|does not exist|is not supported|deprecated)",
    re.I,
)
_TEXT_CHARS_MAX = 500


class Item(Struct, frozen=True):
    """One image of an answer."""

    b64_json: Base64 | None = None
    url: str | None = None
    revised_prompt: str | None = None


class Answer(Struct, frozen=True):
    """The body: `data`, or `image` where there is always one. `credits` are API units."""

    data: list[Item] | None = None
    image: Item | None = None
    created: int = 0
    credits: Decimal | None = None
    style_id: str | None = None


def generate(call: ImageCall, target: Target) -> Exchange:
    """Send one request; its answer holds the images or their urls."""
    return (yield from _converse(build_request(call, target, "generations"), target))


def edit(call: ImageCall, target: Target) -> Exchange:
    """Send the image to the model's endpoint (trait `route`): else inpaint with a mask."""
    route = "imageToImage" if call.mask is None else "inpaint"
    route = str(target.traits.get("route", route))
    return (yield from _converse(build_request(call, target, route), target))


def variation(call: ImageCall, target: Target) -> Exchange:
    """Ask for variations of the image, in its own shape where no size was asked for."""
    return (yield from _converse(build_request(call, target, "variateImage"), target))


def _converse(request: UpstreamRequest, target: Target) -> Exchange:
    response = yield from send(request)
    if response.status >= 300:
        raise read_error(response)
    return parse_answer(response, target)


def build_request(call: ImageCall, target: Target, route: str) -> UpstreamRequest:
    """Return the request to an endpoint; it asks for bytes unless the caller wants urls."""
    fields = _build_fields(call, target)
    given: dict[str, Json] = {
        name: fields[name] for name in _FIELDS.get(route, ()) if fields[name] is not None
    }
    inputs = {"image_url": next(iter(call.images), None), "mask_url": call.mask}
    given |= {name: DataUrl(blob) for name, blob in inputs.items() if isinstance(blob, Blob)}
    given["response_format"] = call.response_format or "b64_json"
    own = {name: _read_param(name, value) for name, value in call.extra.items()}
    headers = {"content-type": "application/json"}
    url = f"{_base(target)}/images/{route}"
    return UpstreamRequest("POST", url, build_json(given | own), headers)


def _base(target: Target) -> str:
    base_url = target.base_url
    return base_url if base_url.endswith(VERSION) else f"{base_url}{VERSION}"


def _build_fields(call: ImageCall, target: Target) -> dict[str, Json]:
    is_raster = call.output_format in ("png", "webp")
    return {
        "prompt": call.prompt or None,
        "model": target.traits.get("model", target.upstream_model),
        "n": call.n if call.n != 1 else None,
        "size": call.size or call.aspect_ratio or _own_shape(call),
        "style": call.style,
        "negative_prompt": call.negative_prompt,
        "random_seed": call.seed,
        "image_format": call.output_format if is_raster else None,
        "strength": STRENGTH,
    }


def _own_shape(call: ImageCall) -> str | None:
    """Return the ratio nearest to that of the image that is varied; there it must be given."""
    if call.operation != "variation" or not isinstance(call.images[0], Blob):
        return None
    image = call.images[0]
    return nearest_ratio(image.width_px or 1, image.height_px or 1, _RATIOS).text


def _read_param(name: str, value: Json) -> Json:
    if name in _TEXT_PARAMS or not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value


def parse_answer(response: UpstreamResponse, target: Target) -> ImageResult:
    """Return the images and what they cost. Raises `UpstreamEmptyError` where there are none."""
    words = openai_errors.read_words(response)
    try:
        answer = response.decode(Answer)
    except UpstreamEmptyError as error:
        error.upstream = words
        raise
    items = [*(answer.data or []), *([answer.image] if answer.image else [])]
    images = tuple(image for item in items if (image := _image(item, target)))
    if not images:
        raise UpstreamEmptyError(
            f"{_NAME} answered with success and without an image. It may have been billed.",
            upstream=words,
        )
    return ImageResult(
        images=images,
        created=answer.created,
        cost_e10=None if answer.credits is None else int(answer.credits * UNIT_E10),
        extra={"style_id": answer.style_id} if answer.style_id else {},
    )


def _image(item: Item, target: Target) -> Image | None:
    blob = item.b64_json.blob if item.b64_json and item.b64_json.blob.length else None
    if blob is None and item.url and not is_trusted(item.url, target.base_url, HOSTS):
        raise UpstreamEmptyError(
            f"{_NAME} keeps the image at {host_of(item.url) or 'no host'!r}, which is none of its "
            "hosts, so it was not fetched. It was probably billed.",
            code="upstream_invalid_image",
        )
    return Image(blob, item.url, item.revised_prompt) if blob or item.url else None


def read_error(response: UpstreamResponse) -> ImageError:
    """Return the error of our tree. Bodies are JSON or bare text; one 400 covers moderation, an
    empty balance and wrong parameters, which only its code and words tell apart."""
    return openai_errors.map_refusal(
        parse_refusal(response),
        openai_errors.read_words(response),
        name=_NAME,
        retry_after_s=openai_errors.read_retry_after_s(response.headers),
    )


def parse_refusal(response: UpstreamResponse) -> Refusal:
    """Return what the answer says, with OpenAI's word for what it means."""
    refusal = openai_errors.parse_refusal(response.json())
    is_text = response.headers.get("content-type", "").startswith("text/plain")
    message = refusal.message or (openai_errors.scrub(response.text()) if is_text else "")
    meaning = _meaning(f"{refusal.code.replace('_', ' ')} {message}".strip(), response.status)
    return msgspec.structs.replace(
        refusal,
        message=message.strip()[:_TEXT_CHARS_MAX],
        inner_code=meaning,
        has_shape=bool(message or refusal.code),
    )


def _meaning(said: str, status: int) -> str:
    if status not in (400, 402, 403, 422):
        return ""
    if _MODERATED.search(said):
        return "moderation_blocked"
    if _MONEY.search(said):
        return "insufficient_quota"
    return "model_not_found" if _NO_MODEL.search(said) else ""


def probe_models(target: Target) -> ProbeExchange:
    """List the models."""
    return (yield from ask_list(f"{_base(target)}/models"))


def probe_account(target: Target) -> ProbeExchange:
    """Ask for the account: that proves the key, and tells the credits that are left."""
    return (yield from ask_one(f"{_base(target)}/users/me"))


def probe_invalid(target: Target) -> ProbeExchange:
    """Send a generation without a prompt, and of no images."""
    url = f"{_base(target)}/images/generations"
    return (yield from ask_invalid(url, {"model": target.upstream_model, "n": 0}))


PROVIDER = Provider(
    name="recraft",
    base_url=BASE_URL,
    auth="bearer",
    generate=generate,
    edit=edit,
    variation=variation,
    read_error=read_error,
    api_key_env=("RECRAFT_API_KEY", "RECRAFT_API_TOKEN"),
    base_url_env=("RECRAFT_API_BASE",),
    result_hosts=HOSTS,
    probes=Probes(account=probe_account, models=probe_models, invalid=probe_invalid),
)
