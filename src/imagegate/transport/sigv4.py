"""Signs requests to AWS: keys by botocore, fetched and refreshed off the event loop.

botocore is an extra (`imagegate[bedrock]`), imported when the first request is signed. It looks for
keys where it always does (environment, profile, web identity, container, instance) unless the
deployment gives them, and a given role is taken on top of either.
"""

import asyncio
import functools
import hashlib
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from imagegate import clock
from imagegate.assets.spool import body_chunks
from imagegate.config.settings import Credential
from imagegate.errors import (
    ConfigError,
    ImageError,
    UpstreamCredentialError,
    UpstreamUnreachableError,
)
from imagegate.transport.mask import said
from imagegate.types import Body, Secret
from imagegate.wire.exchange import UpstreamRequest

if TYPE_CHECKING:
    from botocore.session import Session  # type: ignore[import-untyped]

SERVICE = "bedrock"  # the name in a signature's scope; the host is bedrock-runtime
SIGN_S_MAX = 60.0
ACCOUNTS_MAX = 256
SOURCE_S_MAX = 900.0  # a shared file may get other keys; botocore reads it when a source is made
SESSION_NAME = "imagegate"

_STAMP = "%Y%m%dT%H%M%SZ"
_SIGNED = ("accept", "content-type")
_SIGNED_PREFIX = "x-amz"
_UNREACHABLE = frozenset(("HTTPClientError", "EndpointConnectionError", "ConnectionError"))


class Keys(Protocol):
    """What botocore calls frozen credentials."""

    access_key: str
    secret_key: str
    token: str | None


class KeySource(Protocol):
    """Credentials of botocore: static ones, or ones that refresh themselves when asked."""

    def get_frozen_credentials(self) -> Keys:
        """Return keys that belong together; may wait for the network."""
        ...


async def sign(
    credential: Credential, region: str, request: UpstreamRequest, headers: Mapping[str, str]
) -> dict[str, str]:
    """Return the headers that sign `request`, which is sent with `headers`.

    The body is hashed and the keys are fetched in a thread. Raises `UpstreamCredentialError` where
    there are no keys, `UpstreamUnreachableError` where they cannot be fetched now; nothing was
    sent then.
    """
    try:
        async with asyncio.timeout(SIGN_S_MAX):
            return await asyncio.to_thread(_sign, credential, region, request, headers)
    except TimeoutError as error:
        raise UpstreamUnreachableError(
            f"AWS gave no keys within {SIGN_S_MAX:.0f} s; nothing was sent."
        ) from error
    except (ImageError, ConfigError):
        raise
    except Exception as error:
        raise _key_error(error, said(str(error), credential)) from error


def _sign(
    credential: Credential, region: str, request: UpstreamRequest, headers: Mapping[str, str]
) -> dict[str, str]:
    keys = SOURCES.keys(credential.aws, region)
    digest = hash_body(request.body)
    return build_signature(keys, region, request, headers, digest, now_s=clock.now_s())


def hash_body(body: Body) -> str:
    """Return the SHA-256 of a body in hexadecimal, read in chunks."""
    digest = hashlib.sha256()
    for chunk in body_chunks(body):
        digest.update(chunk)
    return digest.hexdigest()


def build_signature(
    keys: Keys,
    region: str,
    request: UpstreamRequest,
    headers: Mapping[str, str],
    body_sha256: str,
    *,
    now_s: float,
) -> dict[str, str]:
    """Return `authorization`, the date and a session's token, as of `now_s` in unix seconds.

    Signed are the host, AWS's own headers and those that say what the body is.
    """
    from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
    from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]

    stamp = datetime.fromtimestamp(now_s, UTC).strftime(_STAMP)
    own = {"x-amz-date": stamp, **({"x-amz-security-token": keys.token} if keys.token else {})}
    signed = AWSRequest(request.method, request.url, {**_signed(headers), **own})
    signed.context["timestamp"] = stamp
    signer = SigV4Auth(keys, SERVICE, region)
    # The last line is the body's hash, which botocore could only take from the body in memory.
    canonical = f"{signer.canonical_request(signed).rpartition(chr(10))[0]}\n{body_sha256}"
    signature = signer.signature(signer.string_to_sign(signed, canonical), signed)
    names = signer.signed_headers(signer.headers_to_sign(signed))
    scope = signer.scope(signed)
    value = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}"
    return {**own, "authorization": value}


def _signed(headers: Mapping[str, str]) -> dict[str, str]:
    lowered = {name.lower(): value for name, value in headers.items()}
    return {
        name: value
        for name, value in lowered.items()
        if name in _SIGNED or name.startswith(_SIGNED_PREFIX)
    }


class Sources:
    """Key sources by account: each refreshes itself, and is made anew every fifteen minutes."""

    def __init__(
        self,
        make: Callable[[Mapping[str, Secret], str], KeySource],
        now_s: Callable[[], float] = clock.monotonic_s,
    ) -> None:
        self._make = make
        self._now_s = now_s
        self._made: dict[object, tuple[KeySource, float]] = {}
        self._lock = threading.Lock()

    def keys(self, settings: Mapping[str, Secret], region: str) -> Keys:
        """Return the account's keys; waits for the network where they must be fetched."""
        account = (frozenset(settings.items()), region)
        with self._lock:
            source, until_s = self._made.get(account, (None, 0.0))
            if source is None or until_s <= self._now_s():
                if len(self._made) >= ACCOUNTS_MAX:
                    self._made.clear()
                source = self._make(settings, region)
                self._made[account] = source, self._now_s() + SOURCE_S_MAX
        return source.get_frozen_credentials()


def make_source(settings: Mapping[str, Secret], region: str) -> KeySource:
    """Return botocore's credentials for LiteLLM's settings. Raises `UpstreamCredentialError`."""
    try:
        from botocore.session import Session
    except ImportError as error:
        raise ConfigError(
            "AWS credentials need botocore: pip install 'imagegate[bedrock]', or use a Bedrock API "
            "key."
        ) from error
    given = {name: value.reveal() for name, value in settings.items()}
    session = Session(profile=given.get("aws_profile_name"))
    if given.get("aws_web_identity_token"):
        return _by_web_identity(session, given, region)
    base = _given_keys(given) or session.get_credentials()
    if base is None:
        raise UpstreamCredentialError(
            "No AWS credential was found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name an "
            "aws_profile_name, give the machine a role, or set AWS_BEARER_TOKEN_BEDROCK."
        )
    return _by_role(session, base, given, region) if given.get("aws_role_name") else base


def _given_keys(given: Mapping[str, str]) -> KeySource | None:
    from botocore.credentials import Credentials  # type: ignore[import-untyped]

    if "aws_access_key_id" not in given:
        return None
    token = given.get("aws_session_token")
    found: KeySource = Credentials(
        given["aws_access_key_id"], given["aws_secret_access_key"], token
    )
    return found


def _by_role(
    session: "Session", base: KeySource, given: Mapping[str, str], region: str
) -> KeySource:
    from botocore.credentials import AssumeRoleCredentialFetcher

    fetcher = AssumeRoleCredentialFetcher(
        _sts(session, given, region), base, given["aws_role_name"], extra_args=_role_args(given)
    )
    return _refreshed(fetcher.fetch_credentials)


def _by_web_identity(session: "Session", given: Mapping[str, str], region: str) -> KeySource:
    from botocore.credentials import AssumeRoleWithWebIdentityCredentialFetcher

    fetcher = AssumeRoleWithWebIdentityCredentialFetcher(
        _sts(session, given, region),
        functools.partial(_read_token, given["aws_web_identity_token"]),
        given.get("aws_role_name"),
        extra_args={"RoleSessionName": given.get("aws_session_name", SESSION_NAME)},
    )
    return _refreshed(fetcher.fetch_credentials)


def _read_token(given: str) -> str:
    """Return a web identity token: the text itself, or what the file of that name holds now."""
    is_token = given.count(".") == 2 and "/" not in given
    return given if is_token else Path(given).read_text("utf-8").strip()


def _role_args(given: Mapping[str, str]) -> dict[str, str]:
    args = {"RoleSessionName": given.get("aws_session_name", SESSION_NAME)}
    if "aws_external_id" in given:
        args["ExternalId"] = given["aws_external_id"]
    return args


def _sts(session: "Session", given: Mapping[str, str], region: str) -> Callable[..., object]:
    from botocore.config import Config  # type: ignore[import-untyped]

    config = Config(connect_timeout=10, read_timeout=20, retries={"total_max_attempts": 2})
    return functools.partial(
        session.create_client,
        region_name=region,
        endpoint_url=given.get("aws_sts_endpoint"),
        config=config,
    )


def _refreshed(fetch: Callable[[], object]) -> KeySource:
    from botocore.credentials import DeferredRefreshableCredentials

    source: KeySource = DeferredRefreshableCredentials(fetch, "assume-role")
    return source


def _key_error(error: Exception, words: str) -> ImageError:
    """Return our error for one of botocore's."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _UNREACHABLE:
        return UpstreamUnreachableError(f"AWS gave no keys: {words}. Nothing was sent.")
    return UpstreamCredentialError(
        f"AWS gave no keys: {words}. Check the profile, the role and what may take it."
    )


SOURCES = Sources(make_source)
