"""Who is told how a call ended: the checked settings of `webhooks`."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from imagegate.config.faults import Faults, Path
from imagegate.types import Secret
from imagegate.wire.standard_webhooks import read_secret

if TYPE_CHECKING:
    from imagegate.config.webhook_schema import Webhooks

ENV_PREFIX = "os.environ/"


class WebhookSettings(Struct, frozen=True, kw_only=True):
    """`secrets` are the roots of all holders' keys, the newest first; none: no webhooks.

    `url` is where calls that are answered later are told of, `teams` and `keys` the same by id.
    """

    secrets: tuple[Secret, ...] = ()
    url: str = ""
    teams: Mapping[str, str] = {}
    keys: Mapping[str, str] = {}
    allow_hosts: tuple[str, ...] = ()

    @property
    def is_on(self) -> bool:
        """Whether there is a secret to sign by."""
        return bool(self.secrets)

    def url_for(self, key_id: str | None, team_id: str | None) -> str:
        """Return where the operator wants calls of this holder told, `""` for nowhere."""
        return self.keys.get(key_id or "") or self.teams.get(team_id or "") or self.url


def read_webhooks(section: "Webhooks", faults: Faults) -> WebhookSettings:
    """Return the settings; what is wrong in them is noted as a fault."""
    secrets = tuple(Secret(one.get_secret_value()) for one in section.secret)
    settings = WebhookSettings(
        secrets=secrets,
        url=section.url or "",
        teams=section.teams,
        keys=section.keys,
        allow_hosts=tuple(section.allow_hosts),
    )
    for index, secret in enumerate(secrets):
        _check_secret(secret, ("webhooks", "secret", index), faults)
    for path, url in _urls(settings):
        _check_url(url, path, settings, faults)
    return settings


def _check_secret(secret: Secret, path: Path, faults: Faults) -> None:
    text = secret.reveal()
    if text.startswith(ENV_PREFIX):  # that it is unset is told elsewhere
        return
    try:
        read_secret(text)
    except ValueError as error:
        faults.add(path, str(error))


def _urls(settings: WebhookSettings) -> Iterator[tuple[Path, str]]:
    if settings.url:
        yield ("webhooks", "url"), settings.url
    for name, urls in (("teams", settings.teams), ("keys", settings.keys)):
        for holder, url in urls.items():
            yield ("webhooks", name, holder), url


def _check_url(url: str, path: Path, settings: WebhookSettings, faults: Faults) -> None:
    if not settings.is_on:
        faults.add(path, "webhooks need webhooks.secret; make one with: openssl rand -base64 32")
    parts = urlsplit(url)
    is_own = parts.scheme == "http" and parts.hostname in settings.allow_hosts
    if not parts.hostname or not (parts.scheme == "https" or is_own):
        faults.add(path, "must be an https url; one of a host in allow_hosts may be http")
