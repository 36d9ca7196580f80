"""Inputs of an edit: each form arrives as the same bytes; what is no image is refused."""

import base64
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagegate import BadRequestError, Client
from tests.upstream import FakeUpstream


def png(width: int = 16, height: int = 16, *, alpha: bool = False) -> bytes:
    """Return a whole PNG of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    channels = 4 if alpha else 3
    rows = (b"\x00" + bytes(width * channels)) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 6 if alpha else 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


PICTURE = png()
Form = Callable[[Path], Any]
FORMS: dict[str, Form] = {
    "path": lambda path: path,
    "text path": str,
    "bytes": lambda path: path.read_bytes(),
    "bytearray": lambda path: bytearray(path.read_bytes()),
    "file object": lambda path: io.BytesIO(path.read_bytes()),
    "tuple": lambda path: ("a.png", path.read_bytes(), "image/png"),
    "tuple of a file": lambda path: ("a.png", io.BytesIO(path.read_bytes())),
    "data url": lambda path: "data:image/png;base64," + base64.b64encode(PICTURE).decode(),
    "reference": lambda path: {
        "image_url": "data:image/png;base64," + base64.b64encode(PICTURE).decode()
    },
    "list": lambda path: [path],
}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(PICTURE)
    return path


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_each_form_arrives_as_the_same_bytes(
    upstream: FakeUpstream, client: Client, picture: Path, form: Form
) -> None:
    client.image_edit(form(picture), "make it blue")
    assert PICTURE in upstream.calls[-1].body


def test_a_result_is_an_input(upstream: FakeUpstream, client: Client) -> None:
    with Client(model="sandbox/gpt-image-2") as sandbox:
        drawn = sandbox.image_generation("a", quality="low")
    client.image_edit(drawn.images[0], "blue")
    client.image_edit(drawn.images, "blue")
    assert all(drawn.images[0].bytes in call.body for call in upstream.calls)
    assert len(upstream.calls) == 2


def test_base64_as_a_string_is_named_and_not_shown(client: Client) -> None:
    text = base64.b64encode(PICTURE).decode()
    with pytest.raises(BadRequestError, match="base64 goes into a data URL") as caught:
        client.image_edit(text, "blue")
    assert text[:40] not in caught.value.message


def test_several_images_and_a_mask(upstream: FakeUpstream, client: Client) -> None:
    response = client.image_edit([PICTURE, PICTURE], "a", mask=png(alpha=True))
    assert response.data[0].bytes
    assert upstream.calls[-1].body.count(PICTURE) == 2


BAD = {
    "text": (b"hello, world", "text"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "svg"),
    "pdf": (b"%PDF-1.7\n", "PDF"),
    "tiff": (b"II*\x00" + bytes(64), "TIFF"),
    "truncated": (PICTURE[:-20], "is a PNG that is cut off"),
    "empty": (b"", "empty"),
    "bomb": (PICTURE[:16] + struct.pack(">II", 40_000, 40_000) + PICTURE[24:], "px"),
    "broken data url": ("data:image/png;base64,!!!", "base64"),
    "missing file": ("no-such-file.png", "no file"),
    "text file": (io.StringIO("x"), "rb"),
    "number": (7, "int"),
    "http url": ("http://example.com/a.png", "https"),
    "loopback url": ("https://127.0.0.1/a.png", "public"),
}


@pytest.mark.parametrize(("value", "word"), BAD.values(), ids=BAD)
def test_what_is_no_image_is_refused_by_name(
    upstream: FakeUpstream, client: Client, value: Any, word: str
) -> None:
    with pytest.raises(BadRequestError, match=f"(?i){word}") as raised:
        client.image_edit(value, "make it blue")
    assert raised.value.param == "image"
    assert upstream.calls == []


MASKS = {
    "without alpha": (png(), "alpha"),
    "of another size": (png(32, 32, alpha=True), "size"),
    "not a PNG": (b"\xff\xd8\xff\xe0", "cut off"),
}


@pytest.mark.parametrize(("mask", "word"), MASKS.values(), ids=MASKS)
def test_a_mask_that_does_not_fit_is_refused(
    upstream: FakeUpstream, client: Client, mask: bytes, word: str
) -> None:
    with pytest.raises(BadRequestError, match=word) as raised:
        client.image_edit(PICTURE, "make it blue", mask=mask)
    assert raised.value.param == "mask"
    assert upstream.calls == []


def test_seventeen_images_are_too_many(upstream: FakeUpstream, client: Client) -> None:
    with pytest.raises(BadRequestError, match="16"):
        client.image_edit([PICTURE] * 17, "make it blue")
    assert upstream.calls == []


def test_an_edit_needs_an_image(client: Client) -> None:
    with pytest.raises(BadRequestError) as raised:
        client.image_edit([], "make it blue")
    assert raised.value.param == "image"
