"""Every way in, as rows: who asks, how, and where in the call that stands which a guardrail minds.

A row is asked the same thing in each mode; a new way in is one more row of `ROWS`.
"""

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from msgspec import Struct

import imagegate
from imagegate.cli.app import run
from imagegate.cli.exits import OK, POLICY
from imagegate.config.load import load_settings
from tests.doctor.surface import Surface
from tests.gateway import pictures
from tests.gateway.running import Answer, Part, RunningGateway, form
from tests.gateway.test_calls import ended
from tests.upstream.fake import FakeUpstream

Place: TypeAlias = Literal["text", "image", "mask"]

BAD = "a forbiddenword in the snow"
GUARDS = """
class Word:
    sees_images = False
    def check(self, subject):
        return "deny" if any("forbiddenword" in text for text in subject.texts.values()) else None

class Picture:
    role = "image"
    def check(self, subject):
        return "deny" if any(one.role == self.role for one in subject.images) else None

class Mask(Picture):
    role = "mask"

class Made(Picture):
    role = "output"
"""
CONFIG = """
model_list:
  - model_name: img
    litellm_params: {{model: azure/gpt-image-2, api_base: "{azure}", api_key: sk-test-upstream,
      api_version: 2025-04-01-preview}}
  - model_name: varied
    litellm_params: {{model: recraft/variate_image, api_base: "{other}", api_key: sk-test-upstream}}
  - model_name: text
    model_info: {{mode: responses}}
    litellm_params: {{model: openai/gpt-5.6, api_base: "{other}/v1", api_key: sk-test-upstream}}
  - model_name: drawn
    litellm_params: {{model: openai/gpt-image-2, api_base: "{other}/v1", api_key: sk-test-upstream,
      base_model: openai/gpt-image-2}}
assets: {{folder: {folder}/data}}
database_url: sqlite:///{folder}/ledger.db
sinks: [{{kind: file, path: calls.jsonl}}]
guardrails:
  - guardrail_name: ours
    litellm_params: {{guardrail: my_guards.{kind}, mode: {mode}, default_on: {is_on}}}
"""
PICTURE, MASK = pictures.picture(), pictures.picture(mode="RGBA")
PNG64 = base64.b64encode(PICTURE).decode()
DATA_URL = f"data:image/png;base64,{PNG64}"
MASK_URL = f"data:image/png;base64,{base64.b64encode(MASK).decode()}"
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "output": [
        {"id": "i", "type": "image_generation_call", "status": "completed", "result": PNG64}
    ],
}
COMPLETED = {"type": "response.completed", "response": RESPONSE}
EVENTS = f"event: response.completed\ndata: {json.dumps(COMPLETED)}\n\n".encode()


class Told(Struct, frozen=True):
    """What whoever asked was told: the code of the error, `""` for none, and whether it got one."""

    code: str
    has_image: bool


class House:
    """One configuration with one guardrail, and all that stands behind it, for every way in."""

    def __init__(
        self, folder: Path, upstream: FakeUpstream, *, kind: str, mode: str, is_on: bool
    ) -> None:
        self._upstream = upstream
        self._gateway: RunningGateway | None = None
        self._other = Surface(
            {
                "POST /v1/images/variateImage": (200, {}, {"data": [{"b64_json": PNG64}]}),
                "POST /v1/images/generations": (200, {}, {"data": [{"b64_json": PNG64}]}),
                "POST /v1/responses": (200, {}, RESPONSE),
            }
        )
        self.folder = folder
        self.file = folder / "config.yaml"
        self._values = {"kind": kind, "mode": mode, "is_on": is_on, "folder": folder}

    def __enter__(self) -> Self:
        other = self._other.__enter__()
        (self.folder / "my_guards.py").write_text(GUARDS)
        places = {"azure": self._upstream.url, "other": other.url}
        self.file.write_text(CONFIG.format(**places, **self._values))
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._other.__exit__(None, None, None)

    @property
    def gateway(self) -> RunningGateway:
        if self._gateway is None:
            self._gateway = RunningGateway(load_settings(str(self.file))).__enter__()
        return self._gateway

    def say_in_events(self) -> None:
        """Have the next response come as an event stream."""
        headers = {"content-type": "text/event-stream"}
        self._other.answers["POST /v1/responses"] = (200, headers, lambda: [EVENTS])

    @property
    def bought(self) -> int:
        """How many requests reached a provider."""
        return len(self._upstream.bill) + len(self._other.asked)

    def close(self) -> None:
        """Let all sinks have what they wait for."""
        if self._gateway is not None:
            self._gateway.__exit__(None, None, None)
            self._gateway = None

    def event(self) -> Any:
        """Return the closing event of the only call."""
        self.close()
        (line,) = (self.folder / "calls.jsonl").read_text().splitlines()
        return json.loads(line)


Ask: TypeAlias = Callable[[House, Place], Told]


class Row(Struct, frozen=True):
    """A way in, and the place in its call that a guardrail is to see."""

    name: str
    ask: Ask
    place: Place

    def __str__(self) -> str:
        return f"{self.name}-{self.place}"


def told(answer: Answer) -> Told:
    """Return what an HTTP answer says; a stream's head goes out only when there is something."""
    if answer.status >= 400:
        return Told(str(answer.error["code"]), "b64_json" in answer.body.decode())
    return Told("", PNG64[:200] in answer.body.decode() or b"b64_json" in answer.body)


# --- over HTTP ---


def post(path: str, **fields: Any) -> Ask:
    """Ask for an image in JSON."""

    def ask(house: House, place: Place) -> Told:
        call = {"model": "img", "prompt": BAD} | fields
        return told(house.gateway.post(path, call))

    return ask


def post_edit(house: House, place: Place) -> Told:
    call = {"model": "img", "prompt": BAD, "images": [{"image_url": DATA_URL}]}
    call |= {"mask": {"image_url": MASK_URL}} if place == "mask" else {}
    return told(house.gateway.post("/v1/images/edits", call))


def send_form(path: str, model: str, *more: Part) -> Ask:
    """Send a form with an image, and a mask where the row minds one."""

    def ask(house: House, place: Place) -> Told:
        parts = [Part("model", model), *more, Part("image", PICTURE, "a.png")]
        parts += [Part("mask", MASK, "m.png")] if place == "mask" else []
        body, content_type = form(*parts)
        headers = {"content-type": content_type}
        return told(house.gateway.request("POST", path, body, headers))

    return ask


def unknown_field(house: House, place: Place) -> Told:
    return told(house.gateway.generate(prompt="a fox", model="drawn", note={"deep": [BAD]}))


def respond(*, stream: bool) -> Ask:
    """Ask a text model to draw."""

    def ask(house: House, place: Place) -> Told:
        if stream:
            house.say_in_events()
        content = [{"type": "input_text", "text": BAD}]
        content += [{"type": "input_image", "image_url": DATA_URL}] if place == "image" else []
        tool = {"type": "image_generation", "model": "drawn"}
        tool |= {"input_image_mask": {"image_url": MASK_URL}} if place == "mask" else {}
        call = {"model": "text", "input": [{"role": "user", "content": content}]}
        return told(house.gateway.post("/v1/responses", call | {"tools": [tool], "stream": stream}))

    return ask


# --- the SDK and the command line, with the configuration ---


def with_sdk(operation: str, **more: Any) -> Ask:
    def ask(house: House, place: Place) -> Told:
        images: list[Any] = [] if operation == "image_generation" else [PICTURE]
        words = [] if operation == "image_variation" else [BAD]
        given = more | ({"mask": MASK} if place == "mask" else {})
        model = "varied" if operation == "image_variation" else "img"
        with imagegate.Client(config=str(house.file)) as client:
            try:
                made = getattr(client, operation)(*images, *words, model=model, **given)
                *_, last = made if given.get("stream") else made.data
            except imagegate.ImageError as error:
                return Told(error.code, has_image=False)
            return Told("", bool(last.b64_json))

    return ask


def with_command(*command: str) -> Ask:
    def ask(house: House, place: Place) -> Told:
        image, mask, made = (house.folder / name for name in ("in.png", "mask.png", "made.png"))
        image.write_bytes(PICTURE)
        mask.write_bytes(MASK)
        inputs = [str(image)] if command[0] == "edit" else []
        masks = ["--mask", str(mask)] if place == "mask" else []
        options = ["--model", "img", "--config", str(house.file), "-o", str(made)]
        code = run([command[0], *inputs, BAD, *command[1:], *masks, *options])
        codes = {OK: "", POLICY: "content_policy_violation"}
        return Told(codes.get(code, f"exit {code}"), made.exists())

    return ask


# --- answers that come later ---


def later(begin: Callable[[House, Place], Answer]) -> Ask:
    """Ask for an answer later, and look for it until the call has ended, wherever it is told."""

    def ask(house: House, place: Place) -> Told:
        begun = begin(house, place)
        if begun.status != 202:
            return told(begun)
        call = ended(house.gateway, begun.headers["x-imagegate-call-id"])
        image = house.gateway.get(f"{begun.headers['location']}/images/0")
        if (error := call.get("error")) is not None:
            return Told(error["code"], image.status == 200 or "result" in call)
        return Told("", image.status == 200 and bool(call["result"]["data"][0]["b64_json"]))

    return ask


def post_later(house: House, place: Place) -> Answer:
    call = {"model": "img", "prompt": BAD}
    return house.gateway.post(GENERATIONS, call, prefer="respond-async")


def edit_later(house: House, place: Place) -> Answer:
    call = {"model": "img", "prompt": BAD, "images": [{"image_url": DATA_URL}]}
    call |= {"mask": {"image_url": MASK_URL}} if place == "mask" else {}
    return house.gateway.post(EDITS, call, prefer="respond-async")


GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
PROMPT, STREAM = Part("prompt", BAD), Part("stream", "true")
PLACES: Sequence[Place] = ("text", "image", "mask")
ROWS = [
    Row("json", post(GENERATIONS), "text"),
    Row("stream", post(GENERATIONS, stream=True, partial_images=2), "text"),
    Row("several", post(GENERATIONS, n=2), "text"),
    Row("without-v1", post("/images/generations"), "text"),
    Row("openai-v1", post("/openai/v1/images/generations"), "text"),
    Row("azure-path", post("/openai/deployments/img/images/generations?api-version=1"), "text"),
    Row("unknown-field", unknown_field, "text"),
    *(Row("edit-json", post_edit, place) for place in PLACES),
    *(Row("edit-form", send_form(EDITS, "img", PROMPT), place) for place in PLACES),
    *(Row("edit-stream", send_form(EDITS, "img", PROMPT, STREAM), place) for place in PLACES),
    Row("variation-form", send_form("/v1/images/variations", "varied"), "image"),
    *(Row("responses", respond(stream=False), place) for place in PLACES),
    *(Row("responses-stream", respond(stream=True), place) for place in PLACES),
    Row("sdk", with_sdk("image_generation"), "text"),
    Row("sdk-stream", with_sdk("image_generation", stream=True), "text"),
    *(Row("sdk-edit", with_sdk("image_edit"), place) for place in PLACES),
    Row("sdk-variation", with_sdk("image_variation"), "image"),
    Row("command", with_command("generate"), "text"),
    Row("command-stream", with_command("generate", "--stream"), "text"),
    *(Row("command-edit", with_command("edit"), place) for place in PLACES),
    Row("later", later(post_later), "text"),
    *(Row("later-edit", later(edit_later), place) for place in PLACES),
]
