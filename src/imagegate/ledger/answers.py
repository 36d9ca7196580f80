"""What an attempt brought, as JSON beside its row: enough to give the same answer again.

Images are not in it: they are assets. Read leniently, because an older version wrote it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from imagegate import errors
from imagegate.errors import ImageError, UpstreamFailedError, UpstreamWords
from imagegate.types import Blob, Image, ImageResult, Json, Usage

_T = TypeVar("_T", bound=Struct)


class Brought(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All of a result but its images; `revised_prompts` has one entry an image."""

    created: int = 0
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    output_format: str | None = None
    usage: Usage | None = None
    raw_usage: Mapping[str, Json] | None = None
    extra: Mapping[str, Json] = {}
    revised_prompts: tuple[str | None, ...] = ()
    warnings: tuple[str, ...] = ()

    def result(self, blobs: Mapping[int, Blob]) -> ImageResult:
        """Return the result whose images are `blobs`, by their index; some may be missing."""
        prompts = dict(enumerate(self.revised_prompts))
        return ImageResult(
            images=tuple(
                Image(blob=blob, revised_prompt=prompts.get(index)) for index, blob in blobs.items()
            ),
            created=self.created,
            size=self.size,
            quality=self.quality,
            background=self.background,
            output_format=self.output_format,
            usage=self.usage,
            raw_usage=self.raw_usage,
            extra=self.extra,
        )


class Told(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as its caller was told it; `kind` is its class.

    `brought` is the `Brought` of an attempt whose images a guardrail holds: what is told of them
    once they are released.
    """

    kind: str
    message: str
    code: str
    http_status: int
    param: str | None = None
    retry_after_s: float | None = None
    upstream: UpstreamWords | None = None
    is_replaced: bool = False
    brought: str | None = None

    def error(self) -> ImageError:
        """Return the error anew; of a class that is gone, one that says the least."""
        kind = _CLASSES.get(self.kind, UpstreamFailedError)
        return kind(
            self.message,
            param=self.param,
            code=self.code,
            http_status=self.http_status,
            retry_after_s=self.retry_after_s,
            upstream=self.upstream,
        )


def write_brought(result: ImageResult, warnings: Sequence[str] = ()) -> str:
    """Return the JSON of what came."""
    brought = Brought(
        created=result.created,
        size=result.size,
        quality=result.quality,
        background=result.background,
        output_format=result.output_format,
        usage=result.usage,
        raw_usage=result.raw_usage,
        extra=result.extra,
        revised_prompts=_prompts(result),
        warnings=tuple(warnings),
    )
    return msgspec.json.encode(brought).decode()


def write_told(error: ImageError, brought: str | None = None, *, is_replaced: bool = False) -> str:
    """Return the JSON of an error, and of what it keeps back.

    `is_replaced`: another attempt was made in its place.
    """
    told = Told(
        kind=type(error).__name__,
        message=error.message,
        code=error.code,
        http_status=error.http_status,
        param=error.param,
        retry_after_s=error.retry_after_s,
        upstream=error.upstream,
        is_replaced=is_replaced,
        brought=brought,
    )
    return msgspec.json.encode(told).decode("utf-8", "replace").replace("\\u0000", "")


def read_brought(text: str | None) -> Brought:
    """Return what came; nothing is known of an attempt whose row tells nothing."""
    return _read(text, Brought) or Brought()


def read_told(text: str | None) -> Told | None:
    """Return the error of an attempt, None where its row tells nothing."""
    return _read(text, Told)


def without_refusal(text: str | None) -> str | None:
    """Return what a held attempt tells once its images are released; any other as it is."""
    told = read_told(text)
    return told.brought if told else text


def _read(text: str | None, kind: type[_T]) -> _T | None:
    try:
        return msgspec.json.decode(text, type=kind) if text else None
    except msgspec.MsgspecError:
        return None


def _prompts(result: ImageResult) -> tuple[str | None, ...]:
    prompts = tuple(image.revised_prompt for image in result.images)
    return prompts if any(prompts) else ()


def _error_classes() -> Iterator[type[ImageError]]:
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, ImageError):
            yield value


_CLASSES = {kind.__name__: kind for kind in _error_classes()}
