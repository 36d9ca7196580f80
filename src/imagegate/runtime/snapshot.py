"""One configuration at work: built whole, swapped whole, closed when its last call is through."""

from functools import partial

import msgspec

from imagegate.assets.spool import Spool
from imagegate.candidates import served_names
from imagegate.config.settings import Settings
from imagegate.errors import ConfigError
from imagegate.guardrails.guards import Guards
from imagegate.pipeline import Pipeline
from imagegate.runtime.supervisor import Supervisor, Users
from imagegate.settle import Tools
from imagegate.sinks.hub import Sinks
from imagegate.transport.download import Downloader
from imagegate.transport.live import Transport

FIXED = ("database_url", "log_format")
FIXED_SERVER = ("host", "port")
FIXED_ASSETS = ("folder", "durability", "bucket", "url_secret")


class Snapshot:
    """Settings and all that is made of them: pipeline, router, guardrails, sinks, connections.

    Whoever works with it is one of `users`; a call ends with the snapshot that it began with.
    """

    def __init__(self, settings: Settings, tools: Tools, users: Users, pipeline: Pipeline) -> None:
        self.settings = settings
        self.tools = tools
        self.users = users
        self.pipeline = pipeline

    @property
    def spool(self) -> Spool:
        """The files in flight, which outlast every snapshot."""
        return self.tools.spool

    @property
    def downloader(self) -> Downloader:
        """What fetches the images of urls."""
        return self.tools.downloader


def first_snapshot(settings: Settings, tools: Tools, users: Users) -> Snapshot:
    """Return the snapshot that a runtime begins with."""
    return Snapshot(settings, tools, users, Pipeline(settings, tools))


async def next_snapshot(before: Snapshot, settings: Settings, supervisor: Supervisor) -> Snapshot:
    """Return what follows `before` by new settings; nothing is swapped yet.

    Calls that can be joined, the health of deployments that stay, counters and unchanged sinks go
    on. Raises `ConfigError`, and has opened nothing, where the settings cannot be served.
    """
    was = before.tools
    _check_fixed(before.settings, settings)
    transport = make_transport(settings, was.spool, was.transport)
    try:
        guards = Guards(settings.guardrails, transport, was.spool, was.worker)
        sinks = Sinks(settings.sinks, served_names(settings), was.sinks)
    except Exception:
        await transport.aclose()
        raise
    users = Users()
    tools = msgspec.structs.replace(
        was,
        transport=transport,
        guards=guards,
        sinks=sinks,
        start_task=partial(supervisor.start, users),
    )
    return Snapshot(settings, tools, users, Pipeline(settings, tools, before.pipeline))


def make_transport(settings: Settings, spool: Spool, former: Transport | None = None) -> Transport:
    """Return new connections; large bodies take turns with those of `former`."""
    return Transport(
        spool,
        settings.proxies,
        answer_bytes_max=settings.assets.answer_bytes_max,
        gate=former.gate if former else None,
    )


def _check_fixed(before: Settings, now: Settings) -> None:
    """Raise where something changed that only a restart can change."""
    places = (
        ("", before, now, FIXED),
        ("server.", before.server, now.server, FIXED_SERVER),
        ("assets.", before.assets, now.assets, FIXED_ASSETS),
    )
    changed = [
        f"{section}{name}"
        for section, was, shall, names in places
        for name in names
        if getattr(was, name) != getattr(shall, name)
    ]
    if changed:
        raise ConfigError(
            f"{', '.join(changed)} cannot change while the gateway runs. Restart it, or put back "
            "what was there; until then the configuration of before is served."
        )
