"""What an image request asks for, and whether the real API would take it."""

import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

from tests.upstream.bill import FilePart, Record
from tests.upstream.refusals import REFUSALS, Refusal, error_body

_SCALARS = (
    "prompt model n size quality background output_format output_compression moderation stream "
    "partial_images complexity frame_count frame_duration_ms svg safety_identifier user"
)
GENERATE_FIELDS = frozenset(_SCALARS.split())
EDIT_FIELDS = GENERATE_FIELDS | {"image", "image[]", "images", "mask", "markup", "input_fidelity"}
LEGACY_FIELDS = frozenset({"response_format", "style"})
GPT_MODELS = ("gpt-image-", "chatgpt-image-")
_ROUTE = re.compile(
    r"^(?P<surface>/openai/deployments/(?P<deployment>[^/]+)|/openai/v1|/v1|)"
    r"/images/(?P<operation>generations|edits|variations)$"
)
_MARK = re.compile(r"\[(\w+)=([^\]]+)\]")
_BASE = {
    "gpt-image-2": {"low": 16, "medium": 48, "high": 96},
    "gpt-image-2.5": {"low": 16, "medium": 24, "high": 48, "xhigh": 64, "max": 96},
}
_TABLE = {"low": (272, 408, 400), "medium": (1056, 1584, 1568), "high": (4160, 6240, 6208)}
INPUT_IMAGE_TOKENS = 1024
PARTIAL_TOKENS = 100


@dataclass
class Ask:
    """One image request, understood. `deployment` is set on Azure's deployment route only."""

    surface: str
    operation: str
    deployment: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    inputs: int = 0

    @property
    def prompt(self) -> str:
        return str(self.fields.get("prompt") or "")

    @property
    def model(self) -> str:
        return str(self.fields.get("model") or self.deployment)

    @property
    def n(self) -> int:
        return int(self.fields.get("n") or 1)

    @property
    def stream(self) -> bool:
        return self.fields.get("stream") in (True, "true")

    @property
    def partials(self) -> int:
        return int(self.fields.get("partial_images") or 0)

    @property
    def media(self) -> str:
        return str(self.fields.get("output_format") or "png")

    @property
    def transparent(self) -> bool:
        return self.fields.get("background") == "transparent"

    @property
    def quality(self) -> str:
        asked = self.fields.get("quality")
        return "medium" if asked in (None, "auto") else str(asked)

    @property
    def size(self) -> tuple[int, int] | None:
        """Return width and height in px, None where the choice is ours."""
        asked = self.fields.get("size")
        if asked in (None, "auto"):
            return None
        width, _, height = str(asked).partition("x")
        return int(width), int(height)

    @property
    def is_gpt(self) -> bool:
        """Whether GPT image rules hold: on Azure's deployment route for all but DALL-E names."""
        if self.deployment:
            return not self.deployment.startswith("dall-e")
        return self.model.startswith(GPT_MODELS)

    @property
    def marks(self) -> dict[str, str]:
        """Return the `[name=value]` marks of the prompt."""
        return dict(_MARK.findall(self.prompt))


def read_ask(record: Record, body: bytes) -> Ask | None:
    """Return what the request asks for, None where the path is no image route.

    Fills in the record's `json`, `form` and `files`. Raises ValueError on a body that is neither.
    """
    route = _ROUTE.match(record.path)
    if route is None or record.method != "POST":
        return None
    ask = Ask(route["surface"], route["operation"], route["deployment"] or "")
    content_type = record.headers.get("content-type", "")
    if content_type.startswith("multipart/form-data"):
        _read_form(record, ask, body, content_type)
    else:
        record.json = json.loads(body)
        ask.fields = dict(record.json)
        ask.inputs = len(ask.fields.get("images") or ())
    return ask


def _read_form(record: Record, ask: Ask, body: bytes, content_type: str) -> None:
    header = Message()
    header["content-type"] = content_type
    delimiter = b"\r\n--" + str(header.get_param("boundary")).encode()
    *parts, end = (b"\r\n" + body).split(delimiter)
    if not end.startswith(b"--"):
        raise ValueError("the form has no end")
    for part in parts[1:]:
        head, _, value = part[2:].partition(b"\r\n\r\n")
        _read_part(record, ask, head.decode(), value)


def _read_part(record: Record, ask: Ask, head: str, value: bytes) -> None:
    header = Message()
    for line in head.split("\r\n"):
        name, _, text = line.partition(":")
        header[name] = text.strip()
    disposition = "content-disposition"
    name = str(header.get_param("name", header=disposition))
    filename = header.get_param("filename", header=disposition)
    if filename is None:
        record.form.append((name, value.decode()))
        ask.fields[name] = value.decode()
        return
    digest = hashlib.sha256(value).hexdigest()
    media = header.get("content-type", "")
    record.files.append(FilePart(name, str(filename), media, len(value), digest))
    ask.fields.setdefault(name, str(filename))
    ask.inputs += name.startswith("image")


def check_key(record: Record, ask: Ask, key: str | None) -> Refusal | None:
    """Return the 401 of a missing or wrong key. A plain `/images/*` server asks for none."""
    given = {name for name in ("authorization", "api-key") if name in record.headers}
    azure = ask.surface.startswith("/openai/")
    wrong = REFUSALS["azure_key" if azure else "invalid_key"]
    if not given:
        return wrong if ask.surface or key else None
    # Both at once is never right, and the plain API knows no `api-key`.
    if len(given) == 2 or (given == {"api-key"} and not azure):
        return wrong
    secret = record.headers[given.pop()].removeprefix("Bearer ")
    return wrong if key is not None and secret != key else None


def check_ask(record: Record, ask: Ask) -> Refusal | None:
    """Return the 400 that the real API answers, None where it takes the request."""
    if ask.deployment and "model" in ask.fields:
        return REFUSALS["azure_model_in_body"]
    if ask.deployment and "api-version" not in record.query:
        return Refusal(404, b'{"error":{"code":"404","message":"Resource not found"}}')
    if ask.surface == "/openai/v1" and not ask.model:
        return REFUSALS["azure_deployment_not_found"]
    return _check_fields(ask)


def _check_fields(ask: Ask) -> Refusal | None:
    if ask.operation == "variations":
        return None
    known = EDIT_FIELDS if ask.operation == "edits" else GENERATE_FIELDS
    if not ask.is_gpt:
        known |= LEGACY_FIELDS
    for name in ask.fields:
        if name not in known and not name.startswith("svg["):
            return _bad(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    if not ask.prompt:
        return _missing("prompt")
    if ask.operation == "edits" and not ask.inputs:
        return _missing("image")
    if ask.surface.startswith("/openai/") and ask.media not in ("png", "jpeg"):
        return _bad(f"Invalid value: '{ask.media}'.", "output_format", "invalid_value")
    return None


def _missing(name: str) -> Refusal:
    return _bad(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")


def _bad(message: str, param: str, code: str) -> Refusal:
    return Refusal(400, error_body(message, "invalid_request_error", param, code))


def usage_of(ask: Ask, size: tuple[int, int], *, images: int, partials: int = 0) -> dict[str, Any]:
    """Return the usage of `images` pictures of that size, by OpenAI's own calculator."""
    text, pictures = len(ask.prompt.split()) + 6, ask.inputs * INPUT_IMAGE_TOKENS
    output = images * _image_tokens(ask, size) + partials * PARTIAL_TOKENS
    return {
        "input_tokens": text + pictures,
        "input_tokens_details": {"image_tokens": pictures, "text_tokens": text},
        "output_tokens": output,
        "total_tokens": text + pictures + output,
    }


def _image_tokens(ask: Ask, size: tuple[int, int]) -> int:
    if ask.model.startswith(("gpt-image-1", "chatgpt-image")):
        square, tall, wide = _TABLE.get(ask.quality, _TABLE["medium"])
        return square if size[0] == size[1] else tall if size[0] < size[1] else wide
    old = ask.model.startswith("gpt-image-2") and not ask.model.startswith("gpt-image-2.")
    bases = _BASE["gpt-image-2" if old else "gpt-image-2.5"]
    base = bases.get(ask.quality, bases["medium"])
    ratio = round(base * min(size) / max(size))
    return math.ceil(base * ratio * (2_000_000 + size[0] * size[1]) / 4_000_000)
