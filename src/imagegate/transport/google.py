"""Access tokens of google-auth: service accounts, ADC, workload identity, impersonation.

google-auth waits for the network with `requests`, so all of this runs in a thread of
`auth.Tokens`, and is imported when the first token is needed.
"""

import calendar
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from msgspec import Struct

from imagegate.config.settings import Credential
from imagegate.errors import ConfigError, UpstreamCredentialError, UpstreamUnreachableError
from imagegate.transport.mask import said
from imagegate.types import Secret

REQUEST_S_MAX = 20.0
_AWS_TOKEN = "urn:ietf:params:aws:token-type:aws4_request"  # noqa: S105 - a type, no token
_EXTRA = "Vertex AI needs google-auth: pip install 'imagegate[vertex]', or use an api_key."


class GoogleToken(Struct, frozen=True):
    """A bearer token and its end in unix seconds; `quota_project` is billed for the calls."""

    token: str
    expires_on: int
    quota_project: str = ""


class _Credentials(Protocol):
    token: str | None
    expiry: datetime | None

    @property
    def quota_project_id(self) -> str | None: ...

    def refresh(self, request: Any) -> None: ...


class GoogleSource:
    """One account. `get_token` waits for the network."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret
        self._info: Mapping[str, Any] | None = json.loads(secret.reveal()) if secret else None
        self._credentials: _Credentials | None = None

    def get_token(self, *scopes: str) -> GoogleToken:
        """Return a fresh token. Raises `UpstreamCredentialError` or `UpstreamUnreachableError`."""
        from google.auth import exceptions
        from google.auth.transport.requests import Request

        try:
            credentials = self._credentials or _load(self._info, scopes)
            self._credentials = credentials
            credentials.refresh(partial(Request(), timeout=REQUEST_S_MAX))
        except exceptions.TransportError as error:
            raise UpstreamUnreachableError(
                f"Google's token service cannot be reached: {self._said(error)}. Nothing was sent."
            ) from error
        except (exceptions.GoogleAuthError, ValueError, KeyError) as error:
            raise UpstreamCredentialError(
                f"Google gave no token: {self._said(error)}. Check vertex_credentials, or sign "
                "this machine in (`gcloud auth application-default login`); the account needs the "
                "role roles/aiplatform.user."
            ) from error
        quota = str((self._info or {}).get("quota_project_id") or "")
        return _token(credentials, credentials.quota_project_id or quota)

    def _said(self, error: Exception) -> str:
        words = str(error.args[0] if error.args else error)
        return said(words, Credential("google", self._secret))


def make_source(_: Mapping[str, str], secret: Secret) -> GoogleSource:
    """Return the account that `secret` holds in JSON; an empty one is the machine's own (ADC)."""
    try:
        import google.auth.transport.requests  # noqa: F401 - needs both packages of the extra
    except ImportError as error:
        raise ConfigError(_EXTRA) from error
    return GoogleSource(secret)


def _load(info: Mapping[str, Any] | None, scopes: tuple[str, ...]) -> _Credentials:
    """Return the account's credentials of google-auth; without one those of this machine (ADC)."""
    if info is None:
        import google.auth

        found: _Credentials = google.auth.default(scopes=list(scopes))[0]
        return found
    return _LOADERS[str(info.get("type"))](info, scopes)


def _service_account(info: Mapping[str, Any], scopes: tuple[str, ...]) -> _Credentials:
    from google.oauth2 import service_account

    return _made(service_account.Credentials, "from_service_account_info", info, scopes=scopes)


def _user(info: Mapping[str, Any], scopes: tuple[str, ...]) -> _Credentials:
    from google.oauth2 import credentials

    return _made(credentials.Credentials, "from_authorized_user_info", info, scopes=scopes)


def _impersonated(info: Mapping[str, Any], scopes: tuple[str, ...]) -> _Credentials:
    from google.auth.impersonated_credentials import Credentials

    return _made(Credentials, "from_impersonated_service_account_info", info, scopes=scopes)


def _workforce(info: Mapping[str, Any], scopes: tuple[str, ...]) -> _Credentials:
    from google.auth.external_account_authorized_user import Credentials

    return _made(Credentials, "from_info", info, scopes=scopes)


def _workload(info: Mapping[str, Any], scopes: tuple[str, ...]) -> _Credentials:
    """Return workload identity: it has a token of AWS, of a program, or of a file or url."""
    from google.auth import aws, identity_pool, pluggable

    source = info.get("credential_source") or {}
    kind: type = pluggable.Credentials if source.get("executable") else identity_pool.Credentials
    if info.get("subject_token_type") == _AWS_TOKEN:
        kind = aws.Credentials
    return _made(kind, "from_info", info, scopes=scopes)


def _made(kind: type, constructor: str, info: Mapping[str, Any], **given: Any) -> _Credentials:
    """Return google-auth's object; its constructors have no types."""
    made: _Credentials = getattr(kind, constructor)(dict(info), **given)
    return made


_LOADERS: Mapping[str, Callable[[Mapping[str, Any], tuple[str, ...]], _Credentials]] = {
    "service_account": _service_account,
    "authorized_user": _user,
    "impersonated_service_account": _impersonated,
    "external_account_authorized_user": _workforce,
    "external_account": _workload,
}


def _token(credentials: _Credentials, quota_project: str) -> GoogleToken:
    if not credentials.token:
        raise UpstreamCredentialError("Google gave an empty token; check vertex_credentials.")
    # google-auth's time is UTC without saying so; without one the token is used once.
    expiry = credentials.expiry
    expires_on = calendar.timegm(expiry.utctimetuple()) if expiry else 0
    return GoogleToken(credentials.token, expires_on, quota_project)
