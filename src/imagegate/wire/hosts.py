"""Whom a provider's credential may be shown to, and whose urls are believed. Pure."""

from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NEVER_IN_URLS = frozenset("\\@ \t\r\n")


def is_trusted(url: str, origin: str, hosts: Iterable[str]) -> bool:
    """Return whether `url` is of the place that `origin` names, or https on one of `hosts`.

    A host that starts with a dot stands for all names below it (`.bfl.ai`).
    """
    parts = _split(url)
    if parts is None:
        return False
    if _place(parts) == _place(urlsplit(origin)):
        return True
    is_plain_https = parts.scheme == "https" and parts.port in (None, 443)
    return is_plain_https and is_listed(parts.hostname or "", hosts)


def is_listed(host: str, hosts: Iterable[str]) -> bool:
    """Return whether `host` (lower case) is one of `hosts`, or below one that starts with a dot."""
    return any(host.endswith(one) if one.startswith(".") else host == one for one in hosts)


def host_of(url: str) -> str:
    """Return the host of `url` in lower case, `""` where it has none."""
    parts = _split(url)
    return (parts.hostname or "") if parts else ""


def _split(url: str) -> SplitResult | None:
    """Return the parts of a url that every client reads alike, else None."""
    if _NEVER_IN_URLS & set(url.partition("?")[0]):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _place(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)
