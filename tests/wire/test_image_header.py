"""Types, sizes and ends of images, compared with what Pillow wrote."""

import io

import pytest
from PIL import Image

from imagegate.wire.image_header import HEAD_BYTES, ImageHeader, sniff


def draw(kind: str, mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, (37, 23), 1 if mode == "P" else None).save(out, kind, **options)
    return out.getvalue()


def look(data: bytes) -> ImageHeader | None:
    return sniff(data[:HEAD_BYTES], data[-64:], size_bytes=len(data))


IMAGES = {
    "png": (draw("PNG"), "image/png", False),
    "png alpha": (draw("PNG", "RGBA"), "image/png", True),
    "png grey alpha": (draw("PNG", "LA"), "image/png", True),
    "png palette": (draw("PNG", "P"), "image/png", False),
    "png palette alpha": (draw("PNG", "P", transparency=0), "image/png", True),
    "jpeg": (draw("JPEG"), "image/jpeg", False),
    "jpeg progressive": (draw("JPEG", progressive=True), "image/jpeg", False),
    "jpeg exif": (draw("JPEG", exif=b"Exif\0\0" + b"x" * 3000), "image/jpeg", False),
    "webp": (draw("WEBP"), "image/webp", False),
    "webp lossless": (draw("WEBP", lossless=True), "image/webp", False),
    "webp lossless alpha": (draw("WEBP", "RGBA", lossless=True), "image/webp", True),
    "webp alpha": (draw("WEBP", "RGBA"), "image/webp", True),
    "webp exif": (draw("WEBP", exif=b"Exif\0\0" + b"x" * 30), "image/webp", False),
    "gif": (draw("GIF", "P"), "image/gif", False),
    "gif alpha": (draw("GIF", "P", transparency=1), "image/gif", True),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images(name: str) -> None:
    data, media_type, has_alpha = IMAGES[name]
    assert look(data) == ImageHeader(media_type, 37, 23, has_alpha, complete=True)


@pytest.mark.parametrize("name", IMAGES)
def test_cut_off(name: str) -> None:
    data, media_type, _ = IMAGES[name]
    header = look(data[:-9])
    assert header is not None
    assert (header.media_type, header.complete) == (media_type, False)


@pytest.mark.parametrize("name", IMAGES)
def test_any_start_of_a_file_is_looked_at_without_harm(name: str) -> None:
    data, media_type, _ = IMAGES[name]
    for length in range(min(len(data), 200)):
        header = sniff(data[:length], data[:length][-64:], size_bytes=length)
        assert header is None or header.media_type == media_type


def test_nothing_is_said_about_an_end_that_was_not_seen() -> None:
    header = sniff(IMAGES["png"][0])
    assert header is not None
    assert header.complete is None


def test_zero_bytes_after_a_jpeg() -> None:
    header = look(IMAGES["jpeg"][0] + b"\0\0")
    assert header is not None
    assert header.complete is True


@pytest.mark.parametrize(
    ("svg", "size"),
    [
        (b'<svg width="30" height="20px"></svg>', (30, 20)),
        (
            b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- <x> -->\n<svg viewBox="0 0 30 20"></svg>',
            (30, 20),
        ),
        (b'<!DOCTYPE svg>\n<svg width="100%" viewBox="0,0,30.5,20">\n</svg>\n', (30, 20)),
        (b"<svg></svg>", (0, 0)),
    ],
)
def test_svg(svg: bytes, size: tuple[int, int]) -> None:
    assert look(svg) == ImageHeader("image/svg+xml", *size, has_alpha=True, complete=True)


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"%PDF-1.7", "application/pdf"),
        (draw("TIFF"), "image/tiff"),
        (draw("BMP"), "image/bmp"),
        (b"\0\0\0 ftypavif\0\0\0\0", "image/avif"),
        (b"\0\0\0 ftypheic\0\0\0\0", "image/heic"),
    ],
)
def test_named_formats(head: bytes, media_type: str) -> None:
    header = look(head)
    assert header is not None
    assert header.media_type == media_type


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"BMW is a car, not a bitmap",
        b"<html><svg></svg>",
        b" " * 5000,
        b"<!---->" * 500,
    ],
)
def test_what_is_no_image(data: bytes) -> None:
    assert look(data) is None
