"""Clean-up by the clock: expired assets, a folder that is too large, old evidence."""

import logging
from collections.abc import Callable, Sequence

from imagegate import clock, telemetry
from imagegate.assets.bucket import BucketError
from imagegate.assets.store import AssetStore
from imagegate.config.settings import AssetSettings
from imagegate.ledger import Ledger
from imagegate.ledger.records import AssetRecord, ForgetFile, LedgerError

PERIOD_S = 60.0
ROUNDS_MAX = 1000

log = logging.getLogger(telemetry.LOGGER)


async def reap_forever(
    settings: Callable[[], AssetSettings], ledger: Ledger, store: AssetStore
) -> None:
    """Clean up once a minute until cancelled; a ledger that is away is tried again next time."""
    while True:
        try:
            await reap(settings(), ledger, store, now_s=clock.now_s())
        except LedgerError:
            log.exception(telemetry.TASK_CRASHED, extra={"task": "reaper"})
        await clock.sleep(PERIOD_S)


async def reap(settings: AssetSettings, ledger: Ledger, store: AssetStore, *, now_s: float) -> None:
    """Remove what expired before `now_s`, then the oldest until `bytes_max` is in the folder."""
    for _ in range(ROUNDS_MAX):
        expired = await ledger.expired_assets(now_s)
        if not await _remove(expired, ledger, store):
            break
    for _ in range(ROUNDS_MAX):
        excess = await ledger.asset_bytes() - settings.bytes_max
        if excess <= 0:
            break
        if not await _remove(_oldest_of(await ledger.oldest_assets(), excess), ledger, store):
            break
    store.remove_evidence(before_s=now_s - settings.evidence_s)


def _oldest_of(assets: Sequence[AssetRecord], excess_bytes: int) -> Sequence[AssetRecord]:
    total = 0
    for count, asset in enumerate(assets, start=1):
        total += asset.length
        if total >= excess_bytes:
            return assets[:count]
    return assets


async def _remove(assets: Sequence[AssetRecord], ledger: Ledger, store: AssetStore) -> int:
    """Return how many files were removed; what the bucket does not let go of stays for later."""
    removed = 0
    for file, asset in {asset.file: asset for asset in assets}.items():
        if not await _leaves_bucket(asset, ledger, store):
            continue
        # Rows first: a file without a row is found by nobody, a row without a file is a lie.
        await ledger.commit(ForgetFile(file))
        store.remove((file,))
        removed += 1
        log.info(telemetry.ASSET_REMOVED, extra={"file": file})
    return removed


async def _leaves_bucket(asset: AssetRecord, ledger: Ledger, store: AssetStore) -> bool:
    """Return whether no image of the asset's file is in the bucket any more.

    Here the object goes first: without a row nobody would ever delete it.
    """
    if store.bucket is None:
        return True
    try:
        for one in await ledger.assets_of(asset.call_id):
            if one.file == asset.file and one.object:
                await store.bucket.delete(one.object)
    except BucketError as error:
        log.warning(telemetry.BUCKET_FAILED, extra={"file": asset.file, "reason": str(error)})
        return False
    return True
