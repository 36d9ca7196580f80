"""Blobs are read in chunks and come out as the bytes or the base64 that went in."""

import base64
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagegate.assets.blobs import (
    CHUNK_BYTES,
    body_bytes,
    body_chunks,
    head_and_tail,
    part_bytes,
    read_bytes,
    read_chunks,
)
from imagegate.assets.spool import SpoolFile
from imagegate.types import Blob, Encoded


def blob_of(data: bytes, encoding: str, *, escaped: bool = False) -> Blob:
    stored = data if encoding == "raw" else base64.b64encode(data)
    if escaped:
        stored = stored.replace(b"/", b"\\/")
    return Blob(b"##" + stored + b"##", 2, len(stored), encoding, escaped)  # type: ignore[arg-type]


PAYLOADS = st.binary(max_size=2000) | st.integers(0, 7).map(
    lambda rest: b"\xff\xfe" * CHUNK_BYTES + b"\xff" * rest
)


@given(PAYLOADS, st.sampled_from([("raw", False), ("base64", False), ("base64", True)]))
@settings(max_examples=150, deadline=None)
def test_a_blob_comes_out_as_it_went_in(data: bytes, kind: tuple[str, bool]) -> None:
    blob = blob_of(data, kind[0], escaped=kind[1])
    text = b"".join(read_chunks(Encoded(blob)))
    assert read_bytes(blob) == data
    assert text == base64.b64encode(data)
    assert part_bytes(blob) == len(data)
    assert part_bytes(Encoded(blob)) == len(text)
    head, tail = head_and_tail(blob, 100, 30)
    assert data.startswith(head)
    assert data.endswith(tail)
    assert len(head) >= min(len(data), 96)


def test_base64_without_its_padding_is_read() -> None:
    assert read_bytes(Blob(b"TWE", 0, 3, "base64")) == b"Ma"


@pytest.mark.parametrize("text", [b"TWFu!TWFu", b"TWFuT", b"=TWF", "TWFué".encode()])
def test_what_is_not_base64_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_bytes(Blob(text, 0, len(text), "base64"))


def test_a_recycled_file_is_never_read_past_its_size(tmp_path: Path) -> None:
    file = SpoolFile(tmp_path / "body")
    file.write(b"the former call's longer bytes")
    file.size = 0
    file.write(b"short")
    assert file.read_at(0, 100) == b"short"
    assert read_bytes(Blob(file, 1, 4)) == b"hort"


def test_a_body_is_its_parts_in_order() -> None:
    body = (b'{"a":"', Encoded(blob_of(b"x" * 300_000, "raw")), b'","b":"', blob_of(b"y", "raw"))
    sent = b"".join(body_chunks(body))
    assert sent == b'{"a":"' + base64.b64encode(b"x" * 300_000) + b'","b":"y'
    assert body_bytes(body) == len(sent)
