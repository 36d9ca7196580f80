"""Builds `multipart/form-data` bodies; the files in them are streamed, not read."""

from collections.abc import Sequence

from msgspec import Struct

from imagegate.types import Blob, Body

_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


class FormFile(Struct, frozen=True):
    """One file part: the field's name, the file's name, its media type and its bytes."""

    name: str
    filename: str
    media_type: str
    part: Blob


def build_form(
    fields: Sequence[tuple[str, str]], files: Sequence[FormFile], boundary: str
) -> tuple[Body, str]:
    """Return the body, fields before files, and its Content-Type.

    Names are escaped as browsers do it. `boundary` must be one that no part holds.
    """
    delimiter = f"--{boundary}\r\n"
    text = "".join(f"{delimiter}{_disposition(name)}\r\n\r\n{value}\r\n" for name, value in fields)
    parts: list[bytes | Blob] = []
    for file in files:
        filename = file.filename.translate(_ESCAPES)
        head = f'{_disposition(file.name)}; filename="{filename}"\r\n'
        parts += [f"{text}{delimiter}{head}Content-Type: {file.media_type}\r\n\r\n".encode()]
        parts += [file.part]
        text = "\r\n"
    return (
        *parts,
        f"{text}--{boundary}--\r\n".encode(),
    ), f"multipart/form-data; boundary={boundary}"


def _disposition(name: str) -> str:
    return f'Content-Disposition: form-data; name="{name.translate(_ESCAPES)}"'
