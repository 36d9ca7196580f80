"""The good answers: JSON bodies and event streams, before a mode spoils them."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.upstream.ask import Ask, usage_of
from tests.upstream.pictures import DEFAULT_SIZE, picture
from tests.upstream.refusals import Refusal

CREATED = 1_795_160_000
STREAM_WORDS = {"generations": "image_generation", "edits": "image_edit"}


@dataclass
class Answer:
    """What goes out, and how. Offsets count bytes of the body.

    `hold_at`: wait there for a release (-1: before the head). `cut_at`: send no more than that and
    break the connection. `drop`: break it without a word. `images` are the files in the body.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    chunk_bytes: int = 0
    hold_at: int | None = None
    cut_at: int | None = None
    reset: bool = True
    drop: bool = False
    hang: bool = False
    interim: bool = False
    delay_s: float = 0.0
    billed: bool = True
    images: tuple[bytes, ...] = ()
    images_billed: int = 0

    @property
    def hashes(self) -> list[str]:
        """Return the SHA-256 of each image file."""
        return [hashlib.sha256(image).hexdigest() for image in self.images]


@dataclass
class Kitchen:
    """What the modes may use: the request, their options, and where `url` answers point to."""

    ask: Ask
    options: dict[str, str]
    serve: Callable[[bytes, str], str]

    def number(self, name: str, default: float) -> float:
        """Return an option as a number."""
        return float(self.options.get(name, default))

    def picture(self, index: int) -> bytes:
        """Return image file number `index` of this request."""
        return picture(
            self.ask.prompt,
            index,
            kind=self.options.get("picture", "tiny"),
            size=self.ask.size,
            media=self.ask.media,
            transparent=self.ask.transparent,
        )

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height of its pictures in px."""
        return self.ask.size or DEFAULT_SIZE[self.options.get("picture", "tiny")]

    def facts(self) -> dict[str, Any]:
        """Return the fields that describe the pictures, as the GPT models answer them."""
        return {
            "background": "transparent" if self.ask.transparent else "opaque",
            "output_format": self.ask.media,
            "quality": self.ask.quality,
            "size": "{}x{}".format(*self.size),
        }


def refused(refusal: Refusal) -> Answer:
    """Return an answer that says no."""
    return Answer(
        status=refusal.status,
        body=refusal.body,
        headers=dict(refusal.headers),
        content_type=refusal.content_type,
        billed=refusal.billed,
        images_billed=1 if refusal.billed else 0,
    )


def good(kitchen: Kitchen) -> Answer:
    """Return what a healthy upstream answers."""
    return event_stream(kitchen) if kitchen.ask.stream else json_answer(kitchen)


def document(kitchen: Kitchen, images: tuple[bytes, ...]) -> dict[str, Any]:
    """Return the body of an answer with these images, before it is text."""
    wants_url = kitchen.ask.fields.get("response_format") == "url"
    item = kitchen_url(kitchen) if wants_url else base64_item
    body: dict[str, Any] = {"created": CREATED}
    if kitchen.ask.is_gpt:
        body |= kitchen.facts()
        body["usage"] = usage_of(kitchen.ask, kitchen.size, images=len(images))
    if "safety_identifier" in kitchen.ask.fields:
        body["safety_identifier"] = kitchen.ask.fields["safety_identifier"]
    body["data"] = [item(image) for image in images]
    return body


def json_answer(kitchen: Kitchen) -> Answer:
    """Return the whole answer as one JSON body."""
    images = tuple(kitchen.picture(index) for index in range(kitchen.ask.n))
    return from_document(document(kitchen, images), images)


def from_document(body: dict[str, Any], images: tuple[bytes, ...]) -> Answer:
    """Return an answer with that JSON body; all its images are charged."""
    text = json.dumps(body, separators=(",", ":")).encode()
    return Answer(body=text, images=images, images_billed=len(images))


def base64_item(image: bytes) -> dict[str, Any]:
    """Return an image as GPT models do."""
    return {"b64_json": base64.b64encode(image).decode()}


def kitchen_url(kitchen: Kitchen) -> Callable[[bytes], dict[str, Any]]:
    """Return a function that answers an image as a url of this very server."""

    def item(image: bytes) -> dict[str, Any]:
        return {"url": kitchen.serve(image, kitchen.ask.media)}

    return item


def event_stream(kitchen: Kitchen) -> Answer:
    """Return the partial and completed events of all images."""
    frames: list[bytes] = []
    images: list[bytes] = []
    for index in range(kitchen.ask.n):
        frames += [partial_frame(kitchen, index, part) for part in range(kitchen.ask.partials)]
        images.append(kitchen.picture(index))
        frames.append(completed_frame(kitchen, images[-1]))
    return Answer(
        body=b"".join(frames),
        content_type="text/event-stream; charset=utf-8",
        chunk_bytes=16 * 1024,
        images=tuple(images),
        images_billed=len(images),
    )


def partial_frame(kitchen: Kitchen, index: int, part: int) -> bytes:
    """Return one partial image; its file is number `100 * (index + 1) + part` of the request."""
    image = kitchen.picture(100 * (index + 1) + part)
    body = base64_item(image) | {"partial_image_index": part}
    return _frame(kitchen, "partial_image", body)


def completed_frame(kitchen: Kitchen, image: bytes) -> bytes:
    """Return the event that ends an image."""
    usage = usage_of(kitchen.ask, kitchen.size, images=1, partials=kitchen.ask.partials)
    return _frame(kitchen, "completed", base64_item(image) | {"usage": usage})


def _frame(kitchen: Kitchen, event: str, body: dict[str, Any]) -> bytes:
    name = f"{STREAM_WORDS.get(kitchen.ask.operation, 'image_generation')}.{event}"
    facts = {"type": name} | body | {"created_at": CREATED} | kitchen.facts()
    return frame(name, facts)


def frame(name: str, body: dict[str, Any]) -> bytes:
    """Return one server-sent event."""
    text = json.dumps(body, separators=(",", ":"))
    return f"event: {name}\ndata: {text}\n\n".encode()
