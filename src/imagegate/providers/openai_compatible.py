"""Any server that speaks OpenAI's Images API: https://platform.openai.com/docs/api-reference/images.

Users write `openai/NAME` and the server's `api_base`. Nothing is known about its models: no
limits, no life cycle, a price only by `base_model`. Codes that servers have beside OpenAI's are
rows of data.
"""

import re

import msgspec

from imagegate.errors import ImageError, UpstreamUnreachableError
from imagegate.types import ImageCall
from imagegate.wire import openai_errors, openai_images
from imagegate.wire.exchange import Exchange, UpstreamRequest, UpstreamResponse
from imagegate.wire.openai_errors import Refusal
from imagegate.wire.probes import ProbeExchange, Probes, ask_invalid, ask_list
from imagegate.wire.provider import Provider, Target

_NAME = "The server"

# What servers call it -> OpenAI's word for it. The first row that fits counts.
_MEANINGS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), code)
    for pattern, code in (
        # Ark, DashScope, Zhipu, MiniMax
        (r"\w*SensitiveContentDetected|DataInspectionFailed|1301|1026", "moderation_blocked"),
        # Ark, DashScope, Zhipu, MiniMax
        (r"AccountOverdueError|Arrearage|1113|1008", "insufficient_quota"),
        # DashScope, MiniMax, Zhipu; 1002 is a key at Zhipu and a rate at MiniMax: status decides
        (r"InvalidApiKey|2049|100[0134]", "invalid_api_key"),
        # Ark
        (r"ModelNotOpen", "model_not_found"),
        # DashScope, Zhipu, MiniMax
        (r"Throttling(\.\w+)?|130[235]|1002", "rate_limit_exceeded"),
    )
)
_MODEL_MISMATCH = "Model mismatch"  # vLLM-Omni serves one model, and says so with a 400
_UNAVAILABLE = 503


def generate(call: ImageCall, target: Target) -> Exchange:
    """Send one request; its answer holds the images or their urls, or streams them."""
    return (yield from openai_images.exchange(build_generate(call, target), read_error))


def edit(call: ImageCall, target: Target) -> Exchange:
    """Send one form with the inputs; its answer holds the images or their urls."""
    return (yield from openai_images.exchange(build_edit(call, target), read_error))


def variation(call: ImageCall, target: Target) -> Exchange:
    """Send one form with the input; a server without variations answers 404."""
    return (yield from openai_images.exchange(build_variation(call, target), read_error))


def build_generate(call: ImageCall, target: Target) -> UpstreamRequest:
    """Return the generation as JSON."""
    body = openai_images.build_generation(call, target, model_in_body=True)
    headers = {"content-type": "application/json"}
    url = f"{target.base_url}/images/generations"
    return UpstreamRequest("POST", url, body, headers, events=call.stream)


def build_edit(call: ImageCall, target: Target) -> UpstreamRequest:
    """Return the edit as a form, which is what such servers take."""
    body, content_type = openai_images.build_edit_form(call, target, model_in_body=True)
    url = f"{target.base_url}/images/edits"
    return UpstreamRequest("POST", url, body, {"content-type": content_type}, events=call.stream)


def build_variation(call: ImageCall, target: Target) -> UpstreamRequest:
    """Return the variation as a form."""
    body, content_type = openai_images.build_variation_form(call, target, model_in_body=True)
    url = f"{target.base_url}/images/variations"
    return UpstreamRequest("POST", url, body, {"content-type": content_type})


def read_error(response: UpstreamResponse) -> ImageError:
    """Return the error of our tree; also for `{"detail": ...}` and for codes that are numbers.

    A 503 that names a time to come back is a server that has not begun (its model is loading).
    """
    refusal = _translated(openai_errors.parse_refusal(response.json()))
    words = openai_errors.read_words(response)
    wait_s = openai_errors.read_retry_after_s(response.headers)
    if response.status == _UNAVAILABLE and refusal.has_shape and wait_s is not None:
        message = f"{_NAME} is not ready: {refusal.message}"
        return UpstreamUnreachableError(message, retry_after_s=wait_s, upstream=words)
    return openai_errors.map_refusal(refusal, words, name=_NAME, retry_after_s=wait_s)


def _translated(refusal: Refusal) -> Refusal:
    """Return `refusal` with OpenAI's word for its code beside it."""
    if refusal.message.startswith(_MODEL_MISMATCH):
        return msgspec.structs.replace(refusal, inner_code="model_not_found")
    for pattern, meaning in _MEANINGS:
        if pattern.fullmatch(refusal.code):
            return msgspec.structs.replace(refusal, inner_code=meaning)
    return refusal


def probe_models(target: Target) -> ProbeExchange:
    """List the models that the server has."""
    return (yield from ask_list(f"{target.base_url}/models"))


def probe_invalid(target: Target) -> ProbeExchange:
    """Send a generation without a prompt, and of no images: some servers take any prompt."""
    url = f"{target.base_url}/images/generations"
    return (yield from ask_invalid(url, {"model": target.upstream_model, "n": 0}))


PROVIDER = Provider(
    name="openai_compatible",
    auth="bearer",
    generate=generate,
    edit=edit,
    variation=variation,
    read_error=read_error,
    api_key_env=("OPENAI_API_KEY",),
    base_url_env=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    accepts_unknown_fields=True,
    probes=Probes(models=probe_models, invalid=probe_invalid),
)
