"""Settings -> everything that runs: for the gateway with its database, for the SDK without one."""

import asyncio
import shutil
import tempfile
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from imagegate import clock
from imagegate.assets.links import Links, open_links
from imagegate.assets.spool import Spool
from imagegate.assets.store import AssetStore
from imagegate.assets.transform import Worker
from imagegate.candidates import served_names
from imagegate.config.settings import Settings
from imagegate.errors import ConfigError
from imagegate.guardrails.guards import Guards
from imagegate.ledger import Ledger
from imagegate.ledger.records import KeepAlive, LedgerError
from imagegate.pipeline import Pipeline
from imagegate.runtime.end_user_budget import set_end_user_budget
from imagegate.runtime.holding import hold_forever
from imagegate.runtime.reaper import reap_forever
from imagegate.runtime.retirements import tell_retirements_forever
from imagegate.runtime.snapshot import Snapshot, first_snapshot, make_transport, next_snapshot
from imagegate.runtime.supervisor import Supervisor, Users
from imagegate.runtime.takeover import Takeover
from imagegate.runtime.uploads import upload_forever
from imagegate.settle import Tools
from imagegate.sinks.hub import Sinks
from imagegate.transport.download import Downloader

if TYPE_CHECKING:
    from imagegate.ledger.store import SqlLedger
    from imagegate.runtime.webhooks import Courier

DISK_PERIOD_S = 1.0


class Runtime:
    """Everything of one process, on the event loop that made it.

    `snapshot` is what new calls are served by; take it once, and use nothing else for one call.
    """

    def __init__(self, snapshot: Snapshot, supervisor: Supervisor) -> None:
        self.snapshot = snapshot
        self.spool = snapshot.tools.spool
        self.downloader = snapshot.tools.downloader
        self.supervisor = supervisor
        self.background: list[asyncio.Task[object]] = []
        self.private_folder = ""
        self.database: SqlLedger | None = None
        self.courier: Courier | None = None
        self._former: dict[Snapshot, asyncio.Task[None]] = {}

    @property
    def settings(self) -> Settings:
        """The settings of now."""
        return self.snapshot.settings

    @property
    def tools(self) -> Tools:
        """The tools of now."""
        return self.snapshot.tools

    @property
    def pipeline(self) -> Pipeline:
        """What takes the calls of now."""
        return self.snapshot.pipeline

    @property
    def ledger(self) -> "SqlLedger":
        """The gateway's ledger; the SDK's runtime has none in a database."""
        assert self.database is not None
        return self.database

    async def swap(self, settings: Settings) -> None:
        """Serve new calls by `settings`; those at work end as they began, then theirs is closed.

        Raises `ConfigError`; then nothing has changed.
        """
        former = self.snapshot
        snapshot = await next_snapshot(former, settings, self.supervisor)
        try:
            await self._follow_end_user_budget(settings)
        except LedgerError as error:
            await snapshot.tools.transport.aclose()
            raise ConfigError(f"max_end_user_budget cannot be written now: {error}") from error
        self.snapshot = snapshot
        self._former[former] = asyncio.create_task(self._close_when_idle(former))

    async def _follow_end_user_budget(self, settings: Settings) -> None:
        limit_e10 = settings.end_user_budget_e10
        if self.database is not None and limit_e10 != self.settings.end_user_budget_e10:
            await set_end_user_budget(self.database, limit_e10)

    async def _close_when_idle(self, former: Snapshot) -> None:
        await former.users.gone()
        del self._former[former]
        await former.tools.transport.aclose()
        alive = (self.snapshot, *self._former)
        await former.tools.sinks.close_outlets(one.tools.sinks for one in alive)

    async def aclose(self) -> None:
        """Close all, without waiting for calls."""
        for task in self.background:
            task.cancel()
        await asyncio.gather(*self.background, return_exceptions=True)
        self.spool.has_leftovers |= self.supervisor.running_count > 0
        await self.supervisor.cancel()
        if self.courier is not None:
            await self.courier.aclose()
        for former, closing in list(self._former.items()):
            closing.cancel()
            await former.tools.transport.aclose()
            await former.tools.sinks.close_outlets((self.tools.sinks,))
        await self.tools.sinks.aclose()
        await self.tools.transport.aclose()
        await self.tools.worker.aclose()
        await self.downloader.aclose()
        await self.tools.ledger.aclose()
        self.spool.close()
        if self.private_folder:
            shutil.rmtree(self.private_folder, ignore_errors=True)


async def open_runtime(settings: Settings, *, embedded: bool) -> Runtime:
    """Return a running runtime. `embedded` is the SDK: no database, a private temporary spool.

    Otherwise it claims what processes that are gone left behind, and recovers it in the
    background. Raises `ConfigError` where the folder or the database is not ours to use.
    """
    if embedded:
        return _open_embedded(settings)
    from imagegate.ledger.store import open_ledger
    from imagegate.runtime.webhooks import Courier

    ledger = await asyncio.to_thread(
        open_ledger, settings.database_url.reveal(), durability=settings.assets.durability
    )
    runtime = _assemble(
        settings, ledger, open_links(settings.assets.folder, settings.assets.url_secret.reveal())
    )
    await runtime.pipeline.desk.load()
    runtime.database = ledger
    await ledger.commit(KeepAlive(runtime.spool.owner))
    await set_end_user_budget(ledger, settings.end_user_budget_e10)
    await _look_at_disk(runtime)
    takeover = Takeover(lambda: runtime.snapshot, is_shared=ledger.is_shared)
    store = runtime.tools.store
    work = [
        takeover.run_forever(),
        reap_forever(lambda: runtime.settings.assets, ledger, store),
        hold_forever(ledger, takeover.owners),
        _look_at_disk_forever(runtime),
        tell_retirements_forever(lambda: runtime.settings.deployments),
    ]
    if store.bucket is not None:
        work.append(upload_forever(ledger, store, store.bucket))
    runtime.background = [asyncio.create_task(each) for each in work]
    runtime.courier = Courier(lambda: runtime.snapshot, ledger)
    runtime.background.append(asyncio.create_task(runtime.courier.run()))
    return runtime


async def _look_at_disk(runtime: Runtime) -> None:
    look, least = runtime.spool.room.look, runtime.settings.assets.free_bytes_min
    await asyncio.to_thread(look, least, runtime.supervisor.running_count)


async def _look_at_disk_forever(runtime: Runtime) -> None:
    while True:
        await clock.sleep(DISK_PERIOD_S)
        await _look_at_disk(runtime)


def _open_embedded(settings: Settings) -> Runtime:
    from imagegate.ledger.memory import MemoryLedger

    folder = tempfile.mkdtemp(prefix="imagegate-")
    assets = msgspec.structs.replace(settings.assets, folder=folder, retention_s=0, bucket=None)
    runtime = _assemble(msgspec.structs.replace(settings, assets=assets), MemoryLedger())
    runtime.private_folder = folder
    return runtime


def _assemble(settings: Settings, ledger: Ledger, links: Links | None = None) -> Runtime:
    spool = Spool(settings.assets)
    supervisor, users = Supervisor(), Users()
    transport, worker = make_transport(settings, spool), Worker()
    tools = Tools(
        spool=spool,
        store=AssetStore(settings.assets),
        transport=transport,
        downloader=Downloader(),
        ledger=ledger,
        start_task=partial(supervisor.start, users),
        worker=worker,
        guards=Guards(settings.guardrails, transport, spool, worker),
        sinks=Sinks(settings.sinks, served_names(settings)),
        links=links,
    )
    return Runtime(first_snapshot(settings, tools, users), supervisor)
