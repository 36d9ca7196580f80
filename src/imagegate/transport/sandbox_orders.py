"""What the sandbox is asked for: the request's body, checked as OpenAI would check it.

Limits of the model itself were checked before (`plan.py`); these hold for every model, known or
not, so that no request makes the sandbox draw without end.
"""

import binascii
from collections.abc import Iterable
from typing import Annotated

import msgspec
import pybase64
from msgspec import Meta, Struct

from imagegate.catalogue.geometry import AREA_PX_MAX, parse_size
from imagegate.types import Json

DELAY_S_MAX = 600.0
EDGE_PX_MAX = 3840
N_MAX = 10
OUTPUT_FORMATS = ("png", "jpeg", "webp", "gif", "svg")
FAILURES = (
    "rate_limit",
    "invalid_key",
    "insufficient_quota",
    "moderation",
    "bad_request",
    "model_not_found",
    "server_error",
    "timeout",
    "drop",
    "half_body",
    "empty",
    "invalid_image",
    "cut_stream",
)

_FEW = Annotated[int, Meta(ge=0, le=3)]


class OrderError(Exception):
    """A request that OpenAI would refuse; `param` and `code` go into the error body."""

    def __init__(self, message: str, *, param: str | None = None, code: str = "invalid_value"):
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class Behaviour(Struct, frozen=True, forbid_unknown_fields=True):
    """How the sandbox shall behave in a test: wait `delay_s`, then `fail` in a named way."""

    delay_s: Annotated[float, Meta(ge=0, le=DELAY_S_MAX)] = 0.0
    fail: str | None = None


class Reference(Struct, frozen=True, forbid_unknown_fields=True):
    """An input image as a data url."""

    image_url: str

    def read(self) -> bytes:
        """Return the file. Raises `OrderError`."""
        head, comma, text = self.image_url.partition(",")
        try:
            if comma and head.startswith("data:") and head.endswith(";base64"):
                return pybase64.b64decode(text, validate=True)
        except binascii.Error:
            pass
        raise OrderError("An input is no data url with base64.", param="images")


class Order(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for images in OpenAI's JSON shape, with `sandbox` besides.

    Fields that make no difference to a drawing are known, so that they are not refused.
    """

    model: str
    prompt: str
    n: Annotated[int, Meta(ge=1, le=N_MAX)] = 1
    size: str = "auto"
    quality: str = "auto"
    background: str = "auto"
    output_format: str = "png"
    output_compression: Annotated[int, Meta(ge=0, le=100)] = 100
    stream: bool = False
    partial_images: _FEW = 0
    frame_count: Annotated[int, Meta(ge=2, le=16)] = 9
    frame_duration_ms: Annotated[int, Meta(ge=10, le=655_350)] = 200
    images: tuple[Reference, ...] = ()
    mask: Reference | None = None
    markup: Reference | None = None
    safety_identifier: str | None = None
    user: str | None = None
    moderation: str | None = None
    complexity: str | None = None
    input_fidelity: str | None = None
    style: str | None = None
    svg: dict[str, Json] | None = None
    response_format: str | None = None
    sandbox: Behaviour = Behaviour()

    @property
    def pixels(self) -> tuple[int, int]:
        """The size in px, (0, 0) for automatic. `size` was checked to be one or the other."""
        return parse_size(self.size) or (0, 0)


def parse_order(data: bytes) -> Order:
    """Return what is asked for. Raises `OrderError`."""
    try:
        fields = msgspec.json.decode(data)
        assert isinstance(fields, dict)
    except (msgspec.DecodeError, AssertionError) as error:
        raise OrderError("We could not parse the JSON body of your request.") from error
    given = {name: value for name, value in fields.items() if value is not None}
    _check_names(given)
    try:
        order = msgspec.convert(given, Order)
    except msgspec.ValidationError as error:
        raise OrderError(f"Invalid value: {error}.") from error
    _check_size(order)
    _check_output(order)
    _check_failure(order)
    return order


def _check_names(given: dict[str, Json]) -> None:
    _refuse_unknown(given, Order.__struct_fields__, "")
    for name in ("model", "prompt"):
        if name not in given:
            message = f"Missing required parameter: '{name}'."
            raise OrderError(message, param=name, code="missing_required_parameter")
    behaviour = given.get("sandbox", {})
    if not isinstance(behaviour, dict):
        raise OrderError("Invalid type for 'sandbox': expected an object.", param="sandbox")
    _refuse_unknown(behaviour, Behaviour.__struct_fields__, "sandbox.")


def _refuse_unknown(given: Iterable[str], known: tuple[str, ...], prefix: str) -> None:
    for name in given:
        if name not in known:
            message = f"Unknown parameter: '{prefix}{name}'."
            raise OrderError(message, param=prefix + name, code="unknown_parameter")


def _check_size(order: Order) -> None:
    if order.size == "auto":
        return
    width, height = order.pixels
    if not width or not height:
        raise OrderError(f"Invalid size '{order.size}'. Use WIDTHxHEIGHT or auto.", param="size")
    frames = order.frame_count if order.output_format == "gif" else 1
    if max(width, height) > EDGE_PX_MAX or width * height * frames > AREA_PX_MAX:
        reason = f"At most {EDGE_PX_MAX} px an edge and {AREA_PX_MAX} px in all, frames counted."
        raise OrderError(f"Invalid size '{order.size}'. {reason}", param="size")


def _check_output(order: Order) -> None:
    _check_choice(order.output_format, OUTPUT_FORMATS, "output_format")
    if order.background == "transparent" and order.output_format not in ("png", "webp"):
        name = order.output_format.upper()
        message = f"Transparent background is not supported for {name} output format"
        raise OrderError(message, param="background")
    if order.stream and order.output_format in ("gif", "svg"):
        raise OrderError(f"{order.output_format} cannot be streamed.", param="stream")


def _check_failure(order: Order) -> None:
    fail = order.sandbox.fail
    if fail is None:
        return
    _check_choice(fail, FAILURES, "sandbox.fail")
    if fail == "cut_stream" and not order.stream:
        raise OrderError("'cut_stream' needs 'stream': true.", param="sandbox.fail")


def _check_choice(value: str, choices: tuple[str, ...], param: str) -> None:
    if value not in choices:
        names = ", ".join(f"'{choice}'" for choice in choices)
        raise OrderError(f"Invalid value: '{value}'. Supported values are: {names}.", param=param)
