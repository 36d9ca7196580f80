"""Reads what callers pass as an image: path, bytes, file object, tuple, data URL or https URL.

`read_input` runs in the caller's thread and touches nothing but what it was given; `place_input`
runs on the private loop, where files are copied into the spool and URLs are fetched.
"""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TypeAlias
from urllib.parse import unquote_to_bytes

import pybase64
from msgspec import Struct

from imagegate.assets.spool import CallSpool
from imagegate.client.results import ImageData
from imagegate.errors import BadRequestError
from imagegate.types import Blob, FileId

InputContent: TypeAlias = bytes | str | os.PathLike[str] | IO[bytes]
InputFile: TypeAlias = (
    InputContent
    | tuple[str | None, InputContent]
    | tuple[str | None, InputContent, str | None]
    | Mapping[str, str]
    | ImageData
)
"""An image to send: a path, an https or data URL, bytes, an open binary file, `(name, content,
type)` as for HTTP clients, `{"file_id": "file-..."}` of a provider that already holds it, or an
image of an earlier result."""

FILE_CHUNK_BYTES = 256 * 1024
PATH_CHARS_MAX = 80
_TAKEN = "give a path, bytes, an open binary file, a (name, bytes, type) tuple or a URL"


class FileSource(Struct, frozen=True):
    """A file to be copied into the spool."""

    path: Path
    param: str


class UrlSource(Struct, frozen=True):
    """A URL to be fetched through the guarded downloader."""

    url: str
    param: str


Source: TypeAlias = Blob | FileId | FileSource | UrlSource
Fetch: TypeAlias = Callable[[UrlSource, CallSpool], Awaitable[Blob]]


def read_inputs(value: InputFile | Sequence[InputFile] | None, param: str) -> tuple[Source, ...]:
    """Return the sources of one input or of a list of them. Raises `BadRequestError`."""
    if value is None:
        return ()
    if isinstance(value, list):
        return tuple(read_input(each, f"{param}[{i}]") for i, each in enumerate(value))
    return (read_input(value, param),)


def read_input(value: object, param: str) -> Source:
    """Return where the bytes of one input come from; file objects are read here, to their end.

    Raises `BadRequestError` whose `param` names the input, where it is nothing to read from.
    """
    if isinstance(value, tuple):
        return read_input(_content_of(value, param), param)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _blob_of(bytes(value))
    if isinstance(value, str):
        return _read_text(value, param)
    if isinstance(value, ImageData):
        return _blob_of(value.bytes)
    if isinstance(value, os.PathLike):
        return _find_file(Path(value), param)
    if isinstance(value, Mapping):
        return _read_reference(value, param)
    read = getattr(value, "read", None)
    if callable(read):
        return _read_file_object(read(), param)
    raise BadRequestError(f"{param} is a {type(value).__name__}; {_TAKEN}", param=param)


async def place_input(
    source: Source, spool: CallSpool, fetch: Fetch, file_bytes_max: int
) -> Blob | FileId:
    """Return the input as a blob of `spool`. Raises `BadRequestError` where it cannot be read."""
    if isinstance(source, FileSource):
        return _copy_file(source, spool, file_bytes_max)
    if isinstance(source, UrlSource):
        return await fetch(source, spool)
    return source


def _blob_of(data: bytes) -> Blob:
    return Blob(source=data, offset=0, length=len(data))


def _content_of(value: tuple[object, ...], param: str) -> object:
    if len(value) not in (2, 3):
        raise BadRequestError(
            f"{param} is a tuple of {len(value)}; it must be (name, content) or "
            "(name, content, type). Use a list for several images",
            param=param,
        )
    return value[1]


def _read_text(value: str, param: str) -> Source:
    if value.startswith("data:"):
        return _read_data_url(value, param)
    if value.startswith(("https://", "http://")):
        return UrlSource(value, param)
    return _find_file(Path(value), param)


def _read_data_url(value: str, param: str) -> Blob:
    head, comma, body = value.partition(",")
    if not comma:
        raise BadRequestError(f"{param} is a data URL without a comma", param=param)
    try:
        raw = unquote_to_bytes(body)
        data = pybase64.b64decode(raw, validate=True) if head.endswith(";base64") else raw
    except ValueError as error:
        raise BadRequestError(
            f"{param} is a data URL whose base64 is broken ({error})", param=param
        ) from error
    return _blob_of(data)


def _read_reference(value: Mapping[str, object], param: str) -> Source:
    """Return the source of OpenAI's `{"file_id": ...}` or `{"image_url": ...}`."""
    match dict(value):
        case {"file_id": str(file_id), **rest} if not rest:
            return FileId(file_id)
        case {"image_url": str(url), **rest} if not rest:
            return _read_text(url, param)
    raise BadRequestError(
        f"{param} must have exactly one of the keys file_id and image_url", param=param
    )


def _read_file_object(data: object, param: str) -> Blob:
    if isinstance(data, str):
        raise BadRequestError(f"{param} was opened as text; open it with 'rb'", param=param)
    if not isinstance(data, bytes):
        raise BadRequestError(
            f"{param}.read() returned {type(data).__name__}, not bytes; {_TAKEN}", param=param
        )
    return _blob_of(data)


def _find_file(path: Path, param: str) -> FileSource:
    if not _is_file(path):
        raise BadRequestError(f"{param}: {_name_missing(str(path))}", param=param)
    return FileSource(path, param)


def _name_missing(path: str) -> str:
    """Return what is said of a path that is none; a long one may be an image: it is not shown."""
    if len(path) <= PATH_CHARS_MAX:
        return f"there is no file {path!r}"
    return (
        f"a text of {len(path)} characters is no path; base64 goes into a data URL: "
        "data:image/png;base64,..."
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a path, or with a NUL: base64 given as a string
        return False


def _copy_file(source: FileSource, spool: CallSpool, file_bytes_max: int) -> Blob:
    target = spool.new_file()
    try:
        with source.path.open("rb") as file:
            while target.size <= file_bytes_max and (chunk := file.read(FILE_CHUNK_BYTES)):
                target.write(chunk)
    except OSError as error:
        raise BadRequestError(
            f"{source.param}: {source.path} cannot be read ({error.strerror})", param=source.param
        ) from error
    return Blob(source=target, offset=0, length=target.size)
