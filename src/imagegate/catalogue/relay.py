"""What a relayed response may cost, and did: the image tool's tokens by the image model's row, the
text's by the prices that the deployment was given. Pure, in 1e-10 USD."""

from collections.abc import Mapping

import msgspec

from imagegate.catalogue.model import Model, Price
from imagegate.catalogue.price import PROMPT_CHARS_PER_TOKEN, PriceRange, cost_of, estimate
from imagegate.types import ImageCall, ImageResult, Json
from imagegate.wire.responses import BODY, image_tool, is_self_contained

TOOL_CALLS = 1
"""How many images a response is taken to draw at most that sets no `max_tool_calls`."""


def relay_range(
    text_model: Model | None, image_model: Model | None, call: ImageCall
) -> PriceRange | None:
    """Return what a response may cost; None where a part of it has no price or no bound.

    At the highest every tool call draws, and the model reads all of its input again after each. How
    much it writes is bounded by `max_output_tokens`, how much it reads by the request's own bytes,
    or by the deployment's limit where the request refers to more than it holds.
    """
    fields: Mapping[str, Json] = call.extra[BODY]
    text = msgspec.json.encode(fields).decode()
    tool = image_tool(fields)
    tool_calls = (_count(fields, "max_tool_calls") or TOOL_CALLS) if tool else 0
    drawn = _drawn_range(image_model, call, tool, text) if tool else PriceRange(0, 0, 0)
    written = _written_range(text_model, call, text, turns=tool_calls + 1)
    if drawn is None or written is None:
        return None
    highest_e10 = written.highest_e10 + drawn.highest_e10 * tool_calls
    return PriceRange(0, written.expected_e10 + drawn.expected_e10, highest_e10)


def _drawn_range(
    model: Model | None, call: ImageCall, tool: Mapping[str, Json], text: str
) -> PriceRange | None:
    if model is None:
        return None
    asked = msgspec.structs.replace(
        call,
        operation="edit" if call.images else "generate",
        prompt=text,
        partial_images=_count(tool, "partial_images"),
        extra={},
    )
    return estimate(model, asked)


def _written_range(
    model: Model | None, call: ImageCall, text: str, *, turns: int
) -> PriceRange | None:
    price, limits = (model.price, model.traits) if model else (None, {})
    if price is None or price.text_in_e10 is None or price.text_out_e10 is None:
        return None
    fields = call.extra[BODY]
    read = limits.get("max_input_tokens")
    if read is None and is_self_contained(call):
        read = len(text.encode())
    made = _count(fields, "max_output_tokens") or limits.get("max_output_tokens")
    if read is None or made is None:
        return None
    expected_e10 = len(text) // PROMPT_CHARS_PER_TOKEN * price.text_in_e10
    highest_e10 = turns * read * price.text_in_e10 + made * price.text_out_e10
    return PriceRange(0, min(expected_e10, highest_e10), highest_e10)


def relay_charge(
    text_model: Model | None, image_model: Model | None, call: ImageCall, result: ImageResult
) -> int | None:
    """Return what a response cost; None where a part of it has no price or no count."""
    if _was_searched(result):
        return None  # a search has a price of its own, which nobody here knows
    drawn = _drawn(image_model, call, result)
    price = text_model.price if text_model else None
    written = _written(price, result.extra.get("text_usage"))
    return None if drawn is None or written is None else drawn + written


def _drawn(model: Model | None, call: ImageCall, result: ImageResult) -> int | None:
    is_counted = result.usage is not None and result.usage.output_tokens > 0
    if result.usage is None or (result.images and not is_counted):
        return None if result.images else 0
    return cost_of(model, call, result.usage) if model else None


def _was_searched(result: ImageResult) -> bool:
    tools = (result.raw_usage or {}).get("tool_usage")
    search = tools.get("web_search") if isinstance(tools, Mapping) else None
    return isinstance(search, Mapping) and bool(_count(search, "num_requests"))


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
