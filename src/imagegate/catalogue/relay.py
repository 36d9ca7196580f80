"""What a relayed response costs: the image tool's tokens by the image model's row, the text's by
the prices that the deployment was given. Pure, in 1e-10 USD."""

from collections.abc import Mapping

from imagegate.catalogue.model import Model, Price
from imagegate.catalogue.price import cost_of
from imagegate.types import ImageCall, ImageResult, Json


def relay_charge(
    text_model: Model | None, image_model: Model | None, call: ImageCall, result: ImageResult
) -> int | None:
    """Return what a response cost; None where a part of it has no price or no count."""
    drawn = _drawn(image_model, call, result)
    price = text_model.price if text_model else None
    written = _written(price, result.extra.get("text_usage"))
    return None if drawn is None or written is None else drawn + written


def _drawn(model: Model | None, call: ImageCall, result: ImageResult) -> int | None:
    if result.usage is None:
        return None if result.images else 0
    return cost_of(model, call, result.usage) if model else None


def _written(price: Price | None, usage: Json) -> int | None:
    """Return the cost of the text tokens; cached ones at their own rate, where there is one."""
    if price is None or price.text_in_e10 is None or price.text_out_e10 is None:
        return None
    if not isinstance(usage, Mapping):
        return None
    read, made = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    details = usage.get("input_tokens_details")
    cached = _count(details, "cached_tokens") if isinstance(details, Mapping) else 0
    if read is None or made is None:
        return None
    cached = min(cached or 0, read)
    cached_e10 = price.text_in_e10 if price.text_in_cached_e10 is None else price.text_in_cached_e10
    return (read - cached) * price.text_in_e10 + cached * cached_e10 + made * price.text_out_e10


def _count(usage: Mapping[str, Json], name: str) -> int | None:
    value = usage.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
