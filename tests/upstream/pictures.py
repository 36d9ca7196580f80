"""Real pictures, made with Pillow once and then kept: same question, same bytes."""

import io
import random
import zlib
from functools import lru_cache
from typing import Literal, TypeAlias

from PIL import Image

PictureKind: TypeAlias = Literal["tiny", "medium", "large"]

# Base64 is a third longer than the bytes: the sizes are those of the answer (1.5 and 6 MB).
NOISE_BYTES = {"tiny": 0, "medium": 1_125_000, "large": 4_500_000}
DEFAULT_SIZE = {"tiny": (1024, 1024), "medium": (1024, 1024), "large": (1536, 1024)}


@lru_cache(maxsize=64)
def picture(
    prompt: str,
    index: int = 0,
    *,
    kind: str = "tiny",
    size: tuple[int, int] | None = None,
    media: str = "png",
    transparent: bool = False,
) -> bytes:
    """Return the file that answers `prompt` as image number `index`; another prompt, another file.

    `kind` says how long it is: `tiny` is a flat colour (about 0.3 KB as PNG), the others hold noise
    that no compression shortens, at most as much as `size` (width, height in px) has room for.
    """
    seed = zlib.crc32(f"{prompt}#{index}".encode())
    drawn = _draw(seed, size or DEFAULT_SIZE[kind], NOISE_BYTES[kind], transparent)
    if media == "jpeg":
        drawn = drawn.convert("RGB")
    file = io.BytesIO()
    drawn.save(file, format=media.upper(), compress_level=1)
    return file.getvalue()


def _draw(seed: int, size: tuple[int, int], noise_bytes: int, transparent: bool) -> Image.Image:
    colour = (seed & 255, seed >> 8 & 255, seed >> 16 & 255)
    if transparent:
        return Image.new("RGBA", size, (*colour, 0))
    if not noise_bytes:
        # One bit a pixel: a flat picture of any size stays a few hundred bytes.
        flat = Image.new("P", size, 0)
        flat.putpalette(colour)
        return flat
    width, height = size
    rows = min(height, max(1, noise_bytes // (width * 3)))
    noise = random.Random(seed).randbytes(width * rows * 3)
    drawn = Image.new("RGB", size, colour)
    drawn.paste(Image.frombytes("RGB", (width, rows), noise))
    return drawn
