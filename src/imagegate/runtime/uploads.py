"""Moves kept images from the folder to the bucket; until it has confirmed them they stay in both.

What waits is read from the ledger, so that nothing is forgotten by a restart. Of a ledger that
several gateways share each one moves what is in its own folder.
"""

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from imagegate import clock, telemetry
from imagegate.assets.bucket import Bucket, BucketError
from imagegate.assets.links import suffix_of
from imagegate.assets.store import HELD, AssetStore
from imagegate.ledger.records import AssetRecord, ConflictError, LedgerError, Stored
from imagegate.stored import blob_of

if TYPE_CHECKING:
    from imagegate.ledger.store import SqlLedger

PERIOD_S = 1.0
PAUSE_S_MAX = 60.0
PAGE_ROWS = 100
UPLOADS_MAX = 4
"""So many images are written at once."""

log = logging.getLogger(telemetry.LOGGER)


async def upload_forever(ledger: "SqlLedger", store: AssetStore, bucket: Bucket) -> None:
    """Move what waits until cancelled; after a failure it is tried again, ever less often."""
    uploads = Uploads(ledger, store, bucket)
    pause_s = PERIOD_S
    while True:
        try:
            is_well = await uploads.run()
        except (LedgerError, OSError):
            log.exception(telemetry.TASK_CRASHED, extra={"task": "uploads"})
            is_well = False
        pause_s = PERIOD_S if is_well else min(2 * pause_s, PAUSE_S_MAX)
        await clock.sleep(pause_s)


class Uploads:
    """The way of images from one folder to one bucket."""

    def __init__(self, ledger: "SqlLedger", store: AssetStore, bucket: Bucket) -> None:
        self._ledger = ledger
        self._store = store
        self._bucket = bucket
        self._slots = asyncio.Semaphore(UPLOADS_MAX)

    async def run(self) -> bool:
        """Try each image that waits once; return False at a page of which something failed."""
        after = ""
        while assets := await self._ledger.oldest_assets(after=after, limit=PAGE_ROWS):
            moved = await asyncio.gather(*(self._move(asset) for asset in assets))
            if not all(moved):
                return False
            after = assets[-1].id
        return True

    async def _move(self, asset: AssetRecord) -> bool:
        """Return whether there is nothing more to do for this image."""
        async with self._slots:
            try:
                file = self._store.open_kept(asset.file, may_be_held=True)
            except FileNotFoundError:
                return True  # it is in another gateway's folder
            key = key_of(asset)
            try:
                sha256 = await self._bucket.put(key, blob_of(asset, file), asset.media_type)
            except BucketError as error:
                log.warning(telemetry.BUCKET_FAILED, extra={"file": key, "reason": str(error)})
                return False
            finally:
                file.close()
            await self._note(asset, key, sha256)
        return True

    async def _note(self, asset: AssetRecord, key: str, sha256: str) -> None:
        """Write where the image is, then let go of its file with the last image in it."""
        try:
            await self._ledger.commit(Stored(asset.id, asset.file, key, sha256))
        except ConflictError:  # it expired or was released meanwhile
            with suppress(BucketError):
                await self._bucket.delete(key)
            return
        if not await self._ledger.has_in_folder(asset.file):
            self._store.remove((asset.file,))


def key_of(asset: AssetRecord) -> str:
    """Return the image's key in the bucket; what a guardrail holds lies apart there too."""
    is_held = asset.file.startswith(HELD)
    return f"{HELD * is_held}{asset.id}.{suffix_of(asset.media_type)}"
