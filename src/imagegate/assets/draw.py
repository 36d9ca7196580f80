"""The sandbox's pictures: the prompt, large, on a background that its hash decides.

Same request, same bytes. A footer names the model and says `sandbox`, so that nobody takes one
for a real image. Runs in the worker process only (`worker.py`).
"""

import colorsys
import hashlib
from collections.abc import Iterator
from io import BytesIO
from typing import TypeAlias

from msgspec import Struct
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from imagegate.assets import lettering
from imagegate.assets.svg_drawing import build_svg
from imagegate.assets.transform import Drawing, DrawRequest

INPUT_PIXELS_MAX = 40_000_000
EDGE_PX_MAX = 3840
AUTO_SIZE = (1024, 1024)
AUTO_FRAME_SIZE = (720, 720)
DRAFT_PX_MAX = 160

_INPUT_FORMATS = ("PNG", "JPEG", "WEBP")
_WHITE = (255, 255, 255)
_PANEL = (14, 16, 28, 168)
_CIRCLE_COUNT = 6

Picture: TypeAlias = Image.Image
Size: TypeAlias = tuple[int, int]
Colour: TypeAlias = tuple[int, int, int]


class UnreadableImageError(Exception):
    """An input is no image of a type or size that is read here."""


class Palette(Struct, frozen=True):
    """What the hash of a prompt decides: four corner colours and the numbers for the shapes."""

    corners: tuple[Colour, ...]
    numbers: bytes


def draw(request: DrawRequest) -> Drawing:
    """Return the picture. Raises `UnreadableImageError` where an input cannot be read."""
    if request.output_format == "svg":
        return _draw_svg(request)
    if request.output_format == "gif":
        return _draw_gif(request)
    picture = _compose(request)
    drafts = tuple(encode(draft, request) for draft in _drafts(picture, request.partial_count))
    return _drawing(encode(picture, request), drafts, picture)


def encode(picture: Picture, request: DrawRequest) -> bytes:
    """Return `picture` as a png, jpeg or webp file."""
    target = BytesIO()
    match request.output_format:
        case "jpeg":
            quality = min(95, max(1, request.compression))
            picture.convert("RGB").save(target, "JPEG", quality=quality)
        case "webp":
            picture.save(target, "WEBP", quality=request.compression, method=2)
        case _:
            picture.save(target, "PNG", compress_level=3)
    return target.getvalue()


def _compose(request: DrawRequest) -> Picture:
    if not request.images:
        return _generate(request, _size(request, AUTO_SIZE))
    inputs = [_read(data) for data in request.images]
    size = _size(request, _bounded(inputs[0].size))
    base = _as_asked(_fitted(inputs[0], size), request)
    if request.mask is not None:
        return _repaint(base, _read(request.mask), request)
    _add_strip(base, inputs[1:])
    return _with_banner(base, request)


def _size(request: DrawRequest, automatic: Size) -> Size:
    return (request.width_px, request.height_px) if request.width_px else automatic


def _drawing(data: bytes, drafts: tuple[bytes, ...], picture: Picture) -> Drawing:
    return Drawing(data, drafts, picture.width, picture.height, picture.mode == "RGBA")


# Generating


def _generate(request: DrawRequest, size: Size, *, turn: float = 0.0) -> Picture:
    palette = _palette(request)
    picture = _background(palette, size, turn)
    if request.background == "transparent":
        picture.putalpha(_card(size))
    return _with_prompt(picture, request)


def _palette(request: DrawRequest) -> Palette:
    seed = f"{request.prompt}\0{request.index}".encode("utf-8", "replace")
    numbers = hashlib.shake_256(seed).digest(8 * _CIRCLE_COUNT + 1)
    hue = numbers[-1] / 256
    steps = ((0.0, 0.62, 0.86), (0.09, 0.68, 0.68), (0.2, 0.6, 0.52), (0.32, 0.7, 0.4))
    return Palette(tuple(_colour(hue + step, full, light) for step, full, light in steps), numbers)


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _background(palette: Palette, size: Size, turn: float) -> Picture:
    """Return four colours that melt into each other, with soft circles; `turn` is 0 to 1."""
    # Drawn small and enlarged: soft edges for nothing, and large sizes stay cheap.
    small = _scaled(size, 512)
    corners = Image.new("RGB", (2, 2))
    corners.putdata(palette.corners)
    picture = corners.resize(small, Image.Resampling.BICUBIC)
    for number in range(_CIRCLE_COUNT):
        _add_circle(picture, palette.numbers[8 * number : 8 * number + 8], turn)
    return picture.resize(size, Image.Resampling.BICUBIC)


def _add_circle(picture: Picture, numbers: bytes, turn: float) -> None:
    width, height = picture.size
    radius = min(width, height) * (0.1 + 0.3 * numbers[0] / 255)
    x = (numbers[1] / 255 + turn * (1 if numbers[5] & 1 else -1)) % 1.0 * width
    y = numbers[2] / 255 * height
    shape = Image.new("L", picture.size)
    strength = 26 + numbers[3] % 40
    ImageDraw.Draw(shape).ellipse((x - radius, y - radius, x + radius, y + radius), fill=strength)
    light = _WHITE if numbers[4] & 1 else _colour(numbers[6] / 255, 0.5, 1.0)
    picture.paste(light, mask=shape.filter(ImageFilter.GaussianBlur(1 + numbers[7] % 5)))


def _card(size: Size) -> Picture:
    """Return the alpha of a card with round corners, clear around it."""
    edge = round(min(size) * 0.05)
    box = (edge, edge, size[0] - edge, size[1] - edge)
    shape = Image.new("L", size)
    ImageDraw.Draw(shape).rounded_rectangle(box, radius=round(min(size) * 0.09), fill=255)
    return shape.filter(ImageFilter.GaussianBlur(1))


def _with_prompt(picture: Picture, request: DrawRequest) -> Picture:
    width, height = picture.size
    unit = min(width, height)
    padding, room = round(unit * 0.06), (round(width * 0.72), round(height * 0.62))
    block = lettering.fit(
        request.prompt, *room, largest_px=round(unit * 0.13), smallest_px=max(10, unit // 50)
    )
    left, top = (width - room[0]) // 2, (height - block.height_px) // 2 - round(unit * 0.02)
    box = (left - padding, top - padding, left + room[0] + padding, top + block.height_px + padding)
    picture = _darkened(picture, box, radius=round(unit * 0.04))
    canvas = ImageDraw.Draw(picture)
    centred = room[0] if len(block.lines) <= 4 else 0
    lettering.write(canvas, block, (left, top), fill=_WHITE, centred_in_px=centred)
    return _with_footer(picture, request)


def _with_footer(picture: Picture, request: DrawRequest) -> Picture:
    width, height = picture.size
    unit = min(width, height)
    block = lettering.fit(
        _footer(request, picture.size),
        round(width * 0.8),
        unit // 20,
        largest_px=max(11, unit // 38),
        smallest_px=8,
    )
    bottom = height - round(unit * (0.075 if request.background == "transparent" else 0.03))
    pad = block.size_px // 2
    left, top = (width - block.width_px) // 2, bottom - block.height_px - pad
    box = (left - 2 * pad, top - pad, left + block.width_px + 2 * pad, bottom)
    picture = _darkened(picture, box, radius=2 * pad)
    lettering.write(ImageDraw.Draw(picture), block, (left, top - pad // 4), fill=_WHITE)
    return picture


def _footer(request: DrawRequest, size: Size) -> str:
    parts = ["sandbox", request.model, f"{size[0]}x{size[1]}", request.quality]
    if request.count > 1:
        parts.append(f"{request.index + 1} of {request.count}")
    return " · ".join(part for part in parts if part)


def _darkened(picture: Picture, box: tuple[int, int, int, int], *, radius: int) -> Picture:
    # Drawn at twice the size and reduced, for smooth corners.
    size = (2 * (box[2] - box[0]), 2 * (box[3] - box[1]))
    panel = Image.new("RGBA", size, (*_PANEL[:3], 0))
    corner = (0, 0, size[0] - 1, size[1] - 1)
    ImageDraw.Draw(panel).rounded_rectangle(corner, radius=2 * radius, fill=_PANEL)
    joined = picture.convert("RGBA")
    joined.alpha_composite(panel.reduce(2), (max(0, box[0]), max(0, box[1])))
    return joined if picture.mode == "RGBA" else joined.convert("RGB")


# Editing


def _read(data: bytes) -> Picture:
    """Return an input as RGB or, where it has transparency, RGBA; its header is checked first."""
    try:
        source = Image.open(BytesIO(data), formats=_INPUT_FORMATS)
        if source.width * source.height > INPUT_PIXELS_MAX:
            raise UnreadableImageError(
                f"an input of {source.width}x{source.height} px is over {INPUT_PIXELS_MAX} px"
            )
        turned = ImageOps.exif_transpose(source)
        return turned.convert("RGBA" if turned.has_transparency_data else "RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableImageError("an input is no whole png, jpeg or webp file") from error


def _fitted(picture: Picture, size: Size) -> Picture:
    if picture.size == size:
        return picture
    return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)


def _as_asked(base: Picture, request: DrawRequest) -> Picture:
    match request.background:
        case "transparent":
            return base.convert("RGBA")
        case "opaque":
            return base.convert("RGB")
        case _:
            return base


def _repaint(base: Picture, mask: Picture, request: DrawRequest) -> Picture:
    """Return `base` with a new picture where the mask is clear; all other pixels stay."""
    alpha = mask.convert("RGBA").resize(base.size, Image.Resampling.NEAREST).getchannel("A")
    clear = alpha.point([255] + [0] * 255)
    box = clear.getbbox()
    if box is None:
        return base
    size = (box[2] - box[0], box[3] - box[1])
    paint = base.copy()
    paint.paste(_patch(request, size), box)
    return Image.composite(paint, base, clear)


def _patch(request: DrawRequest, size: Size) -> Picture:
    picture = _background(_palette(request), size, 0.0)
    room = (max(1, round(size[0] * 0.84)), max(1, round(size[1] * 0.84)))
    block = lettering.fit(request.prompt, *room, largest_px=min(size) // 4 or 1, smallest_px=8)
    canvas = ImageDraw.Draw(picture)
    place = ((size[0] - room[0]) // 2, (size[1] - block.height_px) // 2)
    shadow = (place[0] + 1 + block.size_px // 20, place[1] + 1 + block.size_px // 20)
    lettering.write(canvas, block, shadow, fill=(20, 20, 30), centred_in_px=room[0])
    lettering.write(canvas, block, place, fill=_WHITE, centred_in_px=room[0])
    return picture


def _with_banner(base: Picture, request: DrawRequest) -> Picture:
    width, height = base.size
    unit = min(base.size)
    room = (round(width * 0.88), round(height * 0.24))
    block = lettering.fit(
        request.prompt, *room, largest_px=round(unit * 0.07), smallest_px=max(10, unit // 60)
    )
    pad = round(unit * 0.03)
    top = height - round(unit * 0.125) - block.height_px
    picture = _darkened(base, (0, top - pad, width, height), radius=0)
    place = ((width - room[0]) // 2, top)
    lettering.write(ImageDraw.Draw(picture), block, place, fill=_WHITE, centred_in_px=room[0])
    return _with_footer(picture, request)


def _add_strip(base: Picture, others: list[Picture]) -> None:
    """Show the further inputs as a row of small pictures along the top of `base`."""
    if not others:
        return
    gap = max(2, min(base.size) // 60)
    edge = min(min(base.size) // 5, (base.width - gap) // len(others) - gap)
    for number, other in enumerate(others):
        tile = ImageOps.expand(
            _fitted(other.convert("RGB"), (edge - 4, edge - 4)), border=2, fill=_WHITE
        )
        base.paste(tile, (gap + number * (edge + gap), gap))


def _bounded(size: Size) -> Size:
    """Return the size of an input, made smaller where no model answers that large."""
    return size if max(size) <= EDGE_PX_MAX else _scaled(size, EDGE_PX_MAX)


def _scaled(size: Size, edge_px: int) -> Size:
    factor = edge_px / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


# Drafts and other formats


def _drafts(picture: Picture, count: int) -> Iterator[Picture]:
    """Yield `count` previews, each with more detail than the one before."""
    finest_px = min(DRAFT_PX_MAX, max(picture.size) // 2)
    for number in range(count):
        detail = _scaled(picture.size, max(1, finest_px >> (count - 1 - number)))
        rough = picture.resize(detail, Image.Resampling.BOX)
        yield rough.resize(picture.size, Image.Resampling.BICUBIC)


def _draw_gif(request: DrawRequest) -> Drawing:
    if request.images:
        frames = [_compose(request).convert("RGB")]  # an edit stands still
    else:
        size = _size(request, AUTO_FRAME_SIZE)
        turns = [number / request.frame_count for number in range(request.frame_count)]
        frames = [_generate(request, size, turn=turn).convert("RGB") for turn in turns]
    target = BytesIO()
    frames[0].save(
        target,
        "GIF",
        save_all=True,
        append_images=frames[1:],
        duration=request.frame_duration_ms,
        loop=0,
    )
    return _drawing(target.getvalue(), (), frames[0])


def _draw_svg(request: DrawRequest) -> Drawing:
    base = _compose(request) if request.images else None
    size = base.size if base else _size(request, AUTO_SIZE)
    unit = min(size)
    room = (round(size[0] * 0.76), round(size[1] * 0.66))
    block = lettering.fit(
        request.prompt, *room, largest_px=round(unit * 0.13), smallest_px=max(10, unit // 50)
    )
    corners = _palette(request).corners
    document = build_svg(size, corners, block, _footer(request, size))
    return Drawing(document, (), *size, is_transparent=False)
