"""Clean-up by the clock: what expired goes with its file, then the oldest until the folder fits."""

import os
from pathlib import Path

import pytest

from imagegate.assets.store import AssetStore
from imagegate.config.settings import AssetSettings
from imagegate.ledger.records import Settle
from imagegate.ledger.store import SqlLedger
from imagegate.runtime.reaper import reap
from tests.ledger.databases import in_loop
from tests.ledger.rows import admit, asset, attempt_end, call_end

NOW_S = 1_900_000_000.0
SIZE = 1_000


async def keep(ledger: SqlLedger, store: AssetStore, name: str, expires_at: float) -> None:
    """Keep two images of one call in one file."""
    file = store.keep_bytes(b"x" * 2 * SIZE, name)
    await ledger.commit(admit(name))
    images = tuple(
        asset(name, index, file=file, length=SIZE, expires_at=expires_at) for index in range(2)
    )
    await ledger.commit(Settle(attempt_end(name), images, call_end(name)))


@pytest.mark.parametrize(
    ("bytes_max", "left"), [(100 * SIZE, {"b", "c"}), (3 * SIZE, {"c"}), (0, set())]
)
def test_what_expired_goes_then_the_oldest(tmp_path: Path, bytes_max: int, left: set[str]) -> None:
    settings = AssetSettings(folder=str(tmp_path / "data"), bytes_max=bytes_max)
    store = AssetStore(settings)

    async def test(ledger: SqlLedger) -> None:
        for name, expires_at in (("a", NOW_S - 1), ("b", NOW_S + 1), ("c", NOW_S + 1)):
            await keep(ledger, store, name, expires_at)
        await reap(settings, ledger, store, now_s=NOW_S)
        kept = {path.name for path in store.root.rglob("*") if path.is_file()}
        assert kept == left
        for name in "abc":
            assert bool(await ledger.assets_of(f"call_{name}")) == (name in left)
        assert await ledger.asset_bytes() == 2 * SIZE * len(left)

    in_loop(f"sqlite:///{tmp_path}/ledger.db", test)


def test_evidence_goes_when_it_is_old(tmp_path: Path) -> None:
    settings = AssetSettings(folder=str(tmp_path / "data"), evidence_s=100.0)
    store = AssetStore(settings)
    for name, age_s in (("old", 101), ("new", 99)):
        (tmp_path / name).write_bytes(b"half an answer")
        store.keep_evidence(tmp_path / name, name)
        os.utime(tmp_path / "data" / "evidence" / name, (NOW_S - age_s,) * 2)

    async def test(ledger: SqlLedger) -> None:
        await reap(settings, ledger, store, now_s=NOW_S)
        assert [path.name for path in (tmp_path / "data" / "evidence").iterdir()] == ["new"]

    in_loop(f"sqlite:///{tmp_path}/ledger.db", test)
