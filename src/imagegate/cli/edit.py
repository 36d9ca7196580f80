"""`imagegate edit`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from imagegate.cli.making import make_images
from imagegate.client.calls import image_edit
from imagegate.errors import BadRequestError


def edit(
    *images_and_prompt: Annotated[str, Parameter(name="IMAGE... PROMPT")],
    mask: str | None = None,
    model: str | None = None,
    size: str | None = None,
    quality: str | None = None,
    n: int = 1,
    output_format: str | None = None,
    background: str | None = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    stream: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
    idempotency_key: str | None = None,
    config: Path | None = None,
) -> int:
    """Edit one or more images with a prompt.

    Parameters
    ----------
    images_and_prompt
        Up to 16 files or https URLs (PNG, JPEG, WebP), then what to change.
    mask
        PNG as large as the first image; its transparent pixels are changed.
    model
        provider/name, or a model group of --config.
    size
        WIDTHxHEIGHT in px, or auto.
    quality
        auto, low, medium, high; newer models also xhigh and max.
    n
        How many images.
    output_format
        png, jpeg or webp; else the suffix of --output decides.
    background
        auto, opaque or transparent.
    output
        File or folder. Without it image.png, image-2.png: nothing is overwritten.
    stream
        Show two previews while the image is made; most providers charge for them.
    json
        Print one JSON object, and nothing else.
    idempotency_key
        Sent to OpenAI-compatible servers; one that honours it makes the same image once.
    config
        Configuration file, as for serve; without it keys of the environment are used.
    """
    if len(images_and_prompt) < 2:
        raise BadRequestError("edit needs at least one image, and then the prompt in quotes")
    *images, prompt = images_and_prompt
    if Path(prompt).suffix and Path(prompt).is_file():
        raise BadRequestError(f"{prompt!r} is a file; the prompt comes last, in quotes")
    return make_images(
        image_edit,
        images,
        prompt,
        mask=mask,
        model=model,
        size=size,
        quality=quality,
        n=n,
        output_format=output_format,
        background=background,
        stream=stream,
        idempotency_key=idempotency_key,
        config=config,
        output=output,
        as_json=json,
    )
