"""Any server that speaks OpenAI's Images API: https://platform.openai.com/docs/api-reference/images.

Users write `openai/NAME` and the server's `api_base`. Nothing is known about its models: no
limits, no life cycle, a price only by `base_model`. Hosts that have a name of their own here are
rows of `compatible_rows.py`.
"""

from functools import partial

from imagegate.types import ImageCall
from imagegate.wire import openai_dialect, openai_images, responses
from imagegate.wire.exchange import Exchange, UpstreamRequest
from imagegate.wire.openai_dialect import Dialect
from imagegate.wire.probes import Probes, ask_model, ask_models, ask_no_images
from imagegate.wire.provider import Provider, Target

# It may be any of the hosts that have a row, at an address of somebody's own; and others.
DIALECT = Dialect(
    name="The server",
    meanings={
        # Ark, DashScope, Zhipu, MiniMax
        r"\w*SensitiveContentDetected|DataInspectionFailed|1301|1026": "moderation_blocked",
        # Ark, DashScope, Zhipu, MiniMax
        r"AccountOverdueError|Arrearage|1113|1008": "insufficient_quota",
        # DashScope, MiniMax, Zhipu; 1002 is a key at Zhipu and a rate at MiniMax: status decides
        r"InvalidApiKey|2049|100[0134]": "invalid_api_key",
        # Ark
        r"ModelNotOpen": "model_not_found",
        # DashScope, Zhipu, MiniMax
        r"Throttling(\.\w+)?|130[235]|1002": "rate_limit_exceeded",
    },
    # vLLM-Omni serves one model, and says so with a 400
    sayings={r"^Model mismatch": "model_not_found"},
)

read_error = partial(openai_dialect.read_error, dialect=DIALECT)
_map_refusal = partial(openai_dialect.map_refusal, dialect=DIALECT)


def generate(call: ImageCall, target: Target) -> Exchange:
    """Send one request; its answer holds the images or their urls, or streams them."""
    return _ask(build_generate(call, target))


def edit(call: ImageCall, target: Target) -> Exchange:
    """Send one form with the inputs; its answer holds the images or their urls."""
    return _ask(build_edit(call, target))


def variation(call: ImageCall, target: Target) -> Exchange:
    """Send one form with the input; a server without variations answers 404."""
    return _ask(build_variation(call, target))


def _ask(request: UpstreamRequest) -> Exchange:
    return openai_images.exchange(request, read_error, _map_refusal)


def respond(call: ImageCall, target: Target) -> Exchange:
    """Pass a Responses request on; its answer holds text and images, or streams them."""
    request = responses.build_request(call, f"{target.base_url}/responses", {})
    return (yield from responses.exchange(request, read_error))


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


PROVIDER = Provider(
    name="openai_compatible",
    auth="bearer",
    generate=generate,
    edit=edit,
    variation=variation,
    respond=respond,
    read_error=read_error,
    api_key_env=("OPENAI_API_KEY",),
    base_url_env=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    accepts_unknown_fields=True,
    takes_idempotency_key=True,  # a gateway may stand there, ours among them
    needs_credential=False,
    probes=Probes(models=ask_models, model=ask_model, invalid=ask_no_images),
)
