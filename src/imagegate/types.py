"""The values that every layer speaks of. Frozen, and they do nothing.

An image is never a Python string here: bytes are named by a `Blob` and read by `assets/spool.py`.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType

Json: TypeAlias = Any  # JSON's edge: the only place where Any is meant
Operation: TypeAlias = Literal["generate", "edit", "variation", "responses"]
AdjustPolicy: TypeAlias = Literal["nearest", "strict"]


class Blob(Struct, frozen=True, eq=False, tag="blob"):
    """Bytes that are named, not held: a range of a spool file, or a small buffer.

    `source` is `bytes` or a spool file that only `assets/spool.py` may look into; `offset` and
    `length` count the bytes as they are stored there, before any decoding. `escaped` says that the
    stored base64 holds JSON escapes (`\\/`) that must be stripped, `sound` that it was decoded
    already, whole. Width and height are in px, 0 where nobody has looked or there is none.
    """

    source: object
    offset: int
    length: int
    encoding: Literal["raw", "base64"] = "raw"
    escaped: bool = False
    media_type: str = ""
    sound: bool = False
    width_px: int = 0
    height_px: int = 0

    def __repr__(self) -> str:
        """Show what it is and how large, never the bytes."""
        size = f" {self.width_px}x{self.height_px}" if self.width_px else ""
        return f"<Blob {self.media_type or 'unknown'}{size}, {self.length} bytes {self.encoding}>"


class Encoded(Struct, frozen=True, eq=False):
    """A blob that must stand in a body as base64, however it is stored."""

    blob: Blob


Body: TypeAlias = tuple[bytes | Blob | Encoded, ...]
"""What goes out: literal bytes, blobs as raw bytes, blobs as base64. Streamed, never joined."""


class FileId(Struct, frozen=True, tag="file_id"):
    """An input that a provider already holds (`file-abc123`); it leaves only to that provider."""

    id: str


class ImageCall(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a caller asked for, in OpenAI's terms. `None` means: not given.

    `model` is the model group's name as asked. `n` counts images, >= 1. `output_compression` is
    0 to 100. `aspect_ratio` ("16:9") and `resolution` ("2K") are what a plan makes of `size` for
    models that take no pixels. `extra` holds fields that are none of OpenAI's, as given.
    """

    id: str
    operation: Operation
    model: str
    prompt: str = ""
    n: int = 1
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    output_format: str | None = None
    output_compression: int | None = None
    moderation: str | None = None
    style: str | None = None
    aspect_ratio: str | None = None
    resolution: str | None = None
    seed: int | None = None
    negative_prompt: str | None = None
    response_format: str | None = None
    input_fidelity: str | None = None
    complexity: str | None = None
    frame_count: int | None = None
    frame_duration_ms: int | None = None
    svg: Mapping[str, Json] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    stream: bool = False
    partial_images: int | None = None
    images: tuple[Blob | FileId, ...] = ()
    mask: Blob | FileId | None = None
    markup: Blob | None = None
    extra: Mapping[str, Json] = {}


class Adjustment(Struct, frozen=True):
    """A difference between what was asked and what was sent; `sent` is None where left out."""

    param: str
    asked: Json
    sent: Json
    reason: str


class TokenDetails(Struct, frozen=True):
    """Tokens by what they stand for. So many of them as `cached_tokens` were read from a cache."""

    text_tokens: int = 0
    image_tokens: int = 0
    cached_tokens: int | UnsetType = UNSET


class Usage(Struct, frozen=True, omit_defaults=False):
    """Tokens as the upstream counted them, in OpenAI's shape."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: TokenDetails = TokenDetails()
    output_tokens_details: TokenDetails | UnsetType = UNSET


class Image(Struct, frozen=True):
    """One image of a result: a blob, or a url that `keep` still has to fetch."""

    blob: Blob | None = None
    url: str | None = None
    revised_prompt: str | None = None


class ImageResult(Struct, frozen=True, kw_only=True):
    """What an exchange brought back, in OpenAI's terms.

    `created` is in unix seconds, 0 where the upstream gave none. `usage` is None where the
    upstream gave none; `raw_usage` is its own JSON, passed on untouched. `cost_e10` is what the
    upstream itself says that it charged, in 1e-10 USD, None where it says nothing. `extra` holds
    further fields of the answer that callers may want (`svg_usage`, `safety_identifier`).
    """

    images: tuple[Image, ...]
    created: int = 0
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    output_format: str | None = None
    usage: Usage | None = None
    raw_usage: Mapping[str, Json] | None = None
    cost_e10: int | None = None
    extra: Mapping[str, Json] = {}


class PartialImage(Struct, frozen=True):
    """A preview that came while an image was still in the making; `index` counts from 0."""

    blob: Blob
    index: int
    created: int = 0
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    output_format: str | None = None


class Secret:
    """A credential whose `repr` hides it. Read it with `reveal()` only where it is presented."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the credential itself."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret('***')" if self._value else "Secret('')"

    __str__ = __repr__
