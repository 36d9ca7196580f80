"""Sizes: which there are, and the nearest that a model has. All numbers are px.

A flexible model (gpt-image-2 and later) takes any size whose edges are multiples of 16, whose
ratio is at most 3:1, whose longest edge is at most 3840 and whose area is from 655,360 to
8,294,400 px.
"""

import math
import re
from collections.abc import Iterable
from typing import TypeAlias

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

_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")


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
