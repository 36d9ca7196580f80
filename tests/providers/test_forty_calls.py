"""Forty calls at once at an upstream that answers nobody until it holds them all. No clock."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from imagegate.assets.spool import read_bytes
from imagegate.call_options import CallOptions
from imagegate.catalogue.rows import builtin_catalogue
from imagegate.config.settings import AssetSettings, Deployment, Settings
from imagegate.running import Outcome
from imagegate.runtime.assemble import Runtime, open_runtime
from imagegate.types import ImageCall
from imagegate.wire.provider import Provider
from tests.exchanges.recorded import BY_HTTP, Upstream, deployment_of, recorded, served

CALLS = 40
SAFETY_S = 120.0  # only so that a failure ends; nothing is measured


@asynccontextmanager
async def runtime_of(folder: Path, *deployments: Deployment) -> AsyncIterator[Runtime]:
    settings = Settings(
        deployments=deployments,
        catalogue=builtin_catalogue(),
        assets=AssetSettings(folder=str(folder)),
        database_url="",
    )
    runtime = await open_runtime(settings, embedded=True)
    yield runtime
    await runtime.aclose()


async def make(runtime: Runtime, group: str, number: int) -> Outcome:
    call_id = f"call_{group}_{number}"
    spool = runtime.spool.open_call(call_id)
    call = ImageCall(id=call_id, operation="generate", model=group, prompt="a red cube")
    running = await runtime.pipeline.start(call, spool, CallOptions())
    try:
        outcome = await running.wait()
        image = outcome.result.images[0].blob
        assert image
        assert read_bytes(image)
        return outcome
    finally:
        running.release()


@pytest.mark.parametrize("provider", BY_HTTP, ids=lambda provider: provider.name)
def test_forty_calls_are_under_way_at_once(provider: Provider, tmp_path: Path) -> None:
    async def run() -> None:
        upstream = Upstream(recorded(provider), CALLS)
        async with (
            asyncio.timeout(SAFETY_S),
            served(upstream) as origin,
            runtime_of(tmp_path, deployment_of(provider, recorded(provider), origin)) as runtime,
        ):
            calls = [
                asyncio.create_task(make(runtime, provider.name, number)) for number in range(CALLS)
            ]
            await upstream.is_full.wait()
            upstream.may_answer.set()
            outcomes = await asyncio.gather(*calls)
        assert len(outcomes) == CALLS

    asyncio.run(run())


def test_slow_calls_to_one_provider_do_not_delay_another(tmp_path: Path) -> None:
    async def run() -> None:
        slow, quick = BY_HTTP[0], BY_HTTP[1]
        held, open_ = Upstream(recorded(slow), CALLS), Upstream(recorded(quick), 1)
        open_.may_answer.set()
        async with (
            asyncio.timeout(SAFETY_S),
            served(held) as slow_origin,
            served(open_) as quick_origin,
            runtime_of(
                tmp_path,
                deployment_of(slow, recorded(slow), slow_origin),
                deployment_of(quick, recorded(quick), quick_origin),
            ) as runtime,
        ):
            calls = [
                asyncio.create_task(make(runtime, slow.name, number)) for number in range(CALLS)
            ]
            await held.is_full.wait()
            await make(runtime, quick.name, 0)  # ends while all the others wait
            held.may_answer.set()
            await asyncio.gather(*calls)

    asyncio.run(run())
