"""`imagegate generate`."""

from imagegate.cli.making import make_images
from imagegate.cli.picture import MAKING, PICTURE, Making, Picture
from imagegate.client.calls import image_generation


def generate(prompt: str, /, *, picture: Picture = PICTURE, making: Making = MAKING) -> int:
    """Make images from a prompt.

    Parameters
    ----------
    prompt
        What to draw.
    """
    return make_images(image_generation, prompt, picture=picture, making=making)
