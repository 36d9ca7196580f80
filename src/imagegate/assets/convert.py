"""Masks and formats: the pixels of what callers send and providers make. In the worker only."""

from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import pybase64
from PIL import Image, ImageOps

from imagegate.assets.draw import INPUT_PIXELS_MAX, UnreadableImageError
from imagegate.assets.transform import BlurRequest, EncodeRequest, MaskRequest, Stored
from imagegate.wire.masks import grey_of, grey_table

QUALITY_MAX = 95  # above this a JPEG grows and looks the same
BLURRED_SIDE_PX = 16  # so many grains are left of the longer side
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
_WHITE = (255, 255, 255)

Picture: TypeAlias = Image.Image


def convert_mask(request: MaskRequest) -> bytes:
    """Return the grey PNG, mode L, that says the same as the file's alpha.

    Empty where the mask is derived from an image that has no clear part.
    """
    alpha = _open(request.file).convert("RGBA").getchannel("A")
    grey = alpha.point(list(grey_table(request.edit)))
    if request.is_derived and grey.getextrema() == (grey_of(255, request.edit),) * 2:
        return b""
    target = BytesIO()
    grey.save(target, "PNG")
    return target.getvalue()


def encode_image(request: EncodeRequest) -> bytes:
    """Return the image as png, jpeg or webp, with its colour profile; a JPEG lies on white."""
    picture = ImageOps.exif_transpose(_open(request.file))
    profile = picture.info.get("icc_profile")
    picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    target = BytesIO()
    match request.output_format:
        case "jpeg":
            quality = min(QUALITY_MAX, max(1, request.compression))
            _on_white(picture).save(target, "JPEG", quality=quality, icc_profile=profile)
        case "webp":
            picture.save(target, "WEBP", quality=request.compression, icc_profile=profile)
        case _:
            picture.save(target, "PNG", icc_profile=profile)
    return target.getvalue()


def blur_image(request: BlurRequest) -> bytes:
    """Return the image as png of the same size, in sixteen blurred grains by its longer side."""
    picture = ImageOps.exif_transpose(_open(request.file)).convert("RGBA")
    size = picture.size
    grain = max(1, max(size) // BLURRED_SIDE_PX)
    # What is smaller than a grain is gone for good; a filter alone could be undone in part.
    coarse = picture.resize(
        (max(1, size[0] // grain), max(1, size[1] // grain)), Image.Resampling.BOX
    )
    target = BytesIO()
    coarse.resize(size, Image.Resampling.BICUBIC).save(target, "PNG")
    return target.getvalue()


def _open(file: Stored) -> Picture:
    """Return the decoded picture; its header is checked first."""
    try:
        picture = Image.open(BytesIO(_read(file)), formats=_FORMATS)
        if picture.width * picture.height > INPUT_PIXELS_MAX:
            raise UnreadableImageError(
                f"an image of {picture.width}x{picture.height} px is over {INPUT_PIXELS_MAX} px"
            )
        picture.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableImageError("it is no whole png, jpeg or webp file") from error
    return picture


def _read(file: Stored) -> bytes:
    data = file.data
    if file.path:
        with Path(file.path).open("rb") as source:
            source.seek(file.offset)
            data = source.read(file.length)
    if file.is_escaped:
        data = data.replace(b"\\", b"")
    if file.is_base64:
        data = pybase64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
    return data


def _on_white(picture: Picture) -> Picture:
    if picture.mode == "RGB":
        return picture
    ground = Image.new("RGB", picture.size, _WHITE)
    ground.paste(picture, mask=picture.getchannel("A"))
    return ground
