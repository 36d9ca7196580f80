"""The sandbox: draws here, costs nothing, and fails on request. See docs/guide/sandbox.md.

It speaks OpenAI's JSON shape with one more field, `sandbox`, to an upstream without a network
(`transport/sandbox.py`).
"""

from functools import partial

import msgspec

from imagegate.types import Body, ImageCall, Json
from imagegate.wire.exchange import Exchange, UpstreamRequest
from imagegate.wire.openai_images import build_edit_json, build_generation, exchange, read_error
from imagegate.wire.openai_requests import JSON_TYPE
from imagegate.wire.provider import Provider, Target

BASE_URL = "sandbox://local"
FIELD = "sandbox"
SETTINGS = ("delay_s", "fail")

read_sandbox_error = partial(read_error, name="The sandbox")


def generate(call: ImageCall, target: Target) -> Exchange:
    """Draw the prompt."""
    body = build_generation(with_behaviour(call, target), target, model_in_body=True)
    return exchange(_build_post("generations", body, call, target), read_sandbox_error)


def edit(call: ImageCall, target: Target) -> Exchange:
    """Draw the prompt over the first input, or into the clear part of the mask."""
    body = build_edit_json(with_behaviour(call, target), target, model_in_body=True)
    return exchange(_build_post("edits", body, call, target), read_sandbox_error)


def with_behaviour(call: ImageCall, target: Target) -> ImageCall:
    """Return the call with the deployment's behaviour in it; what the call itself says wins."""
    ours = {name: target.traits[name] for name in SETTINGS if name in target.traits}
    asked: Json = call.extra.get(FIELD, {})
    if not ours or not isinstance(asked, dict):
        return call
    return msgspec.structs.replace(call, extra={**call.extra, FIELD: {**ours, **asked}})


def _build_post(path: str, body: Body, call: ImageCall, target: Target) -> UpstreamRequest:
    return UpstreamRequest(
        "POST",
        f"{target.base_url}/images/{path}",
        body,
        {"content-type": JSON_TYPE},
        events=call.stream,
    )


PROVIDER = Provider(
    name="sandbox",
    base_url=BASE_URL,
    auth="none",
    generate=generate,
    edit=edit,
    read_error=read_sandbox_error,
    settings=dict.fromkeys(SETTINGS, ()),
    # Passed on, because `sandbox` is one of them; the sandbox refuses the others as OpenAI does.
    accepts_unknown_fields=True,
)
