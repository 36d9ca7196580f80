"""What an image is, told from a few bytes: type, size in px, transparency, whether it is whole.

Nothing is decoded. Formats that image APIs do not take are named too, so that an error can say
what a file is.
"""

import re
import struct

from msgspec import Struct

HEAD_BYTES = 64 * 1024
TAIL_BYTES = 64

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_PADDING = b"\0\r\n "
_NAMED = {
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
    b"%PDF-": "application/pdf",
}
_FTYP = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"hevc": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
}
_SVG_START = re.compile(
    rb"(?>\s|<\?xml[^>]*>|<!DOCTYPE[^>]*>|<!--(?>.*?-->))*+<svg\b([^>]*)", re.DOTALL
)
_SVG_LENGTH = rb"""\b%s\s*=\s*["']\s*(\d{1,6})(?:\.\d+)?(?:px)?\s*["']"""
_SVG_VIEW_BOX = re.compile(
    rb"""\bviewBox\s*=\s*["'][\d.+-]+[\s,]+[\d.+-]+[\s,]+(\d{1,6})[\d.]*[\s,]+(\d{1,6})"""
)
_JPEG_NO_FRAME = {
    0xC4,
    0xC8,
    0xCC,
}  # Huffman tables, reserved, arithmetic coding: C0..CF but no frame
_JPEG_SEGMENTS_MAX = 1000


class ImageHeader(Struct, frozen=True):
    """What the bytes say. Sizes are 0 where the format or the given bytes do not tell.

    `complete` is None where nothing can be said about the end.
    """

    media_type: str
    width_px: int = 0
    height_px: int = 0
    has_alpha: bool = False
    complete: bool | None = None


def sniff(head: bytes, tail: bytes = b"", *, size_bytes: int = 0) -> ImageHeader | None:
    """Return what the file is, or None where it is none of the known types.

    `head` holds its first bytes (64 KiB are enough), `tail` its last (64), `size_bytes` is its
    whole size; without the last two, nothing is said about the end.
    """
    if head.startswith(_PNG):
        return _read_png(head, tail)
    if head.startswith(b"\xff\xd8\xff"):
        return _read_jpeg(head, tail)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _read_webp(head, size_bytes)
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return _read_gif(head, tail)
    return _read_svg(head, tail) or _read_named(head)


def _read_png(head: bytes, tail: bytes) -> ImageHeader:
    if len(head) < 33 or head[12:16] != b"IHDR":
        return ImageHeader("image/png", complete=False)
    width, height, _, colour = struct.unpack_from(">IIBB", head, 16)
    pixels = head.find(b"IDAT", 33)
    has_alpha = colour in (4, 6) or head.find(b"tRNS", 33, pixels % (len(head) + 1)) >= 0
    return ImageHeader("image/png", width, height, has_alpha, _ends(tail, _PNG_END in tail))


def _read_jpeg(head: bytes, tail: bytes) -> ImageHeader:
    width, height = _jpeg_size(head)
    is_whole = tail.rstrip(_PADDING).endswith(b"\xff\xd9")
    return ImageHeader("image/jpeg", width, height, complete=_ends(tail, is_whole))


def _jpeg_size(head: bytes) -> tuple[int, int]:
    """Return width and height of the frame; zeros where its segment is not in `head`."""
    at = 2
    for _ in range(_JPEG_SEGMENTS_MAX):
        while head[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        if at + 9 > len(head) or head[at] != 0xFF:
            break
        marker, length = struct.unpack_from(">BH", head, at + 1)
        if 0xC0 <= marker <= 0xCF and marker not in _JPEG_NO_FRAME:
            height, width = struct.unpack_from(">HH", head, at + 5)
            return width, height
        at += 2 + length
    return 0, 0


def _read_webp(head: bytes, size_bytes: int) -> ImageHeader:
    (length,) = struct.unpack_from("<I", head, 4)
    is_whole = size_bytes >= length + 8 if size_bytes else None
    width, height, has_alpha = _webp_frame(head) if len(head) >= 30 else (0, 0, False)
    return ImageHeader("image/webp", width, height, has_alpha, is_whole)


def _webp_frame(head: bytes) -> tuple[int, int, bool]:
    kind = head[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(head[i : i + 3], "little") + 1 for i in (24, 27))
        return width, height, bool(head[20] & 0x10)
    if kind == b"VP8L" and head[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", head, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF, False
    return 0, 0, False


def _read_gif(head: bytes, tail: bytes) -> ImageHeader:
    if len(head) < 10:
        return ImageHeader("image/gif", complete=False)
    width, height = struct.unpack_from("<HH", head, 6)
    control = head.find(b"\x21\xf9\x04")
    has_alpha = control >= 0 and bool(
        head[control + 3 : control + 4] > b"" and head[control + 3] & 1
    )
    is_whole = tail.rstrip(_PADDING).endswith(b";")
    return ImageHeader("image/gif", width, height, has_alpha, _ends(tail, is_whole))


def _read_svg(head: bytes, tail: bytes) -> ImageHeader | None:
    tag = _SVG_START.match(head.removeprefix(b"\xef\xbb\xbf")[:4096])
    if not tag:
        return None
    width, height = _svg_size(tag.group(1))
    is_whole = tail.rstrip(_PADDING).endswith(b"</svg>")
    return ImageHeader("image/svg+xml", width, height, True, _ends(tail, is_whole))


def _svg_size(attributes: bytes) -> tuple[int, int]:
    found = [re.search(_SVG_LENGTH % name, attributes) for name in (b"width", b"height")]
    if all(found):
        width, height = (int(length.group(1)) for length in found if length)
        return width, height
    box = _SVG_VIEW_BOX.search(attributes)
    return (int(box.group(1)), int(box.group(2))) if box else (0, 0)


def _read_named(head: bytes) -> ImageHeader | None:
    """Name a format that no image API takes."""
    if head[4:8] == b"ftyp" and head[8:12] in _FTYP:
        return ImageHeader(_FTYP[head[8:12]])
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return ImageHeader("image/bmp")
    for start, media_type in _NAMED.items():
        if head.startswith(start):
            return ImageHeader(media_type)
    return None


def _ends(tail: bytes, is_whole: bool) -> bool | None:
    return is_whole if tail else None
