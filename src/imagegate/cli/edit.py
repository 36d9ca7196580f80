"""`imagegate edit`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from imagegate.cli.making import make_images
from imagegate.cli.picture import MAKING, PICTURE, Making, Picture
from imagegate.client.calls import image_edit
from imagegate.errors import BadRequestError


def edit(
    *images_and_prompt: Annotated[str, Parameter(name="IMAGE... PROMPT")],
    mask: str | None = None,
    picture: Picture = PICTURE,
    making: Making = MAKING,
) -> int:
    """Edit one or more images with a prompt.

    Parameters
    ----------
    images_and_prompt
        Up to 16 files or https URLs (PNG, JPEG, WebP), then what to change.
    mask
        PNG as large as the first image; its transparent pixels are changed.
    """
    if len(images_and_prompt) < 2:
        raise BadRequestError("edit needs at least one image, and then the prompt in quotes")
    *images, prompt = images_and_prompt
    if Path(prompt).suffix and Path(prompt).is_file():
        raise BadRequestError(f"{prompt!r} is a file; the prompt comes last, in quotes")
    return make_images(image_edit, images, prompt, mask=mask, picture=picture, making=making)
