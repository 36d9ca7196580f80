"""What a conversation's file holds, and which files there must be."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from imagegate.types import Blob, FileId, ImageCall, Json, Operation
from imagegate.wire.provider import Target

FOLDER = Path(__file__).parent

REQUIRED = (
    "success_minimal",
    "success_full",
    "bad_request",
    "bad_credential",
    "no_credit",
    "rate_limit",
    "rate_limit_retry_after",
    "content_policy",
    "unknown_model",
    "server_error_500",
    "server_error_502",
    "server_error_504",
    "broken_body",
    "empty_success",
)
"""Every provider has these for each operation that it declares."""

REQUIRED_OF_STREAMS = ("stream", "stream_cut", "stream_error", "stream_error_flat")
"""And these, where its requests say that the answer may be an event stream."""

REQUIRED_OF_JOBS = ("job_failed", "job_never_ends")
"""And these, where it polls."""


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """One part of a form: text, or a file in base64."""

    name: str
    text: str | None = None
    filename: str | None = None
    media_type: str | None = None
    base64: str = ""

    @property
    def content(self) -> bytes:
        """The bytes of the part."""
        return base64.b64decode(self.base64) if self.text is None else self.text.encode()


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """One request as it must be sent. Its body is `json`, to the byte, or `parts` in order."""

    method: str
    url: str
    headers: dict[str, str]
    json: str | None = None
    parts: tuple[Part, ...] | None = None


class Response(Struct, frozen=True, forbid_unknown_fields=True):
    """One response as it was received; the body is JSON, HTML or an event stream, as text."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def is_event_stream(self) -> bool:
        """Whether the body is a stream of events."""
        kind = self.headers.get("content-type", "")
        return self.status == 200 and kind.startswith("text/event-stream")


class Turn(Struct, frozen=True, forbid_unknown_fields=True):
    """One request and its response, which come so many times in a row."""

    request: Request
    response: Response
    times: int = 1


class Failure(Struct, frozen=True, forbid_unknown_fields=True, rename={"name": "class"}):
    """The error that the conversation must end with."""

    name: str
    code: str
    fault: str
    param: str | None = None
    retry_after_s: float | None = None


class Official(Struct, frozen=True, forbid_unknown_fields=True):
    """Which official client it is held against; `unchecked` says what is not, and why.

    `client` is a name of `official.CHECKS`, or None where the provider has none.
    """

    client: str | None
    unchecked: dict[str, str] = {}


class Case(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole conversation. `case` is what it is a case of; several files may share one.

    Inputs of the call are `{"base64", "media_type"}` or `{"file_id"}`. Either `result` or `error`
    is given; in a result, what would be empty is left out.
    """

    about: str
    case: str
    call: dict[str, Json]
    target: Target
    conversation: tuple[Turn, ...]
    partials: list[Json] = []
    result: dict[str, Json] | None = None
    error: Failure | None = None
    official: Official

    @property
    def turns(self) -> list[Turn]:
        """All turns, repeated ones as often as they come."""
        return [turn for turn in self.conversation for _ in range(turn.times)]

    @property
    def operation(self) -> Operation:
        """The operation of the call."""
        operation: Operation = self.call["operation"]
        return operation

    def build_call(self, **changes: Json) -> ImageCall:
        """Return the call as an adapter gets it."""
        fields = {**self.call, **changes}
        for name in ("mask", "markup"):
            if name in fields:
                fields[name] = _input(fields[name])
        images = tuple(_input(image) for image in fields.pop("images", ()))
        return ImageCall(images=images, **fields)


def _input(given: dict[str, str]) -> Blob | FileId:
    if "file_id" in given:
        return FileId(given["file_id"])
    file = base64.b64decode(given["base64"])
    return Blob(file, 0, len(file), media_type=given["media_type"])


def read_case(path: Path) -> Case:
    """Return the conversation in a file."""
    return msgspec.json.decode(path.read_bytes(), type=Case)


def paths() -> list[Path]:
    """Return all files, sorted."""
    return sorted(FOLDER.glob("*/*.json"))


def cases_of(provider: str) -> Iterator[Case]:
    """Yield the cases of one provider."""
    return (read_case(path) for path in sorted((FOLDER / provider).glob("*.json")))


def boundary_of(call_id: str) -> str:
    """Return the boundary that the form of a call must have."""
    return hashlib.sha256(f"form {call_id}".encode()).hexdigest()[:32]


def build_body(request: Request) -> bytes:
    """Return the exact bytes of a request's body."""
    if request.parts is None:
        return (request.json or "").encode()
    boundary = request.headers["content-type"].partition("boundary=")[2]
    parts = b"".join(b"--%s\r\n%s\r\n" % (boundary.encode(), _part(part)) for part in request.parts)
    return parts + f"--{boundary}--\r\n".encode()


def _part(part: Part) -> bytes:
    head = f'Content-Disposition: form-data; name="{part.name}"'
    if part.filename is not None:
        head += f'; filename="{part.filename}"\r\nContent-Type: {part.media_type}'
    return f"{head}\r\n\r\n".encode() + part.content
