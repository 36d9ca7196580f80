"""Sizes: which there are, and the nearest that a model has. All numbers are px.

A flexible model (gpt-image-2 and later) takes any size whose edges are multiples of 16, whose
ratio is at most 3:1, whose longest edge is at most 3840 and whose area is from 655,360 to
8,294,400 px.
"""

import math
import re
from collections.abc import Iterable
from typing import TypeAlias

from msgspec import Struct

Pixels: TypeAlias = tuple[int, int]
"""Width and height, each > 0."""

EDGE_STEP_PX = 16
EDGE_PX_MAX = 3840
RATIO_MAX = 3
AREA_PX_MIN = 655_360
AREA_PX_MAX = 8_294_400

RATIO_TOLERANCE = 0.02
"""In a list, ratios whose logarithms differ by less than this count as the same shape."""

SHAPE_WEIGHT = 4
"""Among all flexible sizes, a difference in shape counts so much more than one in area."""

NOMINAL_PX = 1024
"""The side of the square that "1K" stands for."""

_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
_RATIO = re.compile(r"([1-9][0-9]{0,4}):([1-9][0-9]{0,4})")
_RESOLUTION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kK]?)")


def parse_size(size: str) -> Pixels | None:
    """Return width and height of `"WIDTHxHEIGHT"`, or None where it is not of that form."""
    match = _SIZE.fullmatch(size)
    return (int(match[1]), int(match[2])) if match else None


def is_valid_flexible(width: int, height: int) -> bool:
    """Return whether a flexible model takes this size."""
    return flexible_fault(width, height) is None


def flexible_fault(width: int, height: int) -> str | None:
    """Return why no flexible model takes this size, as a sentence, or None where it does."""
    if width % EDGE_STEP_PX or height % EDGE_STEP_PX:
        return "Width and height must both be divisible by 16."
    if max(width, height) > RATIO_MAX * min(width, height):
        return "The aspect ratio must be between 1:3 and 3:1."
    if max(width, height) > EDGE_PX_MAX:
        return f"The longest edge may be {EDGE_PX_MAX} px at most."
    if width * height < AREA_PX_MIN:
        return f"Requested resolution is below the minimum pixel budget of {AREA_PX_MIN:,} px."
    if width * height > AREA_PX_MAX:
        return f"Requested resolution is above the maximum pixel budget of {AREA_PX_MAX:,} px."
    return None


def nearest_flexible(width: int, height: int) -> Pixels:
    """Return the valid flexible size nearest to this one, by shape more than by area.

    A valid size is its own nearest.
    """
    wanted = (width, height)
    if is_valid_flexible(width, height):
        return wanted
    return min(
        _flexible_near_ratio(width / height),
        key=lambda pixels: (
            SHAPE_WEIGHT * _ratio_distance(wanted, pixels) + _area_distance(wanted, pixels)
        ),
    )


def nearest_listed(width: int, height: int, sizes: Iterable[str]) -> str:
    """Return the entry of `sizes` nearest to this one: by shape, then by area, then the earlier.

    Entries that are no sizes (`auto`) are passed over; at least one must be a size.
    """
    wanted = (width, height)
    by_pixels = {pixels: size for size in sizes if (pixels := parse_size(size))}
    best = min(_ratio_distance(wanted, pixels) for pixels in by_pixels)
    same_shape = [
        pixels for pixels in by_pixels if _ratio_distance(wanted, pixels) <= best + RATIO_TOLERANCE
    ]
    return by_pixels[min(same_shape, key=lambda pixels: _area_distance(wanted, pixels))]


def _ratio_distance(one: Pixels, other: Pixels) -> float:
    return abs(math.log(one[0] / one[1]) - math.log(other[0] / other[1]))


def _area_distance(one: Pixels, other: Pixels) -> float:
    return abs(math.log(one[0] * one[1]) - math.log(other[0] * other[1]))


def _flexible_near_ratio(ratio: float) -> Iterable[Pixels]:
    """Yield, for every width, the valid sizes whose shape is next to `ratio`, clamped to 3:1."""
    clamped = min(max(ratio, 1 / RATIO_MAX), RATIO_MAX)
    for width in range(EDGE_STEP_PX, EDGE_PX_MAX + 1, EDGE_STEP_PX):
        below = int(width / clamped / EDGE_STEP_PX) * EDGE_STEP_PX
        for height in (below, below + EDGE_STEP_PX):
            if height and is_valid_flexible(width, height):
                yield width, height


class Ratio(Struct, frozen=True):
    """An aspect ratio that a model has, and how far it is from what was asked (in logarithms)."""

    text: str
    distance: float


def parse_ratio(text: str) -> Pixels | None:
    """Return both sides of `"W:H"`, or None where it is not of that form."""
    match = _RATIO.fullmatch(text)
    return (int(match[1]), int(match[2])) if match else None


def nearest_ratio(width: int, height: int, ratios: Iterable[str]) -> Ratio:
    """Return the entry of `ratios` nearest to this shape, the earlier of two as near.

    Entries that are no ratios (`auto`) are passed over; at least one must be a ratio.
    """
    known = [(text, sides) for text in ratios if (sides := parse_ratio(text))]
    text, sides = min(known, key=lambda one: _ratio_distance((width, height), one[1]))
    return Ratio(text, _ratio_distance((width, height), sides))


def is_same_shape(pixels: Pixels, sides: Pixels) -> bool:
    """Return whether both have exactly the same ratio."""
    return pixels[0] * sides[1] == pixels[1] * sides[0]


def nearest_resolution(width: int, height: int, resolutions: Iterable[str]) -> str:
    """Return the entry of `resolutions` ("512", "1K") nearest to this size, the larger of two."""
    side_px = math.sqrt(width * height)
    return min(
        resolutions,
        key=lambda text: (abs(nominal_px(text) - side_px), -nominal_px(text)),
    )


def nominal_px(resolution: str) -> int:
    """Return the side of the square that a resolution stands for: `"2K"` is 2048.

    1024 for a word without a number.
    """
    match = _RESOLUTION.match(resolution)
    if match is None:
        return NOMINAL_PX
    return round(float(match[1]) * (NOMINAL_PX if match[2] else 1))


def bounded(
    width: int,
    height: int,
    *,
    multiple_px: int = 1,
    side_px: tuple[int, int] = (0, 0),
    area_px: tuple[int, int] = (0, 0),
) -> Pixels:
    """Return the size nearest to this one within bounds, its ratio kept as far as they allow.

    `side_px` and `area_px` are the least and the most, 0 for no bound. Scaled as a whole first,
    then rounded to the multiple: down where rounding to the nearest would leave the bounds.
    """
    side_max = side_px[1] or max(width, height)
    area_max = area_px[1] or math.inf
    wanted = width * height
    scale = min(1.0, side_max / max(width, height), math.sqrt(area_max / wanted))
    if scale == 1.0:
        least = max(side_px[0] / min(width, height), math.sqrt(area_px[0] / wanted))
        scale = max(1.0, least)
    sides = [_stepped(side * scale, multiple_px, *side_px) for side in (width, height)]
    while sides[0] * sides[1] > area_max and max(sides) > multiple_px:
        sides[sides.index(max(sides))] -= multiple_px
    return sides[0], sides[1]


def _stepped(side: float, step: int, least: int, most: int) -> int:
    """Return `side` rounded to a multiple of `step` within the bounds, 0 for none."""
    rounded = max(step, math.floor(side / step + 0.5) * step)
    if most:
        rounded = min(rounded, most // step * step)
    return max(rounded, -(-least // step) * step)
