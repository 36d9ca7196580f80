"""Blurred images: what is delivered where a guardrail says `blur`. Pixels are the worker's."""

import msgspec

from imagegate.assets.check import check_answer_blob
from imagegate.assets.spool import CallSpool
from imagegate.assets.transform import BlurRequest, Worker
from imagegate.pixels import placed, stored
from imagegate.types import Image, ImageResult


async def blur_images(result: ImageResult, spool: CallSpool, worker: Worker) -> ImageResult:
    """Return the result with every image blurred beyond recognition, as png.

    Raises where one cannot be decoded: then nothing of it may be shown.
    """
    images = tuple([await _blurred(image, spool, worker) for image in result.images])
    return msgspec.structs.replace(result, images=images, output_format="png")


async def _blurred(image: Image, spool: CallSpool, worker: Worker) -> Image:
    assert image.blob is not None
    made = placed(await worker.convert(BlurRequest(stored(image.blob))), spool)
    return msgspec.structs.replace(image, blob=check_answer_blob(made))
