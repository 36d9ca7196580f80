"""Change only a part of a picture: the transparent pixels of a mask say which.

Runs without a key on the sandbox; set IMAGEGATE_MODEL=openai/gpt-image-2 for a real edit.
"""

import os

from PIL import Image, ImageDraw

from imagegate import image_edit, image_generation

MODEL = os.environ.get("IMAGEGATE_MODEL", "sandbox/gpt-image-2")

room = image_generation("a living room", model=MODEL, size="1024x1024", quality="low")
path = room.images[0].save("room.png")

# As large as the picture, opaque all over, and clear where the window shall be.
mask = Image.new("RGBA", (room.images[0].width, room.images[0].height), "black")
ImageDraw.Draw(mask).rectangle((300, 200, 700, 600), fill=(0, 0, 0, 0))
mask.save("mask.png")

edited = image_edit(path, "a window with a view of the sea", mask="mask.png", model=MODEL)
print(edited.images[0].save("window.png"))
