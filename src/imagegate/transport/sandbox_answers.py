"""What the sandbox answers: OpenAI's bodies, headers, events and errors, and its token counts."""

import hashlib
from collections.abc import Iterator, Sequence

import msgspec
import pybase64
from msgspec import Struct

from imagegate.assets.transform import Drawing
from imagegate.catalogue.model import Model
from imagegate.catalogue.price import PARTIAL_IMAGE_TOKENS, PROMPT_CHARS_PER_TOKEN, formula_tokens
from imagegate.catalogue.rows import builtin_catalogue
from imagegate.transport.sandbox_orders import Order
from imagegate.types import Json

RETRY_AFTER_S = 2
FALLBACK_MODEL = "sandbox/gpt-image-2.5-flare"

_ENCODE_BYTES = 192 * 1024  # divisible by 3, so that pieces of base64 join
_USER_ERROR = "image_generation_user_error"
_REQUEST_ERROR = "invalid_request_error"


class Failure(Struct, frozen=True):
    """An error answer of OpenAI's: status, the fields of its body, headers besides."""

    status: int
    type: str
    code: str | None
    message: str
    headers: dict[str, str] = {}
    param: str | None = None

    @property
    def body(self) -> bytes:
        """The JSON body."""
        names = ("message", "type", "param", "code")
        return msgspec.json.encode({"error": {name: getattr(self, name) for name in names}})

    @classmethod
    def of_request(cls, message: str, *, param: str | None, code: str) -> "Failure":
        """Return the refusal of a wrong request."""
        return cls(400, _REQUEST_ERROR, code, message, param=param)

    @classmethod
    def of_input(cls, message: str) -> "Failure":
        """Return the refusal of an input image."""
        return cls(400, _USER_ERROR, "invalid_image_file", message, param="image")

    @classmethod
    def of_server(cls, message: str) -> "Failure":
        """Return a failure that is the sandbox's own."""
        return cls(500, "server_error", None, message)


FAILURES = {
    "rate_limit": Failure(
        429,
        "input-images",
        "rate_limit_exceeded",
        "Rate limit reached for images in the sandbox on input-images per min: Limit 5, Used 5, "
        f"Requested 1. Please try again in {RETRY_AFTER_S}s.",
        {"retry-after": str(RETRY_AFTER_S)},
    ),
    "invalid_key": Failure(
        401, _REQUEST_ERROR, "invalid_api_key", "Incorrect API key provided: sk-sand***box."
    ),
    "insufficient_quota": Failure(
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "moderation": Failure(
        400,
        _USER_ERROR,
        "moderation_blocked",
        "Your request was rejected by the safety system. safety_violations=[sandbox].",
    ),
    "bad_request": Failure(
        400, _REQUEST_ERROR, "invalid_value", "Invalid value: the sandbox was told to refuse it."
    ),
    "model_not_found": Failure(
        404,
        _REQUEST_ERROR,
        "model_not_found",
        "The model does not exist or you do not have access to it.",
    ),
    "server_error": Failure(
        500, "server_error", None, "The server had an error while processing your request."
    ),
    "timeout": Failure(504, "server_error", None, "The sandbox was told not to answer."),
}


def headers(order: Order, content_type: str) -> dict[str, str]:
    """Return the head of a success; the request id is the same for the same request."""
    digest = hashlib.sha256(msgspec.json.encode((order.model, order.prompt, order.size)))
    request_id = f"req_sandbox{digest.hexdigest()[:21]}"
    return {"content-type": content_type, "x-request-id": request_id}


def json_pieces(order: Order, drawings: Sequence[Drawing], created: int) -> Iterator[bytes]:
    """Yield the JSON body of all drawings, base64 encoded on the way."""
    yield b'{"created":%d,"data":[' % created
    for number, drawing in enumerate(drawings):
        yield b',{"b64_json":"' if number else b'{"b64_json":"'
        yield from _base64(drawing.image)
        yield b'"}'
    rest = _described(order, drawings[0]) if drawings else {}
    if drawings:
        rest["usage"] = _usage(order, drawings)
    if order.safety_identifier or order.user:
        rest["safety_identifier"] = order.safety_identifier or order.user
    yield b"]" + _continued(rest)


def events(
    order: Order, drawings: Sequence[Drawing], created: int, prefix: str
) -> Iterator[Iterator[bytes]]:
    """Yield each event of the stream as its pieces; `prefix` is `image_generation` or `image_edit`.

    The input is counted in the first completed event, so that the sum is right.
    """
    for number, drawing in enumerate(drawings):
        fields = _described(order, drawing) | {"created_at": created}
        for index, draft in enumerate(drawing.partials):
            yield _event(f"{prefix}.partial_image", draft, fields | {"partial_image_index": index})
        usage = _usage(order, [drawing], is_input_counted=not number)
        usage.pop("output_tokens_details")
        yield _event(f"{prefix}.completed", drawing.image, fields | {"usage": usage})


def _event(name: str, image: bytes, fields: dict[str, Json]) -> Iterator[bytes]:
    yield f'event: {name}\ndata: {{"type":"{name}","b64_json":"'.encode()
    yield from _base64(image)
    yield b'"' + _continued(fields) + b"\n\n"


def _continued(fields: dict[str, Json]) -> bytes:
    """Return the rest of a JSON object that was begun."""
    return (b"," if fields else b"") + msgspec.json.encode(fields)[1:]


def _base64(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _ENCODE_BYTES):
        yield pybase64.b64encode(data[start : start + _ENCODE_BYTES])


def _described(order: Order, drawing: Drawing) -> dict[str, Json]:
    return {
        "background": "transparent" if drawing.is_transparent else "opaque",
        "output_format": order.output_format,
        "quality": resolved_quality(order),
        "size": f"{drawing.width_px}x{drawing.height_px}",
    }


# Tokens


def resolved_quality(order: Order) -> str:
    """Return the quality that is answered, never `auto`."""
    if order.quality != "auto":
        return order.quality
    rule = _row(order).output_tokens
    return rule.auto_quality if rule else "medium"


def _row(order: Order) -> Model:
    catalogue = builtin_catalogue()
    row = catalogue.find(f"sandbox/{order.model}")
    if row is None or row.output_tokens is None:
        row = catalogue.find(FALLBACK_MODEL)
    assert row is not None
    return row


def _usage(
    order: Order, drawings: Sequence[Drawing], *, is_input_counted: bool = True
) -> dict[str, Json]:
    made = sum(_image_tokens(order, drawing) for drawing in drawings)
    text = -(-len(order.prompt) // PROMPT_CHARS_PER_TOKEN) * is_input_counted
    count = len(order.images) + (order.markup is not None)
    seen = _row(order).input_image_tokens[1] * count * is_input_counted
    return {
        "input_tokens": text + seen,
        "input_tokens_details": {"text_tokens": text, "image_tokens": seen},
        "output_tokens": made,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": made},
        "total_tokens": text + seen + made,
    }


def _image_tokens(order: Order, drawing: Drawing) -> int:
    rule = _row(order).output_tokens
    assert rule is not None
    quality = resolved_quality(order)
    partials = PARTIAL_IMAGE_TOKENS * len(drawing.partials)
    if rule.table:
        sizes = rule.table.get(f"{drawing.width_px}x{drawing.height_px}")
        return (sizes or next(iter(rule.table.values()))).get(quality, 0) + partials
    whole = formula_tokens(rule.bases.get(quality, 0), drawing.width_px, drawing.height_px)
    percent = rule.percent.get(quality, (100, 100, 100))[1]
    return -(-whole * percent // 100) + partials
