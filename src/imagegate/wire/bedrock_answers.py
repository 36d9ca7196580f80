"""What AWS Bedrock's image models answer, and how InvokeModel says no, in our tree.

A 200 may be a refusal: Stability says so in `finish_reasons`, Amazon's models in `error`, SDXL in
each artifact.
"""

import re
from collections.abc import Mapping

from msgspec import Struct

from imagegate.errors import (
    BadRequestError,
    ContentPolicyViolationError,
    ImageError,
    RateLimitError,
    UpstreamCredentialError,
    UpstreamEmptyError,
    UpstreamFailedError,
    UpstreamModelNotFoundError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
    UpstreamWords,
)
from imagegate.types import Blob, Image, ImageResult, Json
from imagegate.wire import openai_errors
from imagegate.wire.exchange import UpstreamResponse
from imagegate.wire.lift import Base64
from imagegate.wire.openai_errors import Refusal

_NAME = "AWS Bedrock"
_FIELD = re.compile(r"#/([\w/]+)|extraneous key \[(\w+)\]")
_FILTERED = "Filter reason:"
_TOO_LARGE = "exceeds the maximum allowed size"
_SERVER_FAILURE = 500


class Artifact(Struct, rename={"finish_reason": "finishReason"}):
    """One image of SDXL; `base64` holds nothing of use where `finish_reason` is no SUCCESS."""

    base64: Base64 | None = None
    finish_reason: str = "SUCCESS"


class Answer(Struct):
    """The answer of any image model, as far as we look at it."""

    images: list[Base64 | None] | None = None
    finish_reasons: list[str | None] | None = None
    artifacts: list[Artifact] | None = None
    error: Json = None
    detail: Json = None
    status: Json = None
    details: Json = None


def parse_answer(response: UpstreamResponse) -> ImageResult:
    """Return the images of an answer. Raises the refusal that a 200 may be, or its error."""
    if response.status >= 300:
        raise read_error(response)
    try:
        answer = response.decode(Answer)
    except UpstreamEmptyError as error:
        error.upstream = read_words(response)
        raise
    blobs, refusals = _sorted(answer)
    if not blobs:
        raise _no_image(refusals, read_words(response))
    return ImageResult(images=tuple(Image(blob) for blob in blobs))


def _sorted(answer: Answer) -> tuple[list[Blob], list[str]]:
    """Return the images that count, and why others do not: a filtered one may come blurred."""
    images = [part.blob if part else None for part in answer.images or ()]
    reasons = list(answer.finish_reasons or ())
    for artifact in answer.artifacts or ():
        images.append(artifact.base64.blob if artifact.base64 else None)
        reasons.append(_ARTIFACT_REASONS.get(artifact.finish_reason, artifact.finish_reason))
    reasons += [None] * (len(images) - len(reasons))
    passed = [
        blob for blob, reason in zip(images, reasons, strict=False) if reason is None and blob
    ]
    blobs = [blob for blob in passed if blob.length]
    return blobs, [reason for reason in reasons if reason] + _stated(answer)


_ARTIFACT_REASONS: Mapping[str, str | None] = {
    "SUCCESS": None,
    "CONTENT_FILTERED": f"{_FILTERED} output image",
    "ERROR": "Inference error",
}


def _stated(answer: Answer) -> list[str]:
    """Return what the answer says beside its images, in the words of `finish_reasons`."""
    said = [str(answer.detail)] if answer.detail else []
    if answer.error:
        said.append(f"{_FILTERED} {answer.error}")
    if answer.status == "Request Moderated":
        details = answer.details if isinstance(answer.details, dict) else {}
        found = details.get("Moderation Reasons")
        said.append(f"{_FILTERED} {', '.join(map(str, found)) if isinstance(found, list) else ''}")
    return said


def _no_image(refusals: list[str], words: UpstreamWords) -> ImageError:
    if not refusals:
        return UpstreamEmptyError(
            f"{_NAME} answered with success and without an image. It may have been billed; look "
            "at CloudWatch's invocation log before you ask again.",
            upstream=words,
        )
    reason = refusals[0]
    if reason.startswith(_FILTERED):
        return _filtered(reason.removeprefix(_FILTERED).strip(), words)
    if _TOO_LARGE in reason:
        return _too_large(reason, words)
    return UpstreamFailedError(
        f"{_NAME} made no image ({reason}). It may have been billed, so it was not asked again.",
        upstream=words,
    )


def _filtered(what: str, words: UpstreamWords) -> ContentPolicyViolationError:
    return ContentPolicyViolationError(
        f"{_NAME} refused it by its content policy (categories: {what or 'not named'}). Change the "
        "prompt or the image; the same request gets the same answer.",
        upstream=words,
    )


def _too_large(said: str, words: UpstreamWords) -> UpstreamFailedError:
    return UpstreamFailedError(
        f"{_NAME} made an image that it cannot deliver: {said}. It may have been billed. Ask for "
        "output_format jpeg or webp.",
        upstream=words,
    )


# --- how it says no --------------------------------------------------------------------------


def read_error(response: UpstreamResponse) -> ImageError:
    """Return the error of our tree; AWS names the kind in a header, the body has the message."""
    words = read_words(response)
    kind = read_kind(response)
    said = _message(response.json())
    error = _by_kind(kind, said) or _by_status(kind, said, words)
    error.upstream = words
    if error.fault == "moment":
        error.retry_after_s = openai_errors.read_retry_after_s(response.headers)
    return error


def read_words(response: UpstreamResponse) -> UpstreamWords:
    """Return what Bedrock said, with its request id."""
    text = openai_errors.scrub(response.text())
    return UpstreamWords(response.status, text, response.headers.get("x-amzn-requestid", ""))


def read_kind(response: UpstreamResponse) -> str:
    """Return the name of the exception ("ThrottlingException"), `""` where none is given."""
    body = response.json()
    stated = response.headers.get("x-amzn-errortype") or (
        body.get("__type") if isinstance(body, dict) else ""
    )
    return str(stated or "").partition(":")[0].rpartition("#")[2].strip()


def _message(body: Json) -> str:
    if not isinstance(body, dict):
        return ""
    said = body.get("message") or body.get("Message") or body.get("detail") or ""
    return openai_errors.scrub(str(said))


def _by_kind(kind: str, said: str) -> ImageError | None:
    match kind:
        case "ValidationException":
            return _validation(said)
        case "ThrottlingException":
            return RateLimitError(f"{_NAME} asks for a pause: {said}")
        case "ModelNotReadyException":
            return UpstreamUnreachableError(f"{_NAME}'s model is not ready: {said}")
        case "ServiceQuotaExceededException":
            return _credential("the account's quota is used up", said, "Raise it there")
        case "ResourceNotFoundException":
            return _no_model(said, "Use a model of the catalogue that is not retired.")
        case "ModelTimeoutException":
            return UpstreamTimeoutError(f"{_NAME}'s model ran out of time: {said} {_MAYBE_BILLED}")
        case "ModelErrorException":
            return UpstreamFailedError(f"{_NAME}'s model failed: {said} {_MAYBE_BILLED}")
    return _access(kind, said)


_MAYBE_BILLED = "The image may have been made and billed."
_ACCESS_REMEDIES: Mapping[str, str] = {
    "AccessDeniedException": "Allow bedrock:InvokeModel on the model and on its inference profile, "
    "and the Marketplace actions for the first use of a Stability model",
    "UnrecognizedClientException": "Check the access key",
    "InvalidSignatureException": "Check the secret key and this machine's clock",
    "SignatureDoesNotMatch": "Check the secret key and this machine's clock",
    "ExpiredTokenException": "Renew the session's credentials",
    "MissingAuthenticationToken": "Give a key, a profile or a role",
    "MissingAuthenticationTokenException": "Give a key, a profile or a role",
    "IncompleteSignatureException": "Check the access key",
}


def _access(kind: str, said: str) -> ImageError | None:
    if kind not in _ACCESS_REMEDIES:
        return None
    if "PAYMENT" in said:
        return _credential("the account cannot pay", said, "Give it a valid payment method")
    return _credential("our credential or access was refused", said, _ACCESS_REMEDIES[kind])


def _credential(what: str, said: str, remedy: str) -> UpstreamCredentialError:
    return UpstreamCredentialError(
        f"{_NAME}: {what}: {said} {remedy}; the caller's own key is fine."
    )


def _no_model(said: str, remedy: str) -> UpstreamModelNotFoundError:
    return UpstreamModelNotFoundError(
        f"{_NAME} does not serve the model that was named: {said} {remedy}"
    )


def _validation(said: str) -> ImageError:
    """Tell apart what one code stands for; the apostrophes in these texts are typographic."""
    if "model identifier is invalid" in said:
        return _no_model(said, "The id is wrong, or aws_region_name does not have the model.")
    if "on-demand throughput" in said:
        return _no_model(said, "Put the geography before the id, as in us.stability.…")
    if "content filter" in said:
        return _filtered(said, UpstreamWords(400, said))
    if "guardrail" in said.lower():
        return _credential("a guardrail cannot be used", said, "Check the guardrail's headers")
    found = _FIELD.search(said)
    param = (found[1] or found[2]) if found else None
    return BadRequestError(f"{_NAME} refused the request: {said}", param=param)


def _by_status(kind: str, said: str, words: UpstreamWords) -> ImageError:
    if _TOO_LARGE in said:
        return _too_large(said, words)
    has_shape = bool(kind) and words.status < _SERVER_FAILURE
    refusal = Refusal(message=said, type=kind, has_shape=has_shape)
    return openai_errors.map_refusal(refusal, words, name=_NAME)
