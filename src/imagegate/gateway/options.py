"""The `x-imagegate-*` headers of a request, as the options of a call."""

import re
from collections.abc import Mapping

from imagegate.call_options import CallOptions
from imagegate.errors import BadRequestError
from imagegate.ledger.people import OPERATOR, Account
from imagegate.types import AdjustPolicy

END_USER_CHARS_MAX = 256
TAGS_MAX = 16
TAG_CHARS_MAX = 64
_ADJUST, _MAX_COST = b"x-imagegate-adjust", b"x-imagegate-max-cost"
_END_USER, _TAGS = b"x-imagegate-end-user", b"x-imagegate-tags"
_LITELLM_TAGS = b"x-litellm-tags"
_NAMES = frozenset((_ADJUST, _MAX_COST, _END_USER, _TAGS, _LITELLM_TAGS))
_USD = re.compile(r"([0-9]{1,7})(?:\.([0-9]{1,10}))?")
_NO_OPTIONS = CallOptions()


def read_options(headers: Mapping[bytes, bytes], account: Account = OPERATOR) -> CallOptions:
    """Return what the caller, who is `account`, asked of us apart from the image and its way.

    Raises `BadRequestError` whose `param` is the header, where a value means nothing.
    """
    if _NAMES.isdisjoint(headers):
        return _NO_OPTIONS if account is OPERATOR else CallOptions(account=account)
    given = {name: headers[name].decode("latin-1").strip() for name in _NAMES & headers.keys()}
    return CallOptions(
        adjust=_adjust(given.get(_ADJUST)),
        max_cost_e10=_max_cost_e10(given.get(_MAX_COST)),
        end_user=_end_user(given.get(_END_USER, "")),
        tags=_tags(given.get(_TAGS) or given.get(_LITELLM_TAGS, "")),
        account=account,
    )


def _adjust(value: str | None) -> AdjustPolicy | None:
    match value:
        case None:
            return None
        case "nearest":
            return "nearest"
        case "strict":
            return "strict"
    raise _wrong("x-imagegate-adjust", value, "use 'nearest' or 'strict'")


def _max_cost_e10(value: str | None) -> int | None:
    """Return a price limit in 1e-10 USD, exactly as written."""
    if value is None:
        return None
    match = _USD.fullmatch(value)
    if match is None:
        raise _wrong("x-imagegate-max-cost", value, "give USD as a plain number such as 0.20")
    return int(match[1]) * 10**10 + int((match[2] or "0").ljust(10, "0"))


def _end_user(value: str) -> str:
    if len(value) > END_USER_CHARS_MAX:
        advice = f"use at most {END_USER_CHARS_MAX} characters"
        raise _wrong("x-imagegate-end-user", value[:40] + "...", advice)
    return value


def _tags(value: str) -> tuple[str, ...]:
    """Return the words between commas, each once."""
    tags = tuple(dict.fromkeys(tag for part in value.split(",") if (tag := part.strip())))
    if len(tags) > TAGS_MAX or any(len(tag) > TAG_CHARS_MAX for tag in tags):
        advice = f"give at most {TAGS_MAX} tags of at most {TAG_CHARS_MAX} characters"
        raise _wrong("x-imagegate-tags", value[:80], advice)
    return tags


def _wrong(header: str, value: str, advice: str) -> BadRequestError:
    return BadRequestError(f"The header {header} is {value!r}; {advice}.", param=header)
