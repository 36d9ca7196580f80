"""What the callers of the torture do: drawn from a seed, so that a run can be had again."""

import base64
import json
import random
from typing import Literal, NamedTuple, TypeAlias

from tests.upstream.pictures import PictureKind, picture

Way: TypeAlias = Literal["json", "stream", "form", "edit_json"]
Leaving: TypeAlias = Literal["stays", "uploading", "sent", "reading"]

# Marks in the prompt tell the fake upstream how to answer: the same for each attempt of a call.
MODES = {
    "ok": 78,
    "chunked": 6,
    "gzip": 4,
    "escaped": 3,
    "pretty": 3,
    "half_body": 5,
    "half_body_closed": 3,
    "drop": 4,
    "hang": 2,
    "truncated_image": 2,
    "wrong_base64": 2,
    "empty_data": 2,
    "status:moderation": 3,
    "status:server_error": 2,
    "status:504": 2,
    "status:rate_limit_bare": 2,
}
STREAM_MODES = {"ok": 70, "cut_stream": 10, "stream_error": 10, "keepalive_stream": 10}
WAYS: dict[Way, int] = {"json": 45, "stream": 20, "form": 25, "edit_json": 10}
GROUPS = {"img": 85, "solo": 10, "flux": 5}
PICTURES = {"tiny": 60, "medium": 33, "large": 7}
LEAVINGS: dict[Leaving, int] = {"stays": 60, "uploading": 8, "sent": 16, "reading": 16}
DELAYS_S = ("0", "0.05", "0.3", "1")
UPLOADS: dict[str, PictureKind] = {"form": "large", "edit_json": "tiny"}
BOUNDARY = "torture-boundary"


class Errand(NamedTuple):
    """One request and how its caller behaves. `name` is in its prompt and is its end user."""

    name: str
    group: str
    way: Way
    fields: dict[str, object]
    upload: bytes
    leaving: Leaving
    key: str

    @property
    def path(self) -> str:
        """The route that it goes to."""
        is_edit = self.way in ("form", "edit_json")
        return f"/v1/images/{'edits' if is_edit else 'generations'}"

    @property
    def headers(self) -> dict[str, str]:
        """The request's own headers."""
        is_form = self.way == "form"
        media = f"multipart/form-data; boundary={BOUNDARY}" if is_form else "application/json"
        given = {"content-type": media, "x-imagegate-end-user": self.name}
        return given | ({"idempotency-key": self.key} if self.key else {})

    @property
    def body(self) -> bytes:
        """The request's body."""
        if self.way == "form":
            return _form(self.fields, self.upload)
        images = {"images": [{"image_url": _data_url(self.upload)}]} if self.upload else {}
        return json.dumps(self.fields | images).encode()


def draw(seed: int, count: int) -> list[Errand]:
    """Return `count` errands."""
    chance = random.Random(seed)
    return [_errand(chance, number) for number in range(count)]


def _errand(chance: random.Random, number: int) -> Errand:
    name = f"e{number:05d}"
    group = _pick(chance, GROUPS)
    way = _pick(chance, WAYS) if group == "img" else "json"
    mode = _pick(chance, STREAM_MODES if way == "stream" else MODES)
    marks = {"mode": mode, "picture": _pick(chance, PICTURES), "delay": chance.choice(DELAYS_S)}
    prompt = " ".join([name, group, *(f"[{mark}={value}]" for mark, value in marks.items())])
    fields: dict[str, object] = {"model": group, "prompt": prompt, "size": "1024x1024"}
    if group != "flux":
        fields["n"] = chance.choice((1, 1, 1, 2, 4) if group == "img" else (1, 2, 3))
    if group == "img":
        fields["quality"] = chance.choice(("low", "medium", "high"))
    if way == "stream":
        fields |= {"stream": True, "partial_images": chance.choice((0, 1, 2))}
    is_hung = mode == "hang" and group != "flux"
    return Errand(
        name=name,
        group=group,
        way=way,
        fields=fields,
        upload=picture("upload", kind=UPLOADS[way]) if way in UPLOADS else b"",
        leaving="sent" if is_hung else _pick(chance, LEAVINGS),
        key=f"key-{name}" if chance.random() < 0.3 and not is_hung else "",
    )


def _pick(chance: random.Random, weights: dict[str, int]):  # type: ignore[no-untyped-def]
    return chance.choices(list(weights), list(weights.values()))[0]


def _data_url(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"


def _form(fields: dict[str, object], upload: bytes) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = 'content-disposition: form-data; name="image"; filename="in.png"'
    parts += [f"--{BOUNDARY}\r\n{head}\r\ncontent-type: image/png\r\n\r\n".encode(), upload]
    return b"".join([*parts, f"\r\n--{BOUNDARY}--\r\n".encode()])
