"""What a call would become at each deployment of its group: request, adjustments, price.

Nothing is sent and nothing is spent. Masks are converted as for a real call, so that the request
is the very one that would go out, but for the credential, which the transport alone adds.
"""

import json
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from imagegate.assets.blobs import raw_bytes
from imagegate.assets.spool import CallSpool
from imagegate.assets.transform import Worker
from imagegate.call_options import CallOptions
from imagegate.catalogue.price import PriceRange, format_usd
from imagegate.config.settings import Deployment, Settings
from imagegate.errors import ImageError
from imagegate.pixels import prepare_attempt
from imagegate.plan import Plan
from imagegate.planning import Planning
from imagegate.types import Blob, Body, Encoded, ImageCall, Json
from imagegate.wire.exchange import Send, UpstreamRequest


class Preview(Struct, frozen=True, kw_only=True):
    """One deployment's part: the first request, and what it comes to; or why there is none.

    `requests` is how many like it the call takes. `plan` and `request` are None where `error` is
    not.
    """

    deployment: Deployment
    plan: Plan | None = None
    request: UpstreamRequest | None = None
    requests: int = 0
    error: ImageError | None = None


async def preview_call(
    call: ImageCall, settings: Settings, options: CallOptions, spool: CallSpool, worker: Worker
) -> tuple[Preview, ...]:
    """Return a preview for each deployment of the call's group, in configured order.

    Raises `NotFoundError` where there is no such group.
    """
    found = []
    for deployment, planned in Planning(settings).plan_each(call, options):
        if isinstance(planned, ImageError):
            found.append(Preview(deployment=deployment, error=planned))
        else:
            found.append(await _preview(planned, spool, worker))
    return tuple(found)


async def _preview(plan: Plan, spool: CallSpool, worker: Worker) -> Preview:
    deployment = plan.deployment
    try:
        part = await prepare_attempt(plan.split(plan.call.n)[0], spool, worker)
        request = _first_request(part)
    except ImageError as error:
        return Preview(deployment=deployment, error=error)
    plan = msgspec.structs.replace(plan, adjustments=part.adjustments)
    return Preview(deployment=deployment, plan=plan, request=request, requests=plan.requests)


def _first_request(plan: Plan) -> UpstreamRequest:
    adapter = plan.deployment.provider.adapter(plan.call.operation)
    assert adapter is not None, "a plan is made only where there is an adapter"
    exchange = adapter(plan.call, plan.deployment.target)
    command = next(exchange)
    exchange.close()
    assert isinstance(command, Send), "an exchange begins with a request"
    return command.request


def plain_previews(previews: tuple[Preview, ...]) -> list[Json]:
    """Return the previews as plain JSON."""
    return [_plain(preview) for preview in previews]


def _plain(preview: Preview) -> dict[str, Json]:
    deployment, plan, error = preview.deployment, preview.plan, preview.error
    return {
        "deployment": deployment.id,
        "provider": deployment.provider.name,
        "model": deployment.target.upstream_model,
        "request": _plain_request(preview.request) if preview.request else None,
        "requests": preview.requests,
        "adjustments": msgspec.to_builtins(plan.adjustments) if plan else [],
        "warnings": list(plan.warnings) if plan else [],
        "price": _plain_price(plan.price) if plan else None,
        "error": error and {"message": error.message, "code": error.code, "param": error.param},
    }


def _plain_request(request: UpstreamRequest) -> dict[str, Json]:
    headers = dict(request.headers)
    return {
        "method": request.method,
        "url": request.url,
        "headers": headers,
        "body": _plain_body(request.body, headers),
    }


def _plain_body(body: Body, headers: Mapping[str, str]) -> Json:
    """Return a JSON body as JSON, any other as text; an image as `<image N bytes>`."""
    text = "".join(_shown(part) for part in body)
    if headers.get("content-type", "").startswith("application/json"):
        return json.loads(text)
    return text


def _shown(part: bytes | Blob | Encoded) -> str:
    if isinstance(part, bytes):
        return part.decode("utf-8", "replace")
    blob = part.blob if isinstance(part, Encoded) else part
    return f"<image {raw_bytes(blob)} bytes>"


def _plain_price(price: PriceRange | None) -> dict[str, Json] | None:
    if price is None:
        return None
    return {
        "lowest_usd": format_usd(price.lowest_e10),
        "expected_usd": format_usd(price.expected_e10),
        "highest_usd": format_usd(price.highest_e10),
    }
