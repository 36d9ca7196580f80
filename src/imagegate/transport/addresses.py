"""Which addresses and hosts an untrusted url may lead to. Decides; touches no socket.

A url is taken only where all parsers read the same host in it; the address that it resolves to
must be public, and that very address is connected to (`download.py`).
"""

import ipaddress
import re
from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct
from yarl import URL

AddressPolicy: TypeAlias = Callable[[str], bool]
"""Says whether a textual IP address may be connected to."""

URL_CHARS_MAX = 8192

_DENIED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata at 100.100.100.200
        "168.63.129.16/32",  # Azure's host services, "global" by its number
        "169.254.0.0/16",  # metadata of AWS, Azure, GCP and others
        "192.0.0.0/24",  # OCI's metadata at 192.0.0.192
        "192.88.99.0/24",  # 6to4 relays
        "::/96",  # IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "::ffff:0:0:0/96",  # IPv4-translated
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local use
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
        "fc00::/7",  # unique local; AWS's metadata at fd00:ec2::254
        "fec0::/10",  # site-local
    )
)
_INSIDES = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.100.100.200/32",  # Alibaba's metadata
        "168.63.129.16/32",  # Azure's host services
        "169.254.0.0/16",  # metadata of AWS, Azure, GCP and others
        "192.0.0.0/24",  # OCI's metadata at 192.0.0.192
        "64:ff9b::/96",  # NAT64 leads to any of those above
        "64:ff9b:1::/48",
        "2002::/16",  # and so does 6to4
        "fd00:ec2::/32",  # AWS's metadata at fd00:ec2::254
        "fd20:ce::/32",  # GCP's metadata at fd20:ce::254
        "fe80::/10",
    )
)
_ALLOWED_CHARS = re.compile(r"[!#-\[\]_a-z~]+", re.IGNORECASE)  # no space, control, \ " ^ ` { | }
_HOST_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)


class UrlRefusedError(Exception):
    """A url that is not fetched; the message says why."""


class CheckedUrl(Struct, frozen=True):
    """A url that every parser reads alike. `host` is lower case, an IPv6 address without []."""

    url: str
    scheme: str
    host: str
    port: int

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port."""
        return self.scheme, self.host, self.port

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP address rather than a name."""
        return (
            ":" in self.host or _NUMERIC_LABEL.fullmatch(self.host.rpartition(".")[2]) is not None
        )


def is_public(address: str) -> bool:
    """Return whether `address` is a public unicast address that belongs to no cloud's insides."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False  # also "fe80::1%eth0"
    if not parsed.is_global or parsed.is_multicast:
        return False
    return not any(parsed in network for network in _DENIED if network.version == parsed.version)


def is_outside_clouds(address: str) -> bool:
    """Return whether `address` may be that of a service of the operator's own.

    It may be private or this host; it may not be one behind which a cloud gives out credentials.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    is_inside = any(parsed in network for network in _INSIDES if network.version == parsed.version)
    return not (is_inside or parsed.is_multicast or parsed.is_unspecified)


def is_this_host(address: str) -> bool:
    """Return whether `address` is of the loopback interface."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def check_url(url: str) -> CheckedUrl:
    """Return the parts of an http or https url without its fragment. Raises `UrlRefusedError`."""
    if len(url) > URL_CHARS_MAX:
        raise UrlRefusedError(f"it is longer than {URL_CHARS_MAX} characters")
    if not _ALLOWED_CHARS.fullmatch(url):
        raise UrlRefusedError("it holds characters that a url must percent-encode")
    try:
        parts = urlsplit(url.partition("#")[0])
        port = parts.port
    except ValueError as error:
        raise UrlRefusedError("it is no valid url") from error
    if parts.scheme not in ("http", "https"):
        raise UrlRefusedError("only https urls are fetched")
    if "@" in parts.netloc:
        raise UrlRefusedError("it holds a user name or password; send neither")
    host = _host(parts)
    return CheckedUrl(parts.geturl(), parts.scheme, host, port or _default_port(parts.scheme))


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    is_bracketed = "[" in parts.netloc
    if is_bracketed != (":" in host) or not (_is_plain_address(host) or _is_name(host)):
        raise UrlRefusedError("its host is neither a plain name nor a plain IP address")
    # The client that connects must read the same host; where parsers differ, attacks live.
    if _host_of_client(parts.geturl()) != host:
        raise UrlRefusedError("its host can be read in two ways")
    return host


def _host_of_client(url: str) -> str:
    try:
        return (URL(url, encoded=True).raw_host or "").lower()
    except ValueError:
        return ""


def _is_plain_address(host: str) -> bool:
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host and (parsed.version == 6 or str(parsed) == host)


def _is_name(host: str) -> bool:
    labels = host.split(".")
    if len(host) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in labels):
        return False
    # `127.1`, `0x7f.1` and `2130706433` are addresses to a resolver and names to a parser.
    return not _NUMERIC_LABEL.fullmatch(labels[-1])
