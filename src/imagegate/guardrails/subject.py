"""What a check gets to see, and what it rules. Frozen values, and the way from a call to them."""

from collections.abc import Callable, Generator, Mapping
from typing import Literal, Protocol, TypeAlias

import msgspec
from msgspec import Struct

from imagegate.types import Blob, FileId, ImageCall, ImageResult, Json
from imagegate.wire.exchange import Answer, Command
from imagegate.wire.responses import BODY, TAG, TEXTS, names_inputs

Stage: TypeAlias = Literal["input", "output"]
RulingAction: TypeAlias = Literal["allow", "mask", "blur", "hold", "deny"]
TEXTS_MAX = 1000
_FIELDS = ("prompt", "negative_prompt", "style")


class SeenImage(Struct, frozen=True):
    """An image that goes in or came out."""

    role: Literal["image", "mask", "markup", "output"]
    blob: Blob


class Subject(Struct, frozen=True, kw_only=True):
    """What is to be ruled on. `texts` are by path (`prompt`, `extra.note.0`).

    `has_unseen`: an input is a file that only the provider has.
    """

    stage: Stage
    call_id: str
    operation: str = ""
    model: str = ""
    end_user: str = ""
    texts: Mapping[str, str] = {}
    images: tuple[SeenImage, ...] = ()
    has_unseen: bool = False


class Ruling(Struct, frozen=True, kw_only=True):
    """What a check says. `category` is a kind, never the words that were found.

    `texts` are those that `mask` changed, by path.
    """

    action: RulingAction = "allow"
    category: str = ""
    texts: Mapping[str, str] = {}


ALLOWED = Ruling()
GuardExchange: TypeAlias = Generator[Command, Answer, Ruling]


class Check(Protocol):
    """One kind of guardrail, made from its settings. `sees_images`: it looks at images too."""

    sees_images: bool

    async def rule(self, subject: Subject) -> Ruling:
        """Return the ruling; whatever it raises is a failure of the guardrail."""
        ...


def input_of(call: ImageCall, end_user: str) -> Subject:
    """Return what goes in: all texts, and all images with their masks."""
    given = [("image", image) for image in call.images]
    given += [(role, one) for role, one in (("mask", call.mask), ("markup", call.markup)) if one]
    return Subject(
        stage="input",
        call_id=call.id,
        operation=call.operation,
        model=call.model,
        end_user=end_user,
        texts=texts_of(call),
        images=tuple(SeenImage(role, one) for role, one in given if isinstance(one, Blob)),  # type: ignore[arg-type]
        has_unseen=any(isinstance(one, FileId) for _, one in given)
        or (call.operation == "responses" and names_inputs(call.extra[BODY], call.extra[TAG])),
    )


def output_of(call: ImageCall, result: ImageResult, end_user: str) -> Subject:
    """Return what came out, beside the texts that it was made from."""
    revised = {
        f"revised_prompt.{index}": image.revised_prompt
        for index, image in enumerate(result.images)
        if image.revised_prompt
    }
    return Subject(
        stage="output",
        call_id=call.id,
        operation=call.operation,
        model=call.model,
        end_user=end_user,
        texts={**texts_of(call), **revised, **result.extra.get(TEXTS, {})},
        images=tuple(SeenImage("output", image.blob) for image in result.images if image.blob),
    )


def whole_of(call: ImageCall, result: ImageResult | None, end_user: str) -> Subject:
    """Return what went in beside what came out of it, where something did."""
    given = input_of(call, end_user)
    if result is None:
        return given
    made = output_of(call, result, end_user)
    return msgspec.structs.replace(made, images=(*given.images, *made.images))


def trial_of(call: ImageCall, stage: Stage) -> Subject:
    """Return what a guardrail is tried on: a call's texts and images, as going in or coming out."""
    given = input_of(call, "")
    if stage == "input":
        return given
    made = tuple(SeenImage("output", one.blob) for one in given.images)
    return msgspec.structs.replace(given, stage=stage, images=made)


def texts_of(call: ImageCall) -> dict[str, str]:
    """Return every text of a call that may reach an image, by path."""
    found: dict[str, str] = {}

    def note(path: str, text: str) -> str:
        if text and len(found) < TEXTS_MAX:
            found[path] = text
        return text

    _walk(call, note)
    return found


def with_texts(call: ImageCall, texts: Mapping[str, str]) -> ImageCall:
    """Return the call with these texts in their places."""
    return _walk(call, lambda path, text: texts.get(path, text))


def with_revised(result: ImageResult, texts: Mapping[str, str]) -> ImageResult:
    """Return the result with these revised prompts."""
    images = tuple(
        msgspec.structs.replace(image, revised_prompt=texts[path])
        if (path := f"revised_prompt.{index}") in texts
        else image
        for index, image in enumerate(result.images)
    )
    return msgspec.structs.replace(result, images=images)


def _walk(call: ImageCall, visit: Callable[[str, str], str]) -> ImageCall:
    changed: dict[str, Json] = {}
    for name in _FIELDS:
        text = getattr(call, name)
        if text and (new := visit(name, text)) != text:
            changed[name] = new
    for name in ("extra", "svg"):
        value = getattr(call, name)
        if value and (new := _walk_json(value, name, visit)) != value:
            changed[name] = new
    return msgspec.structs.replace(call, **changed) if changed else call


def _walk_json(value: Json, path: str, visit: Callable[[str, str], str]) -> Json:
    if isinstance(value, str):
        return visit(path, value)
    if isinstance(value, Mapping):
        return {key: _walk_json(item, f"{path}.{key}", visit) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_walk_json(item, f"{path}.{index}", visit) for index, item in enumerate(value)]
    return value
