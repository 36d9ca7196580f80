"""What callers get: OpenAI's attributes, and bytes that are read only when someone asks."""

import os
import secrets
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import UNSET, structs

from imagegate.assets.blobs import head_and_tail
from imagegate.catalogue.price import format_usd
from imagegate.client.held import BlobSlot, Held
from imagegate.client.record import Record
from imagegate.types import Adjustment, Blob, Image, Json, PartialImage, TokenDetails, Usage
from imagegate.wire.image_header import sniff

if TYPE_CHECKING:
    from imagegate.running import Outcome

_SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/svg+xml": ".svg",
}


class ImageTokens(Record):
    """Tokens by what they stand for."""

    fields = ("text_tokens", "image_tokens")

    def __init__(self, details: TokenDetails) -> None:
        self.text_tokens = details.text_tokens
        self.image_tokens = details.image_tokens

    def __repr__(self) -> str:
        return f"ImageTokens(text_tokens={self.text_tokens}, image_tokens={self.image_tokens})"


class ImageUsage(Record):
    """Tokens as the provider counted them; `output_tokens_details` is None where it gave none."""

    fields = (
        "input_tokens",
        "input_tokens_details",
        "output_tokens",
        "output_tokens_details",
        "total_tokens",
    )

    def __init__(self, usage: Usage) -> None:
        details = usage.output_tokens_details
        self.input_tokens = usage.input_tokens
        self.output_tokens = usage.output_tokens
        self.total_tokens = usage.total_tokens
        self.input_tokens_details = ImageTokens(usage.input_tokens_details)
        self.output_tokens_details = None if details is UNSET else ImageTokens(details)

    def __repr__(self) -> str:
        return f"ImageUsage(input={self.input_tokens}, output={self.output_tokens})"


class ImageData(Record):
    """One image. Its bytes are read on access and stay readable while this object lives."""

    fields = ("b64_json", "url", "revised_prompt")

    def __init__(self, slot: BlobSlot, *, revised_prompt: str | None, as_url: bool) -> None:
        self._slot = slot
        self._as_url = as_url
        self.revised_prompt = revised_prompt
        self.media_type = slot.blob.media_type
        self.width = slot.blob.width_px
        self.height = slot.blob.height_px

    @property
    def b64_json(self) -> str:
        """The image file as base64; read anew at each access."""
        return self._slot.base64()

    @property
    def url(self) -> str | None:
        """A `data:` URL where `response_format="url"` was asked for, else None."""
        return f"data:{self.media_type};base64,{self.b64_json}" if self._as_url else None

    @property
    def bytes(self) -> bytes:
        """The image file; read anew at each access."""
        return self._slot.raw()

    @property
    def size_bytes(self) -> int:
        """The length of the image file."""
        return self._slot.size_bytes()

    @property
    def suffix(self) -> str:
        """What a file of this type ends in, `.png`; `""` where the type is not known."""
        return _SUFFIXES.get(self.media_type, "")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the image file to `path` and return where it is.

        A path without a suffix gets the one of the image's type. The file appears whole or not at
        all; one that was there is replaced. Raises `OSError` where it cannot be written.
        """
        target = Path(path)
        if not target.suffix:
            target = target.with_name(target.name + self.suffix)
        _write_whole(target, self._slot)
        return target

    def __repr__(self) -> str:
        size = f" {self.width}x{self.height} px" if self.width else ""
        return f"<ImageData {self.media_type}{size}>"


class ImageResponse(Record):
    """The images of one call, and what they cost.

    `images` is `data` by another name. `cost_usd` is exact, None where the price is unknown.
    `adjustments` lists each difference between what was asked and what was sent, `verdicts` what
    guardrails said of it, as `name:action:category`.
    """

    fields = (
        "created",
        "data",
        "background",
        "output_format",
        "quality",
        "size",
        "usage",
    )

    def __init__(self, outcome: "Outcome", held: Held, *, as_url: bool = False) -> None:
        result = outcome.result
        self.created = result.created
        self.data = [_image_data(image, held, as_url=as_url) for image in result.images]
        self.background = result.background
        self.output_format = result.output_format
        self.quality = result.quality
        self.size = result.size
        self.usage = result.usage and ImageUsage(result.usage)
        self.extra: Mapping[str, Json] = result.extra
        self.cost_usd = _usd(outcome.cost_e10)
        self.adjustments: tuple[Adjustment, ...] = outcome.adjustments
        self.warnings: tuple[str, ...] = outcome.warnings
        self.verdicts: tuple[str, ...] = tuple(map(str, outcome.verdicts))
        self.call_id = outcome.call.id
        self.provider = outcome.deployment.provider.name
        self.model = f"{self.provider}/{outcome.deployment.target.upstream_model}"
        self.upstream_headers: Mapping[str, str] = outcome.upstream_headers

    @property
    def images(self) -> list[ImageData]:
        """The images, each with `save`, `bytes`, `width` and `height`."""
        return self.data

    @property
    def _hidden_params(self) -> dict[str, Any]:
        """What LiteLLM's users read: `response_cost` in USD as a float, None where unknown."""
        return {
            "response_cost": None if self.cost_usd is None else float(self.cost_usd),
            "litellm_call_id": self.call_id,
            "custom_llm_provider": self.provider,
            "model": self.model,
        }

    def __repr__(self) -> str:
        cost = "unknown" if self.cost_usd is None else f"{self.cost_usd} USD"
        return f"<ImageResponse {self.model} {self.data!r}, cost {cost}, {self.call_id}>"


class ImageEvent(Record):
    """One event of a stream; `type` tells which. Its base64 is read on access."""

    fields: ClassVar[tuple[str, ...]] = (
        "type",
        "b64_json",
        "created_at",
        "size",
        "quality",
        "background",
        "output_format",
    )
    type: str
    created_at: int
    size: str | None
    quality: str | None
    background: str | None
    output_format: str | None

    def __init__(self, image: ImageData) -> None:
        self.image = image

    @property
    def b64_json(self) -> str:
        """The picture as base64; read anew at each access."""
        return self.image.b64_json

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.type} {self.image!r}>"


class PartialImageEvent(ImageEvent):
    """A preview of an image in the making; `partial_image_index` counts from 0."""

    fields = (*ImageEvent.fields, "partial_image_index")

    def __init__(self, partial: PartialImage, prefix: str, held: Held) -> None:
        super().__init__(
            ImageData(held.slot(_seen(partial.blob)), revised_prompt=None, as_url=False)
        )
        self.type = f"{prefix}.partial_image"
        self.partial_image_index = partial.index
        self.created_at = partial.created
        self.size = partial.size
        self.quality = partial.quality
        self.background = partial.background
        self.output_format = partial.output_format


class CompletedEvent(ImageEvent):
    """A finished image. `response` is the whole call's result, with cost and adjustments.

    `usage` is the whole call's and stands in the event of its last image, None in the others, so
    that a sum over the events is right.
    """

    fields = (*ImageEvent.fields, "usage")

    def __init__(self, response: ImageResponse, index: int, prefix: str) -> None:
        super().__init__(response.data[index])
        is_last = index == len(response.data) - 1
        self.type = f"{prefix}.completed"
        self.response = response
        self.created_at = response.created
        self.size = response.size
        self.quality = response.quality
        self.background = response.background
        self.output_format = response.output_format
        self.usage = response.usage if is_last else None


def _image_data(image: Image, held: Held, *, as_url: bool) -> ImageData:
    assert image.blob is not None  # the pipeline fetched what came as a url
    return ImageData(held.slot(image.blob), revised_prompt=image.revised_prompt, as_url=as_url)


def _seen(blob: Blob) -> Blob:
    """Return a preview with what its header says; nobody has checked it, and nobody bought it."""
    try:
        header = sniff(*head_and_tail(blob))
    except ValueError:
        header = None
    if header is None:
        return blob
    return structs.replace(
        blob,
        media_type=header.media_type,
        width_px=header.width_px,
        height_px=header.height_px,
    )


def _usd(cost_e10: int | None) -> Decimal | None:
    return None if cost_e10 is None else Decimal(format_usd(cost_e10))


def _write_whole(target: Path, slot: BlobSlot) -> None:
    """Write beside `target` and rename, so that no half file is ever seen under its name."""
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            slot.copy_to(file.write)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
