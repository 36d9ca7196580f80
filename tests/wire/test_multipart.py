"""Forms that we build are read by a form parser as they were meant."""

import io

import multipart

from imagegate.types import Blob, Body
from imagegate.wire.multipart import FormFile, build_form


def joined(body: Body) -> bytes:
    return b"".join(
        part if isinstance(part, bytes) else part.source  # type: ignore[misc, union-attr]
        for part in body
    )


def test_fields_and_files() -> None:
    blob = Blob(b"\r\n--B\r\nbytes", 0, 13)
    body, content_type = build_form(
        [("prompt", "ein \u00e4 \u2603"), ("n", "2")],
        [FormFile("image[]", "a.png", "image/png", blob), FormFile("mask", "m", "image/png", blob)],
        "boundary0",
    )
    assert [part for part in body if isinstance(part, Blob)] == [blob, blob]
    parser = multipart.MultipartParser(
        io.BytesIO(joined(body)), multipart.parse_options_header(content_type)[1]["boundary"]
    )
    parts = [(part.name, part.filename, part.content_type, part.raw) for part in parser]
    assert (parts[0][0], parts[0][3]) == ("prompt", "ein \u00e4 \u2603".encode())
    assert parts[1][3] == b"2"
    assert parts[2] == ("image[]", "a.png", "image/png", b"\r\n--B\r\nbytes")
    assert parts[3][:2] == ("mask", "m")


def test_nobody_breaks_out_of_a_name() -> None:
    body, _ = build_form([('a"\r\nX: y', "1")], [], "b")
    assert joined(body).startswith(
        b'--b\r\nContent-Disposition: form-data; name="a%22%0D%0AX: y"\r\n\r\n1\r\n--b--\r\n'
    )


def test_form_without_files_ends() -> None:
    assert build_form([("a", "1")], [], "b")[0][-1].endswith(b"\r\n--b--\r\n")  # type: ignore[union-attr]
