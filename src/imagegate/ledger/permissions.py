"""What an account may ask for, held against a call. Pure."""

from imagegate.catalogue.geometry import parse_size
from imagegate.config.patterns import matches
from imagegate.errors import BadRequestError, PermissionDeniedError
from imagegate.ledger.people import Account
from imagegate.types import ImageCall

QUALITIES = ("low", "standard", "medium", "high", "hd", "xhigh", "max")
"""From the simplest to the best; `standard` and `hd` are what `medium` and `high` are to others."""
_RANKS = {"low": 1, "standard": 2, "medium": 2, "high": 3, "hd": 3, "xhigh": 4, "max": 5}


def may_use(group: str, account: Account) -> bool:
    """Return whether an account may use the model group `group` at all."""
    return all(not may.models or matches(may.models, group) for _, may in account.permissions)


def check_asked(call: ImageCall, group: str, account: Account) -> None:
    """Pass a call for the model group `group`. Raises `PermissionDeniedError` naming the limit."""
    for whose, may in account.permissions:
        if may.models and not matches(may.models, group):
            raise PermissionDeniedError(
                f"The {whose} may use {', '.join(may.models)}, not {group!r}.", param="model"
            )
        if may.operations and call.operation not in may.operations:
            raise PermissionDeniedError(
                f"The {whose} may {', '.join(may.operations)}, not {call.operation}."
            )
        if may.n_max is not None and call.n > may.n_max:
            raise PermissionDeniedError(
                f"The {whose} may ask for {may.n_max} images a call, not {call.n}.", param="n"
            )


def check_sent(call: ImageCall, account: Account) -> None:
    """Pass a call as it would be sent: what a model may choose by itself is not within a limit.

    Raises `PermissionDeniedError`, or `BadRequestError` where a value has to be named.
    """
    for whose, may in account.permissions:
        if may.size_px_max is not None:
            _check_size(whose, may.size_px_max, call)
        if may.quality_max is not None:
            _check_quality(whose, may.quality_max, call)


def _check_size(whose: str, size_px_max: int, call: ImageCall) -> None:
    pixels = parse_size(call.size or "")
    if pixels is None:
        raise BadRequestError(
            f"The {whose} may ask for at most {size_px_max} pixels, so give 'size' as "
            "WIDTHxHEIGHT; a size that the model chooses may be larger.",
            param="size",
        )
    if pixels[0] * pixels[1] > size_px_max:
        raise PermissionDeniedError(
            f"The {whose} may ask for at most {size_px_max} pixels, and {call.size} has "
            f"{pixels[0] * pixels[1]}.",
            param="size",
        )


def _check_quality(whose: str, quality_max: str, call: ImageCall) -> None:
    rank = _RANKS.get(call.quality or "")
    if rank is None:
        raise BadRequestError(
            f"The {whose} may ask for at most quality {quality_max!r}, so give 'quality'; one "
            "that the model chooses may be higher.",
            param="quality",
        )
    if rank > _RANKS[quality_max]:
        raise PermissionDeniedError(
            f"The {whose} may ask for at most quality {quality_max!r}, not {call.quality!r}.",
            param="quality",
        )
