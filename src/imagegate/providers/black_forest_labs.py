"""Black Forest Labs: https://docs.bfl.ai/api-reference.

Every call is a job: one POST submits and names a url to poll, GETs poll it, and the answer names
a url of the image that lives for minutes. The submit says what is charged, in credits.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from urllib.parse import quote

import msgspec
from msgspec import Struct

from imagegate.errors import (
    ContentPolicyViolationError,
    ImageError,
    UpstreamEmptyError,
    UpstreamFailedError,
    UpstreamUnreachableError,
)
from imagegate.types import Blob, Image, ImageCall, ImageResult, Json
from imagegate.wire import openai_errors
from imagegate.wire.exchange import Exchange, UpstreamRequest, UpstreamResponse, send
from imagegate.wire.hosts import host_of, is_listed, is_trusted
from imagegate.wire.jobs import poll_until_done
from imagegate.wire.json_body import build_json
from imagegate.wire.lift import Base64
from imagegate.wire.probes import ProbeExchange, Probes, ask_invalid, ask_one
from imagegate.wire.provider import Provider, Target

BASE_URL = "https://api.bfl.ai"
VERSION = "/v1"
HOSTS = (".bfl.ai",)
CREDIT_E10 = 10**8  # a credit is 0.01 USD
_NAME = "Black Forest Labs"

_MODERATED = ("Request Moderated", "Content Moderated")
_ENDED = ("Error", "Failed", "Task not found")
_PASSING = frozenset((429, 500, 502, 503, 504, 524))


class Submitted(Struct, frozen=True):
    """What a submit answers; `cost` is in credits."""

    id: str = ""
    polling_url: str = ""
    cost: Decimal | None = None


class Made(Struct, frozen=True):
    """The result of a job that is ready; `prompt` is the one that was painted."""

    sample: str = ""
    prompt: str = ""
    seed: int | None = None


class Polled(Struct, frozen=True):
    """What a poll answers."""

    status: str = ""
    result: Made | None = None
    details: Json = None


def generate(call: ImageCall, target: Target) -> Exchange:
    """Submit, poll until the job is done, and return the url of its image."""
    submitted = parse_submit((yield from send(build_submit(call, target))), target)
    polling = UpstreamRequest("GET", submitted.polling_url)
    result = yield from poll_until_done(polling, partial(parse_poll, call=call, target=target))
    return msgspec.structs.replace(result, cost_e10=_cost_e10(submitted))


def edit(call: ImageCall, target: Target) -> Exchange:
    """Do the same with input images."""
    return (yield from generate(call, target))


def build_submit(call: ImageCall, target: Target) -> UpstreamRequest:
    """Return the request that starts the job; images go as base64 in the JSON."""
    fields: dict[str, Json] = {
        "prompt": call.prompt or None,
        **_build_inputs(call, target),
        **_build_shape(call),
        "seed": call.seed,
        "output_format": call.output_format,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    body = build_json(given | {key: value for key, value in call.extra.items() if key not in given})
    headers = {"content-type": "application/json"}
    return UpstreamRequest("POST", f"{_base(target)}/{target.upstream_model}", body, headers)


def _build_inputs(call: ImageCall, target: Target) -> dict[str, Json]:
    """Return the input images under the names that the model has for them (trait `inputs`)."""
    images = [Base64(image) for image in call.images if isinstance(image, Blob)]
    name = str(target.traits.get("inputs", "input_image"))
    if name == "images":
        return {"images": images or None}
    numbered: dict[str, Json] = {
        name if number == 1 else f"{name}_{number}": image
        for number, image in enumerate(images, start=1)
    }
    mask = Base64(call.mask) if isinstance(call.mask, Blob) else None
    return {**numbered, "mask": mask}


def _build_shape(call: ImageCall) -> dict[str, Json]:
    width, _, height = (call.size or "").partition("x")
    return {
        "width": int(width) if height else None,
        "height": int(height) if height else None,
        "aspect_ratio": call.aspect_ratio,
        "resolution": call.resolution,
    }


def parse_submit(response: UpstreamResponse, target: Target) -> Submitted:
    """Return the job. Raises for a refusal, and where its url is none of BFL's.

    The credential goes along with each poll, so the url may lie at the deployment's own origin
    and, where that is BFL's, at another of its hosts: regions poll at names of their own.
    """
    if response.status >= 300:
        raise read_error(response)
    submitted = response.decode(Submitted)
    if not submitted.id:
        raise UpstreamEmptyError(
            f"{_NAME} took the request and named no job. It may have been billed.",
            upstream=openai_errors.read_words(response),
        )
    if not submitted.polling_url:
        url = f"{_base(target)}/get_result?id={submitted.id}"
        return msgspec.structs.replace(submitted, polling_url=url)
    hosts = HOSTS if is_listed(host_of(target.base_url), HOSTS) else ()
    if not is_trusted(submitted.polling_url, target.base_url, hosts):
        raise UpstreamFailedError(
            f"The job is to be polled at {host_of(submitted.polling_url) or 'no host'!r}, which is "
            "not of the deployment's api_base; the credential is not sent there. The job "
            f"{submitted.id} was submitted and may be billed."
        )
    return submitted


def parse_poll(
    response: UpstreamResponse, *, call: ImageCall, target: Target
) -> ImageResult | None:
    """Return the image's url, None while the job runs; raise what the job ended with.

    The status in the body goes before the HTTP status: a failed job may come as a 503.
    """
    words = openai_errors.read_words(response)
    polled = _decode_poll(response)
    if polled.status == "Ready":
        return _parse_made(polled.result or Made(), call, target)
    if polled.status in _MODERATED:
        raise ContentPolicyViolationError(
            f"{_NAME} refused {_moderated(polled)}. Change the prompt or the image; the same "
            "request gets the same answer.",
            upstream=words,
        )
    if polled.status in _ENDED:
        raise UpstreamFailedError(
            f"{_NAME}: the job ended as {polled.status!r}; it may have been billed.", upstream=words
        )
    if not polled.status:
        raise _poll_error(response)
    return None  # also for words that are new: a job that was paid for is not given up for one


def _decode_poll(response: UpstreamResponse) -> Polled:
    """Return the body, an empty one where it is none: then this poll failed, not the job."""
    try:
        return response.decode(Polled)
    except UpstreamEmptyError:
        return Polled()


def _poll_error(response: UpstreamResponse) -> ImageError:
    if response.status >= 300 and response.status not in _PASSING:
        return read_error(response)
    return UpstreamUnreachableError(
        f"{_NAME} answered a poll with {response.status} and no status of the job",
        retry_after_s=openai_errors.read_retry_after_s(response.headers),
        upstream=openai_errors.read_words(response),
    )


def _parse_made(made: Made, call: ImageCall, target: Target) -> ImageResult:
    if not made.sample:
        raise UpstreamEmptyError(f"{_NAME}: the job is ready without an image; it may be billed.")
    if not is_trusted(made.sample, target.base_url, HOSTS):
        raise UpstreamEmptyError(
            f"{_NAME} keeps the image at {host_of(made.sample) or 'no host'!r}, which is none of "
            "its hosts, so it was not fetched. It was probably billed.",
            code="upstream_invalid_image",
        )
    revised = made.prompt if made.prompt != call.prompt else ""
    return ImageResult(
        images=(Image(url=made.sample, revised_prompt=revised or None),),
        extra={} if made.seed is None else {"seed": made.seed},
    )


def _moderated(polled: Polled) -> str:
    what = "the prompt or an input" if polled.status == "Request Moderated" else "the image it made"
    reasons = polled.details.get("Moderation Reasons") if isinstance(polled.details, dict) else None
    named = ", ".join(map(str, reasons)) if isinstance(reasons, list) else ""
    return f"{what} by its content policy ({polled.status}{f': {named}' if named else ''})"


def _cost_e10(submitted: Submitted) -> int | None:
    return None if submitted.cost is None else int(submitted.cost * CREDIT_E10)


def _base(target: Target) -> str:
    base_url = target.base_url
    return base_url if base_url.endswith(VERSION) else f"{base_url}{VERSION}"


def read_error(response: UpstreamResponse) -> ImageError:
    """Return the error of our tree; the body is `{"detail": text}` or a list, one entry a field."""
    body = response.json()
    detail = body.get("detail") if isinstance(body, dict) else None
    refusal = openai_errors.parse_refusal(body)
    if isinstance(detail, list) and detail:
        refusal = msgspec.structs.replace(
            refusal, message="; ".join(map(_say, detail)), param=_place(detail[0])
        )
    wait_s = openai_errors.read_retry_after_s(response.headers)
    words = openai_errors.read_words(response)
    return openai_errors.map_refusal(refusal, words, name=_NAME, retry_after_s=wait_s)


def _say(entry: Json) -> str:
    said = entry.get("msg", "") if isinstance(entry, dict) else entry
    place = _place(entry)
    return openai_errors.scrub(f"{place}: {said}" if place else str(said))


def _place(entry: Json) -> str | None:
    """Return the field that an entry of `detail` is about."""
    place: Sequence[Json] = entry.get("loc", ()) if isinstance(entry, Mapping) else ()
    names = [str(name) for name in place if name != "body"] if isinstance(place, list) else []
    return ".".join(names) or None


def probe_account(target: Target) -> ProbeExchange:
    """Ask for the credits that are left: that proves the key."""
    return (yield from ask_one(f"{_base(target)}/credits"))


def probe_invalid(target: Target) -> ProbeExchange:
    """Send a job whose fields have wrong types: a prompt alone is not asked for by every model."""
    body = {"seed": "none", "output_format": "none"}
    return (yield from ask_invalid(f"{_base(target)}/{quote(target.upstream_model)}", body))


PROVIDER = Provider(
    name="black_forest_labs",
    base_url=BASE_URL,
    auth="header",
    auth_header="x-key",
    generate=generate,
    edit=edit,
    read_error=read_error,
    api_key_env=("BFL_API_KEY", "BLACK_FOREST_LABS_API_KEY"),
    base_url_env=("BFL_API_BASE",),
    trusted_hosts=HOSTS,
    result_hosts=HOSTS,
    probes=Probes(account=probe_account, invalid=probe_invalid),
)
