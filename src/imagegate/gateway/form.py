"""Reads a multipart form: text fields into memory, files into one spool file, one after another."""

from msgspec import Struct
from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from imagegate.assets.spool import CallSpool, SpoolFile
from imagegate.errors import BadRequestError, RequestTooLargeError
from imagegate.gateway.body import BodyReader
from imagegate.types import Blob

FIELDS_MAX = 64
FILES_MAX = 18  # 16 images, one more so that the count can be named, a mask or a markup
FIELD_BYTES_MAX = 64 * 1024
PROMPT_BYTES_MAX = 128 * 1024
BOUNDARY_CHARS_MAX = 200
FILE_NAMES = ("image", "images", "mask", "markup")


class Form(Struct, frozen=True):
    """A form's parts in the order in which they came, by name."""

    fields: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, Blob], ...]


async def read_form(
    body: BodyReader, content_type: bytes, spool: CallSpool, *, file_bytes_max: int
) -> Form:
    """Return the whole form; its files stand in the spool.

    Raises `BadRequestError` where it is no form, `RequestTooLargeError` for too large a part.
    """
    parser = PushMultipartParser(
        _boundary(content_type), max_segment_count=FIELDS_MAX + FILES_MAX + 1
    )
    parts = _Parts(spool, file_bytes_max)
    try:
        while chunk := await body.next_chunk():
            for event in parser.parse(chunk):
                parts.take(event)
        parser.close()
    except ParserLimitReached as error:
        raise RequestTooLargeError(f"The form is too large: {error}.") from error
    except MultipartError as error:
        raise _broken(f"The form cannot be read: {error}.") from error
    return parts.form()


def _boundary(content_type: bytes) -> str:
    _, options = parse_options_header(content_type.decode("latin-1"))
    boundary: str = options.get("boundary", "")
    if not 0 < len(boundary) <= BOUNDARY_CHARS_MAX:
        raise _broken(
            "The content type multipart/form-data needs a boundary of 1 to "
            f"{BOUNDARY_CHARS_MAX} characters; let your HTTP client set it."
        )
    return boundary


class _Parts:
    """Collects the parts of one form from the parser's events."""

    def __init__(self, spool: CallSpool, file_bytes_max: int) -> None:
        self._spool = spool
        self._file_bytes_max = file_bytes_max
        self._fields: list[tuple[str, str]] = []
        self._files: list[tuple[str, Blob]] = []
        self._file: SpoolFile | None = None  # of all files; each is a range of it
        self._name = ""
        self._text: list[bytes] | None = None
        self._start = 0
        self._size_bytes = 0

    def take(self, event: MultipartSegment | bytes | None) -> None:
        """Take the head of a part, a piece of it, or its end (None)."""
        if event is None:
            self._end()
        elif isinstance(event, bytes):
            self._add(event)
        else:
            self._begin(event)

    def form(self) -> Form:
        """Return what was collected."""
        return Form(tuple(self._fields), tuple(self._files))

    def _begin(self, segment: MultipartSegment) -> None:
        self._name = segment.name
        self._size_bytes = 0
        if not _is_file(segment):
            self._text = []
            return
        self._text = None
        self._file = self._file or self._spool.new_file()
        self._start = self._file.size

    def _add(self, data: bytes) -> None:
        self._size_bytes += len(data)
        if self._text is not None:
            _check_field(self._name, self._size_bytes)
            self._text.append(data)
            return
        _check_file(self._name, self._size_bytes, self._file_bytes_max)
        assert self._file is not None
        self._file.write(data)

    def _end(self) -> None:
        if self._text is not None:
            self._fields.append((self._name, _decode(self._name, b"".join(self._text))))
        else:
            self._files.append((self._name, Blob(self._file, self._start, self._size_bytes)))
        _check_counts(len(self._fields), len(self._files))


def _is_file(segment: MultipartSegment) -> bool:
    # Some clients leave the file name out: what a part is called says it as well.
    return segment.filename is not None or segment.name.partition("[")[0] in FILE_NAMES


def _check_field(name: str, size_bytes: int) -> None:
    bytes_max = PROMPT_BYTES_MAX if name == "prompt" else FIELD_BYTES_MAX
    if size_bytes > bytes_max:
        raise BadRequestError(
            f"The field {name!r} has more than {bytes_max} bytes.",
            param=name,
            code="string_above_max_length",
        )


def _check_file(name: str, size_bytes: int, bytes_max: int) -> None:
    if size_bytes > bytes_max:
        raise RequestTooLargeError(
            f"The file {name!r} has more than {bytes_max} bytes, which is the limit for one file.",
            param=name,
        )


def _check_counts(fields_count: int, files_count: int) -> None:
    if fields_count > FIELDS_MAX:
        raise _broken(f"The form has more than {FIELDS_MAX} text fields.")
    if files_count > FILES_MAX:
        raise BadRequestError(
            "The form has too many files; at most 16 images and a mask or a markup are taken.",
            param="image",
            code="array_above_max_length",
        )


def _decode(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadRequestError(f"The field {name!r} is not UTF-8 text.", param=name) from error


def _broken(message: str) -> BadRequestError:
    return BadRequestError(message, code="invalid_form")
