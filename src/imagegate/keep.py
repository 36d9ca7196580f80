"""Keeps what an attempt brought: fetch urls, check each image once, make files assets."""

from collections.abc import Collection, Iterator, Sequence
from urllib.parse import urljoin

import msgspec
from msgspec import Struct

from imagegate import clock
from imagegate.assets.check import check_answer_blob
from imagegate.assets.spool import CallSpool, SpoolFile
from imagegate.assets.store import AssetStore
from imagegate.errors import BadRequestError, UpstreamEmptyError
from imagegate.ledger.records import AssetRecord
from imagegate.transport.download import Downloader, DownloadLimits
from imagegate.types import Blob, Image, ImageResult

LIMITS = DownloadLimits(bytes_max=64 * 1024 * 1024, seconds_max=120.0)


async def collect(
    result: ImageResult,
    origin: str,
    spool: CallSpool,
    downloader: Downloader,
    *,
    hosts: Collection[str] = (),
) -> ImageResult:
    """Return the result with a checked blob in every image; urls are fetched at once.

    `origin` is the deployment's base URL: a server of one's own may hand out its own addresses.
    `hosts` are the only others that a url may lead to, where there are any. No url stays: it ends
    soon, and who has it may fetch the image. Size and format are those of the bytes that came,
    not those that were asked for. Raises `UpstreamEmptyError` where one of them is no whole
    image: an ambiguous fault.
    """
    if not result.images:  # a relayed response in words
        return result
    images = []
    for image in result.images:
        blob = image.blob
        if blob is None:
            place = _Place(origin, tuple(hosts), downloader)
            blob = await _fetch(image.url or "", place, spool)
        images.append(Image(check_answer_blob(blob), None, image.revised_prompt))
    return with_facts(result, images)


def with_facts(result: ImageResult, images: Sequence[Image]) -> ImageResult:
    """Return the result with these images, their size and their format; None where they differ.

    A drawing has no size in px: the upstream's own word for it stays. Without a time of its own
    it was created now.
    """
    sizes, formats = set(), set()
    for blob in [image.blob for image in images if image.blob]:
        formats.add(blob.media_type.removeprefix("image/").removesuffix("+xml"))
        if blob.width_px:
            sizes.add(f"{blob.width_px}x{blob.height_px}")
    return msgspec.structs.replace(
        result,
        images=tuple(images),
        created=result.created or int(clock.now_s()),
        size=_only(sizes) if sizes else result.size,
        output_format=_only(formats),
    )


def _only(words: set[str]) -> str | None:
    return next(iter(words)) if len(words) == 1 else None


class _Place(Struct, frozen=True, eq=False):
    """Where the urls of a result may lead."""

    origin: str
    hosts: tuple[str, ...]
    downloader: Downloader


async def _fetch(url: str, place: _Place, spool: CallSpool) -> Blob:
    file = spool.new_file()
    try:
        await place.downloader.fetch(
            urljoin(f"{place.origin}/", url),  # some servers name a path of their own
            write=file.write,
            limits=LIMITS,
            trusted_origin=place.origin,
            only_hosts=place.hosts,
        )
    except BadRequestError as error:
        raise UpstreamEmptyError(
            f"The upstream answered with a url that could not be fetched: {error.message} "
            "The image was probably billed.",
            code="upstream_invalid_image",
        ) from error
    return Blob(source=file, offset=0, length=file.size)


def keep(
    result: ImageResult,
    store: AssetStore,
    *,
    call_id: str,
    attempt_id: str,
    expires_at: float,
    is_held: bool = False,
) -> tuple[AssetRecord, ...]:
    """Move the files of all images into the store; return the assets. Files may be shared.

    `expires_at` is in unix seconds. With `is_held` no route finds them. The blobs stay
    readable: an open file survives its rename.
    """
    now = clock.now_s()
    files: dict[int, str] = {}
    return tuple(
        AssetRecord(
            id=clock.new_id("img"),
            call_id=call_id,
            attempt_id=attempt_id,
            index=index,
            file=_place(blob, _Shelf(store, attempt_id, is_held), files),
            offset=blob.offset,
            length=blob.length,
            encoding=blob.encoding,
            escaped=blob.escaped,
            media_type=blob.media_type,
            width_px=blob.width_px,
            height_px=blob.height_px,
            created_at=now,
            expires_at=expires_at,
        )
        for index, blob in enumerate(_blobs(result))
    )


def asset_name(file_name: str, attempt_id: str) -> str:
    """Return the name in the store of an attempt's spool file; a recovery finds it by that."""
    return f"{file_name}-{attempt_id}"


def _blobs(result: ImageResult) -> Iterator[Blob]:
    return (image.blob for image in result.images if image.blob is not None)


class _Shelf(Struct, frozen=True, eq=False):
    """Where in the store the files of an attempt go."""

    store: AssetStore
    attempt_id: str
    is_held: bool


def _place(blob: Blob, shelf: _Shelf, files: dict[int, str]) -> str:
    source = blob.source
    if id(source) in files:
        return files[id(source)]
    if isinstance(source, SpoolFile):
        name = asset_name(source.name, shelf.attempt_id)
        kept = shelf.store.keep_file(source, name, is_held=shelf.is_held)
    else:
        assert isinstance(source, bytes)
        name = asset_name(f"small-{len(files)}", shelf.attempt_id)
        kept = shelf.store.keep_bytes(source, name, is_held=shelf.is_held)
    files[id(source)] = kept
    return kept
