"""What finished images cost where they are charged by the piece or by their pixels. Pure.

Money is an integer of 1e-10 USD, fractions rounded up.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from imagegate.catalogue.geometry import AREA_PX_MAX, Pixels, nearest_resolution, parse_size
from imagegate.catalogue.model import Model, Price, TokenRange
from imagegate.catalogue.shape import pixels_of
from imagegate.types import Blob, ImageCall

MEGAPIXEL_PX = 1024 * 1024
"""A begun megapixel, where the first one has a price of its own."""

EXPECTED_PX = (1024, 1024)
"""What a size that the model chooses is expected to be."""


def charge_range(model: Model, price: Price, call: ImageCall) -> TokenRange | None:
    """Return the least, the expected and the most that the images of `call` may cost."""
    one = _range_of_one(model, price, call)
    if one is None:
        return None
    inputs = (price.input_image_e10 or 0) * len(call.images)
    least, expected, most = one
    return least * call.n + inputs, expected * call.n + inputs, most * call.n + inputs


def charge_for(model: Model, price: Price, call: ImageCall, made: Sequence[Blob]) -> int | None:
    """Return what the images that were made cost; None where one has no known price."""
    total_e10 = (price.input_image_e10 or 0) * len(call.images)
    for blob in made:
        cost_e10 = _cost_of_one(model, price, call, (blob.width_px, blob.height_px))
        if cost_e10 is None:
            return None
        total_e10 += cost_e10
    return total_e10 if made else None


def _range_of_one(model: Model, price: Price, call: ImageCall) -> TokenRange | None:
    if price.image_e10 is not None:
        return (price.image_e10,) * 3
    if price.images_e10:
        return _listed_range(model, price, call)
    if price.megapixel_e10 is None:
        return None
    least, expected, most = (_pixel_cost(price, size) for size in _pixel_range(model, call))
    return least, expected, most


def _listed_range(model: Model, price: Price, call: ImageCall) -> TokenRange:
    rates = price.images_e10
    exact = _listed(rates, _keys(call, call.resolution or model.default_resolution))
    if exact is not None:
        return exact, exact, exact
    fitting = [rates[key] for key in rates if _may_be(key, call)] or list(rates.values())
    return min(fitting), fitting[0], max(fitting)


def _may_be(key: str, call: ImageCall) -> bool:
    """Return whether `key` contradicts nothing that the call says."""
    known = [word for word in (call.resolution, call.quality) if word]
    return all(word in key.split() for word in known)


def _cost_of_one(model: Model, price: Price, call: ImageCall, made: Pixels) -> int | None:
    if price.image_e10 is not None:
        return price.image_e10
    if price.images_e10:
        return _listed(price.images_e10, _keys(call, _resolution_made(model, price, call, made)))
    if price.megapixel_e10 is None or not all(made):
        return None
    return _pixel_cost(price, made)


def _resolution_made(model: Model, price: Price, call: ImageCall, made: Pixels) -> str:
    """Return the resolution that was asked for, else the one nearest to what came."""
    asked = call.resolution or model.default_resolution
    if asked or not all(made):
        return asked
    tiers = [word for key in price.images_e10 if (word := key.split()[0])[0].isdigit()]
    tiers = [word for word in tiers if parse_size(word) is None]
    return nearest_resolution(*made, tiers) if tiers else ""


def _keys(call: ImageCall, resolution: str) -> Iterable[str]:
    quality = call.quality or ""
    for shape in (call.size or "", resolution):
        yield f"{shape} {quality}".strip()
        yield shape
    yield quality


def _listed(rates: Mapping[str, int], keys: Iterable[str]) -> int | None:
    found = (rates[key] for key in keys if key in rates)
    return next(found, None)


def _pixel_range(model: Model, call: ImageCall) -> tuple[Pixels, Pixels, Pixels]:
    asked = parse_size(call.size or "") or pixels_of(model, call.aspect_ratio, call.resolution)
    if asked:
        return asked, asked, asked
    least = (model.pixels_min, 1) if model.pixels_min else EXPECTED_PX
    return least, EXPECTED_PX, _largest(model)


def _largest(model: Model) -> Pixels:
    """Return the most pixels that the model may choose to make."""
    if model.pixels_max:
        return model.pixels_max, 1
    if model.side_px_max:
        return model.side_px_max, model.side_px_max
    if model.sizes == "flexible":
        return AREA_PX_MAX, 1
    listed = (parse_size(size) or EXPECTED_PX for size in model.sizes if model.sizes != "any")
    return max(listed, key=math.prod, default=EXPECTED_PX)


def _pixel_cost(price: Price, size: Pixels) -> int:
    area_px, rate = size[0] * size[1], price.megapixel_e10 or 0
    if price.first_megapixel_e10 is None:
        return -(-area_px * rate // 1_000_000)
    further = max(0, -(-area_px // MEGAPIXEL_PX) - 1)
    return price.first_megapixel_e10 + further * rate
