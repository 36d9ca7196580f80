"""Masks and formats, converted in the worker process as at run time."""

import asyncio
import base64
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image

from imagegate.assets.transform import (
    EncodeRequest,
    InputImageError,
    MaskRequest,
    Stored,
    Worker,
)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    asyncio.run(worker.aclose())


def half_clear(mode: str = "RGBA") -> Image.Image:
    """Return 4x4 px whose left half is clear."""
    alpha = Image.new("L", (4, 4), 255)
    alpha.paste(0, (0, 0, 2, 4))
    picture = Image.new("RGB", (4, 4), (200, 30, 30))
    picture.putalpha(alpha)
    return picture.convert(mode)


def file_of(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    target = BytesIO()
    picture.save(target, kind, **options)
    return target.getvalue()


def grey(
    worker: Worker, file: Stored, edit: Literal["white", "black"], *, is_derived: bool = False
) -> Image.Image:
    data = asyncio.run(worker.convert(MaskRequest(file, edit, is_derived=is_derived)))
    return Image.open(BytesIO(data))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_the_clear_half_becomes_the_grey_that_is_edited(worker: Worker, mode: str) -> None:
    file = Stored(data=file_of(half_clear(mode)))
    white, black = grey(worker, file, "white"), grey(worker, file, "black")
    assert white.format == black.format == "PNG"
    assert white.mode == black.mode == "L"
    assert list(white.tobytes()) == [255, 255, 0, 0] * 4
    assert list(black.tobytes()) == [0, 0, 255, 255] * 4


def test_half_clear_pixels_go_to_the_nearer_side(worker: Worker) -> None:
    picture = Image.new("RGBA", (4, 1))
    for place, alpha in enumerate((1, 127, 128, 254)):
        picture.putpixel((place, 0), (0, 0, 0, alpha))
    made = grey(worker, Stored(data=file_of(picture)), "white")
    assert list(made.tobytes()) == [255, 255, 0, 0]


def test_a_file_is_read_where_it_lies(worker: Worker, tmp_path: Path) -> None:
    text = base64.b64encode(file_of(half_clear())).replace(b"/", b"\\/")
    path = tmp_path / "spool"
    path.write_bytes(b"before" + text + b"after")
    stored = Stored(str(path), 6, len(text), is_base64=True, is_escaped=True)
    assert list(grey(worker, stored, "white").tobytes()) == [255, 255, 0, 0] * 4


def test_an_image_without_a_clear_part_gives_no_mask(worker: Worker) -> None:
    opaque = Stored(data=file_of(Image.new("RGBA", (4, 4), (1, 2, 3, 255))))
    request = MaskRequest(opaque, "white", is_derived=True)
    assert asyncio.run(worker.convert(request)) == b""
    assert list(grey(worker, opaque, "white").tobytes()) == [0] * 16
    clear = Stored(data=file_of(half_clear()))
    assert list(grey(worker, clear, "black", is_derived=True).tobytes()) == [0, 0, 255, 255] * 4


def test_a_broken_file_is_named_as_such(worker: Worker) -> None:
    for data in (b"", b"not an image", file_of(half_clear())[:40]):
        with pytest.raises(InputImageError):
            asyncio.run(worker.convert(MaskRequest(Stored(data=data), "white")))


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_an_image_is_written_in_another_format(worker: Worker, kind: str) -> None:
    source = file_of(Image.effect_noise((64, 48), 50).convert("RGB"), "WEBP", lossless=True)
    data = asyncio.run(worker.convert(EncodeRequest(Stored(data=source), kind, 90)))
    made = Image.open(BytesIO(data))
    assert (made.format, made.size) == (kind.upper(), (64, 48))


def test_a_jpeg_lies_on_white(worker: Worker) -> None:
    request = EncodeRequest(Stored(data=file_of(half_clear())), "jpeg", 100)
    made = Image.open(BytesIO(asyncio.run(worker.convert(request))))
    assert made.mode == "RGB"
    assert min(made.getpixel((0, 0))) > 240  # type: ignore[arg-type]


def test_a_stronger_compression_makes_a_smaller_file(worker: Worker) -> None:
    source = Stored(data=file_of(Image.effect_noise((256, 256), 80).convert("RGB")))
    sizes = [
        len(asyncio.run(worker.convert(EncodeRequest(source, "webp", compression))))
        for compression in (10, 90)
    ]
    assert sizes[0] < sizes[1]
