"""Size -> what a model takes instead: ratio and resolution, a listed size, free pixels. Pure."""

from msgspec import Struct

from imagegate.catalogue.geometry import (
    Pixels,
    bounded,
    is_same_shape,
    nearest_flexible,
    nearest_listed,
    nearest_ratio,
    nearest_resolution,
    nominal_px,
    parse_ratio,
    parse_size,
)
from imagegate.catalogue.model import Model


class Shape(Struct, frozen=True, kw_only=True):
    """How a size is sent. `is_exact`: what comes out is known to have the size that was asked.

    `pixels` is what comes out as `WIDTHxHEIGHT`, `""` where nobody knows.
    """

    size: str | None = None
    aspect_ratio: str | None = None
    resolution: str | None = None
    pixels: str = ""
    is_exact: bool = False

    def __str__(self) -> str:
        return self.size or " ".join(filter(None, (self.aspect_ratio, self.resolution)))


def shape_for(size: str, model: Model) -> Shape | None:
    """Return how `model` is asked for `size`, None where it takes none at all.

    `size` is `WIDTHxHEIGHT`, or `W:H` where the model has that aspect ratio.
    """
    pixels = parse_size(size)
    if model.aspect_ratios:
        return _ratio_shape(pixels, model) if pixels else Shape(aspect_ratio=size, is_exact=True)
    if pixels is None:
        return Shape(size=size, is_exact=True)
    if model.sizes == "flexible":
        return _free_shape(pixels, nearest_flexible(*pixels))
    if model.sizes == "any":
        return _free_shape(pixels, _nearest_any(pixels, model))
    if not any(parse_size(listed) for listed in model.sizes):
        return None
    listed = nearest_listed(*pixels, model.sizes)
    return Shape(size=listed, pixels=listed, is_exact=listed == size)


def pixels_of(model: Model, aspect_ratio: str | None, resolution: str | None) -> Pixels | None:
    """Return the size in px that comes out, None where nobody knows it."""
    sides = parse_ratio(aspect_ratio or "")
    if sides is None:
        return None
    resolution = resolution or model.default_resolution
    listed = model.ratio_pixels.get(aspect_ratio or "", {}).get(resolution, "")
    if listed:
        return parse_size(listed)
    side_px = nominal_px(resolution)
    return (side_px, side_px) if is_same_shape(sides, (1, 1)) else None


def fits_any(pixels: Pixels, model: Model) -> bool:
    """Return whether a model of free sizes takes this one as it is."""
    return _nearest_any(pixels, model) == pixels


def allowed_shapes(model: Model) -> tuple[str, ...]:
    """Return what may be sent as a size, in words."""
    if model.aspect_ratios:
        return (*model.aspect_ratios, *model.resolutions)
    if model.sizes == "flexible":
        return ("WIDTHxHEIGHT in multiples of 16", "auto")
    if model.sizes == "any":
        return (f"WIDTHxHEIGHT in multiples of {model.size_multiple_px}",)
    return model.sizes


def _ratio_shape(pixels: Pixels, model: Model) -> Shape:
    ratio = nearest_ratio(*pixels, model.aspect_ratios).text
    resolution = nearest_resolution(*pixels, model.resolutions) if model.resolutions else None
    made = pixels_of(model, ratio, resolution)
    return Shape(
        aspect_ratio=ratio,
        resolution=resolution,
        pixels="{}x{}".format(*made) if made else "",
        is_exact=made == pixels,
    )


def _free_shape(asked: Pixels, nearest: Pixels) -> Shape:
    size = "{}x{}".format(*nearest)
    return Shape(size=size, pixels=size, is_exact=nearest == asked)


def _nearest_any(pixels: Pixels, model: Model) -> Pixels:
    return bounded(
        *pixels,
        multiple_px=model.size_multiple_px,
        side_px=(model.side_px_min, model.side_px_max),
        area_px=(model.pixels_min, model.pixels_max),
    )
