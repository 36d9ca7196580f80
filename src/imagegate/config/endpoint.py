"""The address of an API as users paste it, taken apart: base, deployment, api-version.

A whole URL (`.../openai/deployments/img/images/generations?api-version=...`) is split, never
doubled; anything else stays the base that OpenAI's clients would join their paths to.
"""

import re
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

_OPERATION = re.compile(r"/images/(generations|edits|variations)$")
_DEPLOYMENT = re.compile(r"/openai(?:/v1)?/deployments/([^/]+)$")
_V1 = re.compile(r"/openai/v1$")
_OPENAI = re.compile(r"/openai$")
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class Endpoint(Struct, frozen=True):
    """What a URL says. `base_url` has no trailing slash, no query and no operation.

    `root_url` is the base without Azure's part, `deployment` a name found in it, `api_version` of
    its query; `is_v1` says that it ends in `/openai/v1`.
    """

    base_url: str
    root_url: str
    host: str
    deployment: str = ""
    api_version: str = ""
    is_v1: bool = False


def read_endpoint(url: str) -> Endpoint:
    """Return the parts of `url`. Raises ValueError with a remedy; never quotes user or query."""
    parts = urlsplit(url.strip())
    _check_parts(parts.scheme, parts.netloc, parts.fragment)
    host = parts.hostname
    if not host or parts.port == 0:
        raise ValueError("the URL has no host; write https://HOST/...")
    path = _OPERATION.sub("", parts.path.rstrip("/"))
    base = f"{parts.scheme.lower()}://{parts.netloc}{path}"
    deployment, root_path = _deployment(path)
    is_v1 = not deployment and bool(_V1.search(path))
    return Endpoint(
        base_url=base,
        root_url=f"{parts.scheme.lower()}://{parts.netloc}{root_path}",
        host=host,
        deployment=deployment,
        api_version=_api_version(parts.query),
        is_v1=is_v1,
    )


def _check_parts(scheme: str, netloc: str, fragment: str) -> None:
    if scheme.lower() not in ("http", "https") or not netloc:
        raise ValueError("this is no http or https URL; write https://HOST/...")
    if "@" in netloc:
        raise ValueError("the URL holds a user name or password; put credentials into api_key")
    if fragment:
        raise ValueError("the URL has a fragment (#...); leave it out")


def _deployment(path: str) -> tuple[str, str]:
    """Return the deployment that `path` names, and the path without Azure's part."""
    found = _DEPLOYMENT.search(path)
    if found:
        return unquote(found[1]), path[: found.start()]
    return "", _OPENAI.sub("", _V1.sub("", path))


def _api_version(query: str) -> str:
    fields = dict(parse_qsl(query, keep_blank_values=True))
    version = fields.pop("api-version", "")
    if fields:
        names = ", ".join(sorted(fields))
        raise ValueError(f"the URL has query fields that are not sent ({names}); use extra_headers")
    return version


def is_loopback(host: str) -> bool:
    """Return whether `host`, a name or an address, can only be this machine."""
    name = host.strip("[]").lower()
    return name in _LOOPBACK_NAMES or name.endswith(".localhost") or _in_127(name)


def _in_127(name: str) -> bool:
    parts = name.split(".")
    return len(parts) == 4 and parts[0] == "127" and all(_is_octet(part) for part in parts)


def _is_octet(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) <= 255
