"""Settings -> everything that runs: for the gateway with its database, for the SDK without one."""

import asyncio
import shutil
import tempfile
from typing import TYPE_CHECKING

import msgspec

from imagegate.assets.links import Links, open_links
from imagegate.assets.spool import Spool
from imagegate.assets.store import AssetStore
from imagegate.assets.transform import Worker
from imagegate.candidates import served_names
from imagegate.config.settings import Settings
from imagegate.guardrails.guards import Guards
from imagegate.ledger import Ledger
from imagegate.ledger.records import KeepAlive
from imagegate.pipeline import Pipeline
from imagegate.runtime.holding import hold_forever
from imagegate.runtime.reaper import reap_forever
from imagegate.runtime.recovery import Recovery
from imagegate.runtime.retirements import tell_retirements_forever
from imagegate.runtime.supervisor import Supervisor
from imagegate.runtime.uploads import upload_forever
from imagegate.settle import Tools
from imagegate.sinks.hub import Sinks
from imagegate.transport.download import Downloader
from imagegate.transport.live import Transport

if TYPE_CHECKING:
    from imagegate.ledger.store import SqlLedger


class Runtime:
    """Everything of one process, on the event loop that made it."""

    def __init__(self, settings: Settings, tools: Tools, supervisor: Supervisor) -> None:
        self.settings = settings
        self.tools = tools
        self.spool = tools.spool
        self.downloader = tools.downloader
        self.supervisor = supervisor
        self.pipeline = Pipeline(settings, tools)
        self.background: list[asyncio.Task[object]] = []
        self.private_folder = ""
        self.database: SqlLedger | None = None

    @property
    def ledger(self) -> "SqlLedger":
        """The gateway's ledger; the SDK's runtime has none in a database."""
        assert self.database is not None
        return self.database

    async def aclose(self) -> None:
        """Close all, without waiting for calls: `supervisor.drain` comes before, if wanted."""
        for task in self.background:
            task.cancel()
        await asyncio.gather(*self.background, return_exceptions=True)
        self.spool.has_leftovers |= self.supervisor.running_count > 0
        await self.supervisor.cancel()
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

    ledger = await asyncio.to_thread(
        open_ledger, settings.database_url, durability=settings.assets.durability
    )
    runtime = _assemble(
        settings, ledger, open_links(settings.assets.folder, settings.assets.url_secret.reveal())
    )
    await runtime.pipeline.desk.load()
    runtime.database = ledger
    await ledger.commit(KeepAlive(runtime.spool.owner))
    recovery = Recovery(settings, runtime.tools, is_shared=ledger.is_shared)
    store = runtime.tools.store
    work = [
        recovery.run(),
        reap_forever(settings.assets, ledger, store),
        hold_forever(ledger, runtime.spool.owner),
        tell_retirements_forever(settings.deployments),
    ]
    if store.bucket is not None:
        work.append(upload_forever(ledger, store, store.bucket))
    runtime.background = [asyncio.create_task(each) for each in work]
    return runtime


def _open_embedded(settings: Settings) -> Runtime:
    from imagegate.ledger.memory import MemoryLedger

    folder = tempfile.mkdtemp(prefix="imagegate-")
    assets = msgspec.structs.replace(settings.assets, folder=folder, retention_s=0, bucket=None)
    runtime = _assemble(msgspec.structs.replace(settings, assets=assets), MemoryLedger())
    runtime.private_folder = folder
    return runtime


def _assemble(settings: Settings, ledger: Ledger, links: Links | None = None) -> Runtime:
    spool = Spool(settings.assets)
    supervisor = Supervisor()
    transport, worker = Transport(spool, settings.proxies), Worker()
    tools = Tools(
        spool=spool,
        store=AssetStore(settings.assets),
        transport=transport,
        downloader=Downloader(),
        ledger=ledger,
        start_task=supervisor.start,
        worker=worker,
        guards=Guards(settings.guardrails, transport, spool, worker),
        sinks=Sinks(settings.sinks, served_names(settings)),
        links=links,
    )
    return Runtime(settings, tools, supervisor)
