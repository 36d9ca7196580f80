"""What is done to pixels around an attempt: masks before it, another format after it.

The bytes of inputs and results are otherwise left as they came.
"""

import msgspec

from imagegate.assets.check import check_answer_blob
from imagegate.assets.spool import MEMORY_BYTES_MAX, CallSpool, SpoolFile, head_and_tail
from imagegate.assets.transform import (
    EncodeRequest,
    InputImageError,
    MaskRequest,
    Stored,
    Worker,
    WorkerError,
)
from imagegate.catalogue.adjust import Encoding
from imagegate.errors import BadRequestError, ImageError, OverloadedError
from imagegate.keep import with_facts
from imagegate.plan import Plan, facts_of
from imagegate.types import Adjustment, Blob, Image, ImageCall, ImageResult
from imagegate.wire.image_header import sniff
from imagegate.wire.masks import GreyEdit

COMPRESSION_DEFAULT = 95
_TYPES_WITH_ALPHA = ("image/png", "image/webp")
_DERIVED = Adjustment(
    "mask", None, "the clear part of the first image", "there it is what OpenAI's models edit"
)


async def prepare_attempt(plan: Plan, spool: CallSpool, worker: Worker) -> Plan:
    """Return the plan with the mask as its model wants it: grey, where that is not OpenAI's alpha.

    Where no mask was sent, the clear part of the first image becomes one. Raises
    `BadRequestError` for a file that cannot be read, `OverloadedError` where the worker failed.
    """
    facts, call = facts_of(plan.deployment), plan.call
    if facts is None or not facts.mask or facts.mask_edit == "alpha" or call.operation != "edit":
        return plan
    if isinstance(call.mask, Blob):
        grey = await _grey(call.mask, facts.mask_edit, spool, worker, "mask")
        assert grey is not None
        return msgspec.structs.replace(plan, call=msgspec.structs.replace(call, mask=grey))
    image = _image_with_alpha(call)
    if call.mask is not None or image is None:
        return plan
    derived = await _grey(image, facts.mask_edit, spool, worker, "image")
    if derived is None:
        return plan
    return msgspec.structs.replace(
        plan,
        call=msgspec.structs.replace(call, mask=derived),
        adjustments=(*plan.adjustments, _DERIVED),
    )


async def encode_result(
    result: ImageResult, plan: Plan, spool: CallSpool, worker: Worker
) -> tuple[ImageResult, Plan]:
    """Return the result in the format that was asked for, and the plan with what went wrong.

    An image that cannot be re-encoded is delivered as it came, with a warning: it was paid for.
    """
    encoding = plan.encoding
    if encoding is None:
        return result, plan
    try:
        images = [await _encoded(image, encoding, spool, worker) for image in result.images]
    except (InputImageError, WorkerError, ImageError, OSError) as error:
        warning = f"The image stays as it came; it could not be re-encoded: {error}."
        return result, msgspec.structs.replace(plan, warnings=(*plan.warnings, warning))
    return with_facts(result, images), plan


def _image_with_alpha(call: ImageCall) -> Blob | None:
    first = next(iter(call.images), None)
    if not isinstance(first, Blob) or first.media_type not in _TYPES_WITH_ALPHA:
        return None
    header = sniff(*head_and_tail(first))
    return first if header is not None and header.has_alpha else None


async def _grey(
    blob: Blob, edit: GreyEdit, spool: CallSpool, worker: Worker, param: str
) -> Blob | None:
    """Return the grey mask, None where none is to be derived."""
    request = MaskRequest(stored(blob), edit, is_derived=param != "mask")
    try:
        data = await worker.convert(request)
    except InputImageError as error:
        raise BadRequestError(
            f"The {param} cannot be used: {error}.", param=param, code="invalid_image_file"
        ) from error
    except WorkerError as error:
        raise OverloadedError(f"The {param} could not be converted ({error}).") from error
    if not data:
        return None
    return msgspec.structs.replace(
        placed(data, spool),
        media_type="image/png",
        width_px=blob.width_px,
        height_px=blob.height_px,
    )


async def _encoded(image: Image, encoding: Encoding, spool: CallSpool, worker: Worker) -> Image:
    blob = image.blob
    assert blob is not None
    if blob.media_type in (f"image/{encoding.format}", "image/svg+xml"):
        return image
    compression = COMPRESSION_DEFAULT if encoding.compression is None else encoding.compression
    request = EncodeRequest(stored(blob), encoding.format, compression)
    made = placed(await worker.convert(request), spool)
    return msgspec.structs.replace(image, blob=check_answer_blob(made))


def stored(blob: Blob) -> Stored:
    """Return the blob as the worker reads it: the file is named, not sent."""
    source = blob.source
    is_base64 = blob.encoding == "base64"
    if isinstance(source, SpoolFile):
        return Stored(str(source.path), blob.offset, blob.length, is_base64, blob.escaped)
    assert isinstance(source, bytes)
    data = source[blob.offset : blob.offset + blob.length]
    return Stored(is_base64=is_base64, is_escaped=blob.escaped, data=data)


def placed(data: bytes, spool: CallSpool) -> Blob:
    """Return finished bytes as a blob of the call."""
    if len(data) <= MEMORY_BYTES_MAX:
        return Blob(data, 0, len(data))
    file = spool.new_file()
    file.write(data)
    return Blob(file, 0, file.size)
