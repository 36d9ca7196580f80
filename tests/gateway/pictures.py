"""Small input files, good and bad."""

import io
import struct
import zlib
from functools import cache

from PIL import Image

SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>'
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n"
TEXT = b"this is not an image, it is a letter\n"


@cache
def picture(media: str = "PNG", size: tuple[int, int] = (64, 64), mode: str = "RGB") -> bytes:
    """Return a real picture."""
    file = io.BytesIO()
    Image.effect_noise(size, 50).convert(mode).save(file, media)
    return file.getvalue()


@cache
def bomb(side_px: int = 20_000) -> bytes:
    """Return a PNG of a few hundred bytes that says that it is `side_px` wide and high."""
    header = struct.pack(">IIBBBBB", side_px, side_px, 1, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
