"""Who calls: the master key's holder, a virtual key's, or, without one, a program on this host."""

import re
from collections.abc import Mapping

from starlette.types import Scope

from imagegate import clock
from imagegate.config.settings import ServerSettings
from imagegate.errors import AuthenticationError, PermissionDeniedError
from imagegate.ledger.keyring import KeyRing
from imagegate.ledger.keys import is_same, read_key
from imagegate.ledger.people import OPERATOR, Account

_LOOPBACK_NAMES = frozenset((b"localhost", b"127.0.0.1", b"[::1]"))
_HOST = re.compile(rb"(\[[0-9a-f:.]+\]|[0-9a-z._-]+)(?::[0-9]{1,5})?")
_BEARER = b"bearer "


class Gatekeeper:
    """Says whose a request is, or raises. It looks at headers only, so it comes before any body."""

    def __init__(self, settings: ServerSettings, keys: KeyRing) -> None:
        self._keys = keys
        # The one credential that is not an upstream's: only its hash is held from here on.
        key = settings.master_key.reveal()
        self._sha256 = read_key(key.encode()).sha256 if key else ""
        self._hosts = _LOOPBACK_NAMES | {_bracketed(settings.host)}

    async def identify(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Account:
        """Return the account of a request that may spend money here.

        Raises `AuthenticationError` for a missing or wrong key, `PermissionDeniedError` for a
        blocked team and, where no master key is set, for what a web page could have sent.
        """
        given = (headers.get(b"api-key", b""), _bearer(headers.get(b"authorization", b"")))
        keys = [read_key(key) for key in given if key]
        if not self._sha256:
            self._check_is_local(scope, headers)
        elif not keys:
            raise AuthenticationError(
                "No key was given. Send the gateway's key as 'Authorization: Bearer <key>' or as "
                "'api-key: <key>'."
            )
        elif any(is_same(key, self._sha256) for key in keys):
            return OPERATOR
        for key in keys:
            if key.prefix is not None:
                return await self._keys.find(key, clock.now_s())
        if self._sha256:
            raise AuthenticationError(
                "That is not a key of this gateway. Send its master key or a virtual key, not a "
                "provider's."
            )
        return OPERATOR

    def _check_is_local(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        """Without a key the only caller is a program on this host, never a page in its browser."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not self._is_this_host(hosts[0].lower()):
            raise _refusal("Host", b", ".join(hosts))
        origin = headers.get(b"origin")
        if origin is not None and not self._is_this_origin(origin.lower()):
            raise _refusal("Origin", origin)
        if headers.get(b"sec-fetch-site") == b"cross-site":
            raise _refusal("Sec-Fetch-Site", b"cross-site")

    def _is_this_host(self, host: bytes) -> bool:
        match = _HOST.fullmatch(host)
        return match is not None and match[1] in self._hosts

    def _is_this_origin(self, origin: bytes) -> bool:
        scheme, mark, host = origin.partition(b"://")
        return bool(mark) and scheme in (b"http", b"https") and self._is_this_host(host)


def _bearer(authorization: bytes) -> bytes:
    is_bearer = authorization[: len(_BEARER)].lower() == _BEARER
    return authorization[len(_BEARER) :].strip() if is_bearer else b""


def _bracketed(host: str) -> bytes:
    return (f"[{host}]" if ":" in host else host).lower().encode()


def _refusal(header: str, value: bytes) -> PermissionDeniedError:
    shown = value[:200].decode("latin-1")
    return PermissionDeniedError(
        f"Without a master_key this gateway takes requests from programs on its own host only, and "
        f"the {header} header is {shown!r}. Call it as http://localhost or http://127.0.0.1, or "
        f"set general_settings.master_key."
    )
