"""Forty calls at once at an upstream that answers nobody until it holds them all. No clock."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from aiohttp import web

from imagegate.assets.spool import read_bytes
from imagegate.catalogue.rows import builtin_catalogue
from imagegate.config.settings import AssetSettings, Deployment, Settings
from imagegate.providers import PROVIDERS, openai_compatible
from imagegate.running import CallOptions, Outcome
from imagegate.runtime.assemble import Runtime, open_runtime
from imagegate.types import ImageCall
from imagegate.wire.provider import Provider
from tests.exchanges import case as cases
from tests.exchanges.case import Case
from tests.upstream.pictures import picture

CALLS = 40
RESULT_PATH = "/result.png"
SAFETY_S = 120.0  # only so that a failure ends; nothing is measured
BY_HTTP = [one for one in PROVIDERS if one.auth != "none" and one.generate is not None]


def recorded(provider: Provider) -> Case:
    """Return a recorded success; one whose answer holds the image itself, where there is one.

    A row of the compatible servers without cases of its own answers as they do.
    """
    found = [
        case
        for case in cases.cases_of(provider.name)
        if case.case.startswith("success") and case.operation == "generate"
    ]
    if not found:
        return recorded(openai_compatible.PROVIDER)
    return next((case for case in found if has_bytes(case)), found[0])


def has_bytes(case: Case) -> bool:
    images = (case.result or {}).get("images", ())
    return len(case.turns) == 1 and all("base64" in image for image in images)


class Upstream:
    """Answers each call as recorded, none before it holds `wanted` of them.

    Polls are answered at once by the end of the recording, urls in it lead back here.
    """

    def __init__(self, case: Case, wanted: int) -> None:
        self._case = case
        self._wanted = wanted
        self._held = 0
        self.is_full = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        """Take the whole request, wait, answer."""
        await request.read()
        if request.path == RESULT_PATH:
            return web.Response(content_type="image/png", body=picture("a red cube"))
        if request.method == "POST":
            self._held += 1
            if self._held == self._wanted:
                self.is_full.set()
            await self.may_answer.wait()
        response = self._case.turns[0 if request.method == "POST" else -1].response
        headers = {"content-type": "application/json", **response.headers}
        body = self._led_back(response.body, str(request.url.origin()))
        return web.Response(status=response.status, headers=headers, body=body.encode())

    def _led_back(self, body: str, origin: str) -> str:
        for image in (self._case.result or {}).get("images", ()):
            body = body.replace(image.get("url") or "\0", f"{origin}{RESULT_PATH}")
        for turn in self._case.turns[1:]:
            url = urlsplit(turn.request.url)
            body = body.replace(f"{url.scheme}://{url.netloc}", origin)
        return body


@asynccontextmanager
async def served(upstream: Upstream) -> AsyncIterator[str]:
    """Serve on loopback; yield the origin."""
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", upstream.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    yield f"http://{host}:{port}"
    await runner.cleanup()


def deployment_of(provider: Provider, case: Case, origin: str) -> Deployment:
    """Return the recorded deployment, at `origin`."""
    path = urlsplit(case.target.base_url).path
    target = msgspec.structs.replace(case.target, base_url=f"{origin}{path}")
    row = builtin_catalogue().find(f"{provider.name}/{case.target.upstream_model}")
    return Deployment(id=provider.name, group=provider.name, provider=provider, target=target,
                      model=row)  # fmt: skip


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
