"""What is sent and what must come back: both sides build it from the same few numbers.

The prompt carries the order (`bench|json|1500000|2|0|`), because a prompt passes every gateway
unchanged. The picture differs by variant, so an answer that went to the wrong caller is noticed.
"""

import base64
import hashlib
import io
import json
import random
import re
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image

VARIANTS = 4
GEMINI_MODEL = "gemini-3-pro-image"
RECRAFT_MODEL = "recraftv3"
PARTIALS = 2
# A stream comes through TLS and proxies, so in pieces of a TLS record.
CHUNK_BYTES = 16 * 1024
BOUNDARY = b"imagegate-bench-7d1b93c2"
_ORDER = re.compile(rb"bench\|(json|sse)\|(\d+)\|(\d+)\|([\d.]+)\|([0-9a-f]*)\|")


@dataclass(frozen=True)
class Order:
    """One call: shape and size of the answer, and what the upload must hash to (hex or empty)."""

    shape: str
    answer_bytes: int
    variant: int = 0
    hold_s: float = 0.0
    upload_sha256: str = ""

    @property
    def prompt(self) -> str:
        """Return the order as a prompt."""
        parts = (self.shape, self.answer_bytes, self.variant, self.hold_s, self.upload_sha256)
        return "bench|" + "|".join(str(part) for part in parts) + "|"


def read_order(body: bytes) -> Order | None:
    """Return the order that is somewhere in a request's body."""
    found = _ORDER.search(body)
    if found is None:
        return None
    shape, answer_bytes, variant, hold_s, sha256 = (part.decode() for part in found.groups())
    return Order(shape, int(answer_bytes), int(variant), float(hold_s), sha256)


@lru_cache(maxsize=64)
def noise_png(file_bytes: int, seed: int) -> bytes:
    """Return a PNG of about `file_bytes` that cannot be compressed, always the same."""
    side = max(1, int((file_bytes / 3) ** 0.5))
    noise = random.Random(seed).randbytes(side * side * 3)
    file = io.BytesIO()
    Image.frombytes("RGB", (side, side), noise).save(file, format="PNG", compress_level=0)
    return file.getvalue()


@lru_cache(maxsize=64)
def picture_text(answer_bytes: int, seed: int) -> bytes:
    """Return the base64 of a picture for an answer of `answer_bytes`."""
    return base64.b64encode(noise_png(answer_bytes * 3 // 4, seed))


@lru_cache(maxsize=64)
def picture_sha256(answer_bytes: int, seed: int) -> str:
    """Return the hash of that picture's file."""
    return hashlib.sha256(base64.b64decode(picture_text(answer_bytes, seed))).hexdigest()


def partial_seed(variant: int, part: int) -> int:
    """Return the seed of a partial picture."""
    return 100 + variant * 10 + part


_FACTS = {
    "created_at": 1_795_160_000,
    "background": "opaque",
    "output_format": "png",
    "quality": "low",
    "size": "1024x1024",
}
_USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"text_tokens": 9, "image_tokens": 0},
    "output_tokens": 196,
    "total_tokens": 205,
}


@lru_cache(maxsize=64)
def json_response(answer_bytes: int, variant: int) -> bytes:
    """Return head and body of a whole answer, ready for the socket."""
    text = picture_text(answer_bytes, variant).decode()
    usage = {**_USAGE, "output_tokens_details": {"image_tokens": 196, "text_tokens": 0}}
    body = {"created": 1_795_160_000, "data": [{"b64_json": text}], "usage": usage}
    return _response(json.dumps(body, separators=(",", ":")).encode())


@lru_cache(maxsize=16)
def gemini_response(answer_bytes: int, variant: int) -> bytes:
    """Return the same picture as Gemini's generateContent answers."""
    text = picture_text(answer_bytes, variant).decode()
    part = {"inlineData": {"mimeType": "image/png", "data": text}}
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 1120, "totalTokenCount": 1129}
    body = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": GEMINI_MODEL}
    return _response(json.dumps(body, separators=(",", ":")).encode())


@lru_cache(maxsize=16)
def recraft_response(answer_bytes: int, variant: int) -> bytes:
    """Return the same picture as Recraft answers."""
    text = picture_text(answer_bytes, variant).decode()
    image = {"image_id": "11111111-0000-4000-8000-000000000001", "b64_json": text}
    body = {"created": 1_795_160_000, "credits": 35, "data": [image]}
    return _response(json.dumps(body, separators=(",", ":")).encode())


def refusal_response(message: str) -> bytes:
    """Return a 400 that says what was wrong with the request."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return _response(json.dumps({"error": error}).encode(), status=b"400 Bad Request")


def _response(body: bytes, status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body


@lru_cache(maxsize=16)
def stream_response(answer_bytes: int, variant: int, event: str) -> tuple[bytes, ...]:
    """Return head and frames of an event stream of `PARTIALS` partial and one whole picture."""
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
        b"transfer-encoding: chunked\r\n\r\n"
    )
    parts = [_partial(answer_bytes, variant, part, event) for part in range(PARTIALS)]
    whole = {"b64_json": picture_text(answer_bytes, variant).decode(), **_FACTS, "usage": _USAGE}
    return (head, *parts, _chunks(f"{event}.completed", whole), b"0\r\n\r\n")


def _partial(answer_bytes: int, variant: int, part: int, event: str) -> bytes:
    text = picture_text(answer_bytes, partial_seed(variant, part)).decode()
    return _chunks(
        f"{event}.partial_image", {"b64_json": text, "partial_image_index": part} | _FACTS
    )


def _chunks(name: str, body: dict[str, object]) -> bytes:
    data = json.dumps({"type": name, **body}, separators=(",", ":"))
    frame = f"event: {name}\ndata: {data}\n\n".encode()
    pieces = (frame[at : at + CHUNK_BYTES] for at in range(0, len(frame), CHUNK_BYTES))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def request_parts(
    order: Order, *, host: str, model: str, headers: dict[str, str], upload_bytes: int
) -> tuple[bytes, ...]:
    """Return a whole request as pieces for the socket; an upload makes it an edit."""
    path, content_type, body = (
        _edit(order, model, upload_bytes) if upload_bytes else _ask(order, model)
    )
    lines = [f"POST {path} HTTP/1.1", f"host: {host}", f"content-type: {content_type}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"content-length: {sum(len(piece) for piece in body)}")
    return ("\r\n".join([*lines, "", ""]).encode(), *body)


def _ask(order: Order, model: str) -> tuple[str, str, tuple[bytes, ...]]:
    wish: dict[str, object] = {"model": model, "prompt": order.prompt}
    if order.shape == "sse":
        wish |= {"stream": True, "partial_images": PARTIALS}
    return "/v1/images/generations", "application/json", (json.dumps(wish).encode(),)


def _edit(order: Order, model: str, upload_bytes: int) -> tuple[str, str, tuple[bytes, ...]]:
    fields = {"model": model, "prompt": order.prompt}
    form = b"".join(
        b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
        % (BOUNDARY, name.encode(), value.encode())
        for name, value in fields.items()
    )
    head = (
        b'--%b\r\nContent-Disposition: form-data; name="image"; filename="in.png"\r\n'
        b"Content-Type: image/png\r\n\r\n" % BOUNDARY
    )
    body = (form + head, noise_png(upload_bytes, 7), b"\r\n--%b--\r\n" % BOUNDARY)
    return "/v1/images/edits", f"multipart/form-data; boundary={BOUNDARY.decode()}", body
