"""What a call may cost, and what one did. Money is an integer of 1e-10 USD; unknown is None.

Rates are whole numbers of 1e-10 USD a token, so that every product is exact.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from msgspec import UNSET, Struct
from msgspec.structs import replace

from imagegate.catalogue.geometry import AREA_PX_MAX, AREA_PX_MIN, RATIO_MAX, parse_size
from imagegate.catalogue.model import Model, OutputTokens, Price, TokenRange
from imagegate.catalogue.piecework import charge_for, charge_range
from imagegate.types import Blob, ImageCall, ImageResult, TokenDetails, Usage

PARTIAL_IMAGE_TOKENS = 100
"""What each partial image adds to the output."""

PROMPT_CHARS_PER_TOKEN = 4
PROMPT_TOKENS_OVERHEAD = 16
"""Tokens that the upstream may add around a prompt; counted in the highest estimate only."""

EXPECTED_SIZE = "1024x1024"
"""What `size: auto` is expected to become."""

_E10_DIGITS = 10


class PriceRange(Struct, frozen=True):
    """The least, the expected and the most that a call may cost, in 1e-10 USD."""

    lowest_e10: int
    expected_e10: int
    highest_e10: int


def sum_prices(prices: Iterable[PriceRange]) -> PriceRange:
    """Return what several requests may cost together."""
    ranges = ((one.lowest_e10, one.expected_e10, one.highest_e10) for one in prices)
    return PriceRange(*(sum(costs) for costs in zip(*ranges, strict=True)))


def formula_tokens(base: int, width: int, height: int) -> int:
    """Return the output tokens of an image of `width` x `height` px at the base factor `base`.

    `ceil(b * r * (2,000,000 + W * H) / 4,000,000)` with `r = b * short / long`, rounded half to
    even.
    """
    ratio = _divide_half_even(base * min(width, height), max(width, height))
    return _area_tokens(base, ratio, width * height)


def estimate(model: Model, call: ImageCall) -> PriceRange | None:
    """Return what `call` may cost at `model`, or None where that is unknown.

    Where the model chooses size or quality, the range covers all that it may choose. Input images
    without a known rule are counted with the row's bounds. The highest value counts the input once
    for each of the `n` images, the others once.
    """
    price = model.price
    if price is None:
        return None
    if price.is_free:
        return PriceRange(0, 0, 0)
    ranges: list[TokenRange | None] = []
    if price.has_token_rates:
        ranges.append(_token_charges(model, price, call))
    if price.has_image_rates:
        ranges.append(charge_range(model, price, call))
    known = [one for one in ranges if one is not None]
    if not known or len(known) < len(ranges):
        return None
    lowest, expected, highest = zip(*known, strict=True)
    return PriceRange(sum(lowest), sum(expected), sum(highest))


def _token_charges(model: Model, price: Price, call: ImageCall) -> TokenRange | None:
    output = _output_range(model, call)
    if output is None or model.output_tokens is None:
        return None
    inputs = zip(
        _prompt_range(call.prompt), _images_range(model, call), (1, 1, call.n), strict=True
    )
    texts = model.output_tokens.text
    costs = [
        _charge(price, TokenDetails(text * times, image * times), TokenDetails(said, tokens))
        for (text, image, times), tokens, said in zip(
            inputs, output, (count * call.n for count in texts), strict=True
        )
    ]
    lowest, expected, highest = costs
    if lowest is None or expected is None or highest is None:
        return None
    return lowest, expected, highest


def charge_of(model: Model | None, call: ImageCall, result: ImageResult) -> int | None:
    """Return what `call` cost by what it brought, in 1e-10 USD; None where that is unknown.

    What the upstream itself says that it charged comes before anything that we work out, except by
    a price of the operator's own.
    """
    is_own = model is not None and model.price is not None and model.price.is_own
    if model is None or (result.cost_e10 is not None and not is_own):
        return result.cost_e10
    made = [image.blob for image in result.images if image.blob is not None]
    return cost_of(model, call, result.usage, made)


def cost_of(
    model: Model, call: ImageCall, usage: Usage | None, made: Sequence[Blob] = ()
) -> int | None:
    """Return what the call cost by the `usage` that the upstream reported, in 1e-10 USD.

    `made` are the images, for models that charge by the image. None where it is unknown: no
    usage, a token class without a price, or an SVG of a model that charges tokens, whose author
    model is billed apart. Output without details is all image.
    """
    price = model.price
    if price is None:
        return None
    if price.is_free:
        return 0
    costs: list[int | None] = []
    if price.has_token_rates:
        is_known = usage is not None and call.output_format != "svg"
        costs.append(_usage_charge(price, call, usage) if usage and is_known else None)
    if price.has_image_rates:
        costs.append(charge_for(model, price, call, made))
    total_e10 = 0
    for cost_e10 in costs:
        if cost_e10 is None:
            return None
        total_e10 += cost_e10
    return total_e10 if costs else None


def _usage_charge(price: Price, call: ImageCall, usage: Usage) -> int | None:
    return _charge(price, _input_details(call, usage), _output_details(usage))


@lru_cache(maxsize=1024)
def format_usd(e10: int) -> str:
    """Return an amount of 1e-10 USD as exact decimal USD: `"0.0129"`, `"0"`, `"12.5"`."""
    whole, fraction = divmod(abs(e10), 10**_E10_DIGITS)
    text = f"{whole}.{fraction:0{_E10_DIGITS}d}".rstrip("0").rstrip(".")
    return f"-{text}" if e10 < 0 else text


def _divide_half_even(numerator: int, denominator: int) -> int:
    quotient, rest = divmod(numerator, denominator)
    doubled = 2 * rest
    return quotient + (doubled > denominator or (doubled == denominator and quotient % 2))


def _area_tokens(base: int, ratio: int, area_px: int) -> int:
    return -(-base * ratio * (2_000_000 + area_px) // 4_000_000)


def _charge(price: Price, used: TokenDetails, made: TokenDetails) -> int | None:
    cached_text, cached_image = _cached(used)
    text_cached_e10, image_cached_e10 = price.text_in_cached_e10, price.image_in_cached_e10
    classes = (
        (used.text_tokens - cached_text, price.text_in_e10),
        (cached_text, price.text_in_e10 if text_cached_e10 is None else text_cached_e10),
        (used.image_tokens - cached_image, price.image_in_e10),
        (cached_image, price.image_in_e10 if image_cached_e10 is None else image_cached_e10),
        (made.text_tokens, price.text_out_e10),
        (made.image_tokens, price.image_out_e10),
    )
    if any(tokens and rate is None for tokens, rate in classes):
        return None
    return sum(tokens * (rate or 0) for tokens, rate in classes)


def _cached(used: TokenDetails) -> tuple[int, int]:
    """Return the cached tokens by class; they are text first, whose discount is the smaller one."""
    cached = used.cached_tokens or 0
    text = min(cached, used.text_tokens)
    return text, min(cached - text, used.image_tokens)


def _input_details(call: ImageCall, usage: Usage) -> TokenDetails:
    """Return the input by class; what the upstream left unexplained counts as the dearer class."""
    known = usage.input_tokens_details
    rest = max(0, usage.input_tokens - known.text_tokens - known.image_tokens)
    if call.operation == "generate":
        return replace(known, text_tokens=known.text_tokens + rest)
    return replace(known, image_tokens=known.image_tokens + rest)


def _output_details(usage: Usage) -> TokenDetails:
    known = usage.output_tokens_details
    if known is UNSET:
        return TokenDetails(0, usage.output_tokens)
    rest = max(0, usage.output_tokens - known.text_tokens - known.image_tokens)
    return TokenDetails(known.text_tokens, known.image_tokens + rest)


def _prompt_range(prompt: str) -> TokenRange:
    expected = -(-len(prompt) // PROMPT_CHARS_PER_TOKEN)
    return 0, expected, len(prompt.encode("utf-8", "replace")) + PROMPT_TOKENS_OVERHEAD


def _images_range(model: Model, call: ImageCall) -> TokenRange:
    count = len(call.images) + (call.markup is not None)
    least, expected, most = model.input_image_tokens
    return least * count, expected * count, most * count


def _output_range(model: Model, call: ImageCall) -> TokenRange | None:
    rule = model.output_tokens
    if rule is None or call.output_format == "svg":
        return None
    if rule.resolutions:
        return _resolution_range(rule, model, call)
    ranges = [
        tokens for quality in _qualities(rule, call) if (tokens := _range(rule, quality, call))
    ]
    expected = _range(rule, _expected_quality(rule, call), call)
    if not ranges or expected is None:
        return None
    least, most = min(low for low, _, _ in ranges), max(high for _, _, high in ranges)
    partials = PARTIAL_IMAGE_TOKENS * (call.partial_images or 0) * call.stream
    return least * call.n, (expected[1] + partials) * call.n, (most + partials) * call.n


def _resolution_range(rule: OutputTokens, model: Model, call: ImageCall) -> TokenRange:
    counts = rule.resolutions
    sent = call.resolution or model.default_resolution
    if sent in counts:
        return (counts[sent] * call.n,) * 3
    least, *_ = tokens = [count * call.n for count in counts.values()]
    return min(tokens), least, max(tokens)


def _expected_quality(rule: OutputTokens, call: ImageCall) -> str:
    return rule.auto_quality if call.quality in (None, "auto") else str(call.quality)


def _qualities(rule: OutputTokens, call: ImageCall) -> Iterable[str]:
    if call.quality not in (None, "auto"):
        return (str(call.quality),)
    return rule.bases or {quality for row in rule.table.values() for quality in row}


def _range(rule: OutputTokens, quality: str, call: ImageCall) -> TokenRange | None:
    if rule.table:
        return _table_range(rule, quality, call.size)
    base = rule.bases.get(quality)
    if base is None:
        return None
    percent = rule.percent.get(quality, (100, 100, 100))
    return _scaled(_formula_range(base, call), percent)


def _table_range(rule: OutputTokens, quality: str, size: str | None) -> TokenRange | None:
    row = rule.table.get(size or "")
    rows = [row] if row else list(rule.table.values())
    counts = [tokens[quality] for tokens in rows if quality in tokens]
    if not counts:
        return None
    expected = rule.table.get(EXPECTED_SIZE, {}).get(quality, counts[0])
    return min(counts), expected if len(counts) > 1 else counts[0], max(counts)


def _formula_range(base: int, call: ImageCall) -> TokenRange:
    """Return exact tokens for a given size; for a free choice (and a gif's sheet) the bounds.

    The bounds are the formula's at the narrowest shape with the least area, and at the square
    with the largest: no valid size lies outside.
    """
    pixels = parse_size(call.size or "")
    if pixels and call.output_format != "gif":
        return (formula_tokens(base, *pixels),) * 3
    narrowest = _divide_half_even(base, RATIO_MAX)
    width, height = pixels or parse_size(EXPECTED_SIZE) or (0, 0)
    return (
        _area_tokens(base, narrowest, AREA_PX_MIN),
        formula_tokens(base, width, height),
        _area_tokens(base, base, AREA_PX_MAX),
    )


def _scaled(tokens: TokenRange, percent: Sequence[int]) -> TokenRange:
    least, expected, most = (
        -(-count * share // 100) for count, share in zip(tokens, percent, strict=True)
    )
    return least, expected, most
