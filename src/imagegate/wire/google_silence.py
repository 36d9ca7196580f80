"""A 200 of Google's without an image: eight signals, each an error of its own."""

from collections.abc import Sequence

from msgspec import Struct

from imagegate.errors import (
    BadRequestError,
    ContentPolicyViolationError,
    ImageError,
    UpstreamCredentialError,
    UpstreamEmptyError,
    UpstreamWords,
)
from imagegate.types import Json
from imagegate.wire.google_errors import support_categories

BLOCKED = frozenset(
    [
        "SAFETY",
        "IMAGE_SAFETY",
        "PROHIBITED_CONTENT",
        "IMAGE_PROHIBITED_CONTENT",
        "BLOCKLIST",
        "SPII",
        "MODEL_ARMOR",
    ]
)
RECITED = frozenset(("RECITATION", "IMAGE_RECITATION"))
LIMITED = frozenset(("PUP_LIMITED_DISABLED", "ESCALATION"))
_STOP = "STOP"
_TOO_LONG = "MAX_TOKENS"
_LANGUAGE = "LANGUAGE"
_LIKELY = frozenset(("MEDIUM", "HIGH"))


class Silence(Struct, frozen=True):
    """Why there is no image. `blocked` is the prompt's block reason, `finish` the answer's end.

    `ratings` are Google's safety ratings as they came; `text` is what the model said instead.
    """

    blocked: str = ""
    finish: str = ""
    message: str = ""
    ratings: Json = None
    text: str = ""


def no_image(silence: Silence, words: UpstreamWords, name: str) -> ImageError:
    """Return the error that this silence means; all but the unknown say what to do."""
    error = _refused(silence, name) or _unfinished(silence, name)
    error.upstream = words
    return error


def no_prediction(reasons: Sequence[str], words: UpstreamWords, name: str) -> ImageError:
    """Return the error of an Imagen answer without an image: filtered, or nothing at all."""
    if reasons:
        said = " ".join(reasons)
        error: ImageError = ContentPolicyViolationError(
            f"{name} filtered every image by its content policy"
            f"{_named(support_categories(said))}: {said} Change the prompt."
        )
    else:
        error = UpstreamEmptyError(
            f"{name} answered with success and without an image, and named no filter. It may have "
            "been billed; look at Google's own log before you ask again."
        )
    error.upstream = words
    return error


def _refused(silence: Silence, name: str) -> ImageError | None:
    """Return the error of a refusal, None where it was none."""
    if silence.blocked:
        return _policy(silence, f"{name} blocked the prompt or an input ({silence.blocked})")
    if silence.finish in BLOCKED:
        return _policy(silence, f"{name} made an image and withheld it ({silence.finish})")
    if silence.finish in RECITED:
        return ContentPolicyViolationError(
            f"{name} withheld an image too close to a source ({silence.finish})"
            f"{_said(silence.message)}. Reword the prompt.",
            code="recitation",
        )
    if silence.finish in LIMITED:
        return UpstreamCredentialError(
            f"{name} has limited this account for violations of its policies ({silence.finish})"
            f"{_said(silence.message)}. The account's owner must talk to Google.",
            code="upstream_account_limited",
        )
    if silence.finish == _LANGUAGE:
        return BadRequestError(
            f"{name} does not support the prompt's language; write it in another.", param="prompt"
        )
    return _in_words(silence, name) if silence.finish in (_STOP, "") and silence.text else None


def _unfinished(silence: Silence, name: str) -> ImageError:
    if silence.finish == _TOO_LONG:
        return UpstreamEmptyError(
            f"{name} spent the whole token budget on thoughts and words before an image was made; "
            "those are billed. Raise max_output_tokens, or lower thinking_level.",
            code="upstream_max_tokens",
        )
    if silence.finish:
        return UpstreamEmptyError(
            f"{name} ended without an image ({silence.finish}){_said(silence.message)}. Asked again"
            " it may make one; this answer may have been billed.",
            code="upstream_nothing_made" if silence.finish != _STOP else None,
        )
    return UpstreamEmptyError(
        f"{name} answered with success and with nothing in it. It may have been billed; look at "
        "Google's own log before you ask again."
    )


def _policy(silence: Silence, what: str) -> ImageError:
    categories = _rated(silence.ratings) or support_categories(silence.message)
    return ContentPolicyViolationError(
        f"{what}{_named(categories)}{_said(silence.message)}. Change the prompt or the image."
    )


def _in_words(silence: Silence, name: str) -> ImageError:
    return ContentPolicyViolationError(
        f"{name}'s model answered in words instead of an image, which is how it refuses: "
        f"{silence.text}",
        code="refused_in_words",
    )


def _rated(ratings: Json) -> tuple[str, ...]:
    """Return the categories that were blocked, or else rated likely."""
    listed = [part for part in ratings if isinstance(part, dict)] if _is_list(ratings) else []
    blocked = [part for part in listed if part.get("blocked")]
    named = blocked or [part for part in listed if part.get("probability") in _LIKELY]
    return tuple(str(part.get("category")).removeprefix("HARM_CATEGORY_").lower() for part in named)


def _is_list(value: Json) -> bool:
    return isinstance(value, list)


def _named(categories: Sequence[str]) -> str:
    return f" (categories: {', '.join(categories)})" if categories else ""


def _said(message: str) -> str:
    return f": {message.rstrip('.')}" if message else ""
