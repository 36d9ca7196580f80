"""What a request says of its own way: time, retries, fallbacks; within the operator's bounds.

By header, ours or LiteLLM's, or by LiteLLM's fields of the body; a header wins. None of them names
a host or a credential: fallbacks are model groups of this gateway that the caller's key may use.
"""

import json
import math
from collections.abc import Mapping, Sequence

import msgspec

from imagegate.call_options import CallOptions
from imagegate.candidates import deployments_of
from imagegate.config.settings import Settings
from imagegate.errors import BadRequestError, PermissionDeniedError
from imagegate.ledger.permissions import check_asked
from imagegate.types import ImageCall, Json

FALLBACKS_MAX = 8
RETRIES_DIGITS_MAX = 2
_NAMES = {
    "timeout": ("x-imagegate-timeout", "x-litellm-timeout", "timeout"),
    "retries": (
        *("x-imagegate-retries", "x-litellm-num-retries", "x-litellm-max-retries"),
        *("num_retries", "max_retries"),
    ),
    "fallbacks": ("x-imagegate-fallbacks", "fallbacks"),
    "no_fallbacks": ("x-imagegate-disable-fallbacks", "disable_fallbacks"),
}
_HEADERS = frozenset(
    name.encode() for names in _NAMES.values() for name in names if name[:2] == "x-"
)
_FIELDS = frozenset(name for names in _NAMES.values() for name in names if name[:2] != "x-")


def take_overrides(
    call: ImageCall, headers: Mapping[bytes, bytes], options: CallOptions, settings: Settings
) -> tuple[ImageCall, CallOptions]:
    """Return the call without the fields that are about its way, and the options with them.

    Raises `BadRequestError` whose `param` is the field or header, where a value means nothing;
    `NotFoundError` and `PermissionDeniedError` where a fallback is not the caller's to use.
    """
    if _FIELDS.isdisjoint(call.extra) and _HEADERS.isdisjoint(headers):
        return call, options
    said = {name: call.extra[name] for name in _FIELDS & call.extra.keys()}
    if said:
        extra = {name: value for name, value in call.extra.items() if name not in said}
        call = msgspec.structs.replace(call, extra=extra)
    said |= {raw.decode(): headers[raw].decode("latin-1") for raw in _HEADERS & headers.keys()}
    return call, _with(call, options, settings, _Said(said))


class _Said:
    """What was said, by the names under which it was."""

    def __init__(self, said: Mapping[str, Json]) -> None:
        self._said = said

    def find(self, wish: str) -> tuple[str, Json]:
        """Return the name that counts and its value, None for nothing."""
        found = (name for name in _NAMES[wish] if self._said.get(name) is not None)
        name = next(found, "")
        return name, self._said.get(name)


def _with(call: ImageCall, options: CallOptions, settings: Settings, said: _Said) -> CallOptions:
    fallbacks = _fallbacks(*said.find("fallbacks"))
    for name in fallbacks or ():
        _check_fallback(name, call, options, settings)
    if _is_true(*said.find("no_fallbacks")):
        fallbacks = ()
    return msgspec.structs.replace(
        options,
        timeout_s=_timeout_s(*said.find("timeout"), settings.overrides.timeout_s_max),
        retries_max=_retries(*said.find("retries")),
        fallbacks=fallbacks,
    )


def _timeout_s(name: str, value: Json, most_s: float) -> float | None:
    if value is None:
        return None
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 < seconds <= most_s:
        raise _wrong(name, value, f"give seconds above 0 and up to {most_s:g}")
    return seconds


def _retries(name: str, value: Json) -> int | None:
    if value is None:
        return None
    text = str(value).strip()
    if not text.isdecimal() or len(text) > RETRIES_DIGITS_MAX:
        raise _wrong(name, value, "give 0 or more; the operator's limit holds all the same")
    return int(text)


def _is_true(name: str, value: Json) -> bool:
    if value is None or str(value).strip().lower() == "false":
        return False
    if str(value).strip().lower() != "true":
        raise _wrong(name, value, "use true or false")
    return True


def _fallbacks(name: str, value: Json) -> tuple[str, ...] | None:
    """Return the names; a header or a form has them between commas, a form also as JSON."""
    if value is None:
        return None
    listed = _listed(value) if isinstance(value, str) else value
    if not isinstance(listed, list) or len(listed) > FALLBACKS_MAX:
        raise _wrong(name, value, f"give a list of at most {FALLBACKS_MAX} models")
    return tuple(_model_of(name, one) for one in listed)


def _listed(text: str) -> Sequence[Json]:
    if not text.lstrip().startswith("["):
        return [word.strip() for word in text.split(",") if word.strip()]
    try:
        listed: Json = json.loads(text)
    except ValueError:
        return text
    return listed if isinstance(listed, list) else text


def _model_of(name: str, value: Json) -> str:
    """Return a fallback's model. LiteLLM's mappings may say more; hosts and keys stay out here."""
    if isinstance(value, dict) and value.keys() == {"model"}:
        value = value["model"]
    if not isinstance(value, str) or not value:
        raise _wrong(name, value, 'name models, as in ["gpt-image-2"]; a request says no more')
    return value


def _check_fallback(name: str, call: ImageCall, options: CallOptions, settings: Settings) -> None:
    if not settings.overrides.may_fall_back:
        raise PermissionDeniedError(
            "Requests name no fallbacks here (overrides.fallbacks: false).", param="fallbacks"
        )
    check_asked(call, deployments_of(name, settings)[0].group, options.account)


def _wrong(name: str, value: Json, advice: str) -> BadRequestError:
    kind = "header" if name.startswith("x-") else "field"
    return BadRequestError(f"The {kind} {name} is {str(value)[:80]!r}; {advice}.", param=name)
