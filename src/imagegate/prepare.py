"""What must be true of a call's input files before an attempt starts: looked at, never decoded.

The gateway and the SDK both come through here, so that a bad file is refused in the same words
by either, and before anything is sent.
"""

from typing import Literal

import msgspec

from imagegate.assets.spool import head_and_tail, raw_bytes, read_chunks
from imagegate.errors import BadRequestError, RequestTooLargeError
from imagegate.types import Blob, FileId, ImageCall
from imagegate.wire.image_header import ImageHeader, sniff
from imagegate.wire.openai_fields import check_image_count, check_overlays

INPUT_TYPES = ("image/png", "image/jpeg", "image/webp")
HEAD_BYTES = 256 * 1024  # a photo's EXIF and colour profile may stand before its size
TEXT_SAMPLE_BYTES = 512

_TAKEN = "use PNG, JPEG or WebP"
# First bytes of files that people send by mistake, so that the message can name them.
_KNOWN_FILES: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "a PDF"),
    (b"II*\x00", "a TIFF"),
    (b"MM\x00*", "a TIFF"),
    (b"II+\x00", "a TIFF"),
    (b"MM\x00+", "a TIFF"),
    (b"GIF87a", "a GIF"),
    (b"GIF89a", "a GIF"),
    (b"BM", "a BMP"),
    (b"8BPS", "a Photoshop file"),
    (b"\x00\x00\x01\x00", "an ICO"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "gzip data"),
)


def check_inputs(call: ImageCall, *, pixels_max: int, file_bytes_max: int) -> ImageCall:
    """Return `call` with the media type and size in px of each input file filled in.

    Raises `BadRequestError` whose `param` names the input, where a file is no whole PNG, JPEG or
    WebP, has more than `pixels_max` pixels, or does not fit the others; `RequestTooLargeError`
    where it has more than `file_bytes_max` bytes. File ids pass: only their provider can look.
    """
    if call.operation != "generate":
        check_image_count(len(call.images), "image")
    check_overlays(call.mask, call.markup)
    many = len(call.images) > 1
    images = tuple(
        _look(image, f"image[{index}]" if many else "image", pixels_max, file_bytes_max)
        for index, image in enumerate(call.images)
    )
    first = next(iter(images), None)
    mask = call.mask and _overlay(call.mask, "mask", first, pixels_max, file_bytes_max)
    markup = call.markup and _overlay(call.markup, "markup", first, pixels_max, file_bytes_max)
    assert not isinstance(markup, FileId)
    return msgspec.structs.replace(call, images=images, mask=mask, markup=markup)


def _look(part: Blob | FileId, param: str, pixels_max: int, file_bytes_max: int) -> Blob | FileId:
    if isinstance(part, FileId):
        return part
    return _checked(part, param, pixels_max, file_bytes_max)[0]


def _overlay(
    part: Blob | FileId,
    param: Literal["mask", "markup"],
    image: Blob | FileId | None,
    pixels_max: int,
    file_bytes_max: int,
) -> Blob | FileId:
    """Return the checked mask or markup: a PNG with alpha as large as the first image."""
    if isinstance(part, FileId):
        return part
    blob, header = _checked(part, param, pixels_max, file_bytes_max)
    if blob.media_type != "image/png":
        kind = _kind(blob.media_type)
        raise BadRequestError(f"the {param} is a {kind}; it must be a PNG", param=param)
    if not header.has_alpha:
        raise BadRequestError(
            f"the {param} has no alpha channel; save it as a PNG with transparent pixels",
            param=param,
        )
    if isinstance(image, Blob) and not _fits(blob, image):
        raise BadRequestError(
            f"the {param} is {blob.width_px}x{blob.height_px} and the first image is "
            f"{image.width_px}x{image.height_px}; they must be of one size",
            param=param,
        )
    return blob


def _fits(overlay: Blob, image: Blob) -> bool:
    size = (overlay.width_px, overlay.height_px)
    sizes = [(image.width_px, image.height_px)]
    if image.media_type == "image/jpeg":  # its EXIF orientation may turn it; that is not in view
        sizes.append((image.height_px, image.width_px))
    return size in sizes


def _checked(
    blob: Blob, param: str, pixels_max: int, file_bytes_max: int
) -> tuple[Blob, ImageHeader]:
    """Return the blob with what its header says, and the header."""
    _check_bytes(blob, param, file_bytes_max)
    head, tail = _ends(blob, param)
    header = sniff(head, tail, size_bytes=raw_bytes(blob))
    if header is None or header.media_type not in INPUT_TYPES:
        raise BadRequestError(
            f"{param} is {_name_file(head)}; {_TAKEN}",
            param=param,
            code="unsupported_file_mimetype",
        )
    if header.complete is False or not header.width_px or not header.height_px:
        raise BadRequestError(
            f"{param} is a {_kind(header.media_type)} that is cut off; send the whole file",
            param=param,
            code="invalid_image_file",
        )
    pixels = header.width_px * header.height_px
    if pixels > pixels_max:
        raise BadRequestError(
            f"{param} has {header.width_px}x{header.height_px} px, {pixels} in all; "
            f"at most {pixels_max} are taken: scale it down",
            param=param,
            code="image_too_large",
        )
    looked_at = msgspec.structs.replace(
        blob,
        media_type=header.media_type,
        width_px=header.width_px,
        height_px=header.height_px,
    )
    return looked_at, header


def _kind(media_type: str) -> str:
    return media_type.removeprefix("image/").upper()


def _check_bytes(blob: Blob, param: str, file_bytes_max: int) -> None:
    if not blob.length:
        raise BadRequestError(f"{param} is an empty file", param=param, code="invalid_image_file")
    size = raw_bytes(blob)
    if size > file_bytes_max:
        raise RequestTooLargeError(
            f"{param} has {size} bytes; a file may have at most {file_bytes_max}", param=param
        )


def _ends(blob: Blob, param: str) -> tuple[bytes, bytes]:
    """Return the first and the last bytes of a blob, decoded."""
    try:
        if blob.encoding == "base64":
            for _ in read_chunks(blob):  # decodes every byte, keeps none
                pass
        return head_and_tail(blob, HEAD_BYTES)
    except ValueError as error:
        raise BadRequestError(
            f"{param} is not valid base64 ({error})", param=param, code="invalid_image_file"
        ) from error


def _name_file(head: bytes) -> str:
    """Return what a file that is none of ours seems to be, with its article."""
    for magic, name in _KNOWN_FILES:
        if head.startswith(magic):
            return name
    if head[4:8] == b"ftyp":
        return "a HEIC, AVIF or video file"
    sample = head[:TEXT_SAMPLE_BYTES]
    return _name_text(sample) if _is_text(sample) else "no image that we know"


def _name_text(sample: bytes) -> str:
    start = sample.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<svg" in start:
        return "an SVG"
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    return "text, not an image"


def _is_text(sample: bytes) -> bool:
    if any(byte < 32 and byte not in b"\t\n\r\f" for byte in sample):
        return False
    return _decodes(sample) or _decodes(sample[:-3])  # the sample may end inside a character


def _decodes(sample: bytes) -> bool:
    try:
        sample.decode()
    except UnicodeDecodeError:
        return False
    return True
