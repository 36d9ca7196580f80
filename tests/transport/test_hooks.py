"""Posts to urls that callers named: what is sent, and that nothing private is connected to."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from imagegate.transport.addresses import is_public
from imagegate.transport.hooks import HookError, HookPoster
from tests.transport.test_download import (
    HOST,
    OTHER_HOST,
    Handler,
    Names,
    Site,
    certificate,  # noqa: F401 - a fixture
    is_loopback,
    serving,
)

BODY = b'{"type": "image.call.done"}'


async def take(request: web.BaseRequest) -> web.Response:
    assert await request.read() == BODY
    return web.Response(status=204)


def post(
    handler: Handler,
    certificate: Path | None,  # noqa: F811
    url: str = f"https://{HOST}:PORT/hook?a=%2F",
    *,
    policy: Callable[[str], bool] = is_loopback,
    names: Names | None = None,
    allow_hosts: tuple[str, ...] = (),
) -> tuple[HookError | None, Site]:
    """Post to a server with `handler`; return what went wrong, and what reached it."""

    async def main() -> tuple[HookError | None, Site]:
        async with serving(handler, certificate) as site:
            tls = ssl.create_default_context(cafile=certificate) if certificate else None
            resolver = names or Names({HOST: [["127.0.0.1"]], OTHER_HOST: [["127.0.0.1"]]})
            poster = HookPoster(policy=policy, resolver=resolver, tls=tls)
            try:
                target = url.replace("PORT", str(site.port))
                await poster.post(target, BODY, {"webhook-id": "m"}, allow_hosts=allow_hosts)
            except HookError as error:
                return error, site
            finally:
                await poster.aclose()
        return None, site

    return asyncio.run(main())


def test_a_message_arrives_with_its_headers_and_nothing_else(certificate: Path) -> None:  # noqa: F811
    error, site = post(take, certificate)
    assert error is None
    [request] = site.requests
    assert request.raw_path == "/hook?a=%2F"  # type: ignore[attr-defined]
    assert request.headers["webhook-id"] == "m"
    assert request.headers["content-type"] == "application/json"
    assert not {"Authorization", "Cookie", "Referer"} & set(request.headers)


def test_a_redirect_is_a_failure(certificate: Path) -> None:  # noqa: F811
    async def elsewhere(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=302, headers={"location": f"https://{OTHER_HOST}/"})

    error, site = post(elsewhere, certificate)
    assert error is not None
    assert (str(error), error.status) == ("it answered with status 302", 302)
    assert len(site.requests) == 1


def test_a_name_that_changes_its_mind_gains_nothing(certificate: Path) -> None:  # noqa: F811
    names = Names({HOST: [["10.0.0.7"]]})
    error, site = post(take, certificate, policy=is_public, names=names)
    assert str(error) == "its host has no public address"
    assert not site.requests


@pytest.mark.parametrize("url", ["http://127.0.0.1:PORT/", "https://127.0.0.1:PORT/"])
def test_a_private_host_is_called_where_the_operator_names_it(url: str) -> None:
    error, site = post(take, None, url, policy=is_public)
    assert error is not None
    assert not site.requests
    error, site = post(take, None, url, policy=is_public, allow_hosts=("127.0.0.1",))
    is_plain = url.startswith("http:")
    assert (error is None, len(site.requests)) == (is_plain, int(is_plain))


def test_an_unknown_certificate_is_refused(certificate: Path) -> None:  # noqa: F811
    error, site = post(take, certificate, f"https://{OTHER_HOST}:PORT/")
    assert str(error) == "its TLS certificate or connection is not valid"
    assert not site.requests
