"""A provider on loopback that answers as it was recorded, and a gateway in front of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from imagegate.catalogue.rows import builtin_catalogue
from imagegate.config.settings import AssetSettings, Deployment, Settings
from imagegate.providers import PROVIDERS, openai_compatible
from imagegate.types import Secret
from imagegate.wire.provider import Provider
from tests.exchanges import case as cases
from tests.exchanges.case import Case
from tests.gateway.running import RunningGateway
from tests.upstream.pictures import picture

T = TypeVar("T")
RESULT_PATH = "/result.png"
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


def settings_of(folder: Path, *deployments: Deployment) -> Settings:
    """Return the settings of a gateway that keeps everything in `folder`."""
    return Settings(
        deployments=deployments,
        catalogue=builtin_catalogue(),
        assets=AssetSettings(folder=str(folder / "data")),
        database_url=Secret(f"sqlite:///{folder}/ledger.db"),
    )


def in_front_of(upstream: Upstream, talk: Callable[[str], T]) -> T:
    """Return what `talk` returns, in a thread, while `upstream` is served; it gets the origin."""

    async def scene() -> T:
        async with served(upstream) as origin:
            return await asyncio.to_thread(talk, origin)

    return asyncio.run(scene())


def at_gateway(
    provider: Provider, case: Case, folder: Path, talk: Callable[[RunningGateway], T]
) -> T:
    """Return what `talk` returns at a gateway whose `img` is this provider, answering as `case`."""
    upstream = Upstream(case, 1)
    upstream.may_answer.set()

    def run(origin: str) -> T:
        deployment = deployment_of(provider, case, origin)
        settings = settings_of(folder, msgspec.structs.replace(deployment, group="img"))
        with RunningGateway(settings) as gateway:
            return talk(gateway)

    return in_front_of(upstream, run)
