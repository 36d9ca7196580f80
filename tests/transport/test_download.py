"""Untrusted urls: what is fetched, and that nothing else is even connected to."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from imagegate.errors import BadRequestError
from imagegate.transport.addresses import (
    UrlRefusedError,
    check_url,
    is_outside_clouds,
    is_public,
    is_this_host,
)
from imagegate.transport.download import Downloader, DownloadLimits, Fetched

HOST = "images.example"
OTHER_HOST = "evil.example"
LIMITS = DownloadLimits(bytes_max=1000, seconds_max=20)
BODY = b"\x89PNG not really"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Names(AbstractResolver):
    """A resolver with answers by host, one after the other, the last one again and again."""

    answers: Mapping[str, Sequence[Sequence[str]]]
    asked: list[str] = field(default_factory=list)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answers = self.answers[host]
        addresses = answers[min(self.asked.count(host), len(answers) - 1)]
        self.asked.append(host)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        return None


@dataclass
class Site:
    """A server on loopback and the requests that reached it."""

    port: int = 0
    requests: list[web.BaseRequest] = field(default_factory=list)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@asynccontextmanager
async def serving(handler: Handler, certificate: Path | None) -> AsyncIterator[Site]:
    site = Site()

    async def record(request: web.BaseRequest) -> web.StreamResponse:
        site.requests.append(request)
        return await handler(request)

    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    runner = web.ServerRunner(web.Server(record), shutdown_timeout=0.1)
    await runner.setup()
    endpoint = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await endpoint.start()
    site.port = runner.addresses[0][1]
    try:
        yield site
    finally:
        await runner.cleanup()


def is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def fetch(
    handler: Handler,
    certificate: Path | None,
    url: str = f"https://{HOST}:PORT/a.png",
    *,
    policy: Callable[[str], bool] = is_loopback,
    names: Names | None = None,
    limits: DownloadLimits = LIMITS,
    **options: object,
) -> tuple[Fetched | BadRequestError, bytes, Site]:
    """Fetch `url` from a server with `handler`; PORT stands for its port in all strings."""

    async def main() -> tuple[Fetched | BadRequestError, bytes, Site]:
        written = bytearray()
        async with serving(handler, certificate) as site:
            tls = ssl.create_default_context(cafile=certificate) if certificate else None
            resolver = names or Names({HOST: [["127.0.0.1"]], OTHER_HOST: [["127.0.0.1"]]})
            downloader = Downloader(policy=policy, resolver=resolver, tls=tls)
            given = {
                key: value.replace("PORT", str(site.port)) if isinstance(value, str) else value
                for key, value in options.items()
            }
            try:
                result: Fetched | BadRequestError = await downloader.fetch(
                    url.replace("PORT", str(site.port)),
                    write=written.extend,
                    limits=limits,
                    param="image",
                    **given,  # type: ignore[arg-type]
                )
            except BadRequestError as error:
                result = error
            finally:
                await downloader.aclose()
        return result, bytes(written), site

    return asyncio.run(main())


async def answer(request: web.BaseRequest) -> web.Response:
    return web.Response(body=BODY, content_type="image/png")


def redirecting(*locations: str) -> Handler:
    """Answer with one redirect after the other, then with the body."""
    left = list(locations)

    async def redirect(request: web.Request) -> web.Response:
        if not left:
            return await answer(request)
        port = str(request.transport.get_extra_info("sockname")[1])
        return web.Response(status=302, headers={"location": left.pop(0).replace("PORT", port)})

    return redirect


def refused(result: object, reason: str) -> None:
    assert isinstance(result, BadRequestError)
    assert result.param == "image"
    assert reason in result.message


def test_an_image_is_fetched_without_credentials_cookies_or_compression(certificate: Path) -> None:
    result, written, site = fetch(answer, certificate)
    assert result == Fetched("image/png", len(BODY))
    assert written == BODY
    sent = site.requests[0].headers
    assert sent["Accept-Encoding"] == "identity"
    assert not {"Authorization", "Cookie", "Referer"} & set(sent)


def test_a_signed_url_arrives_as_it_was_written(certificate: Path) -> None:
    path = "/a%2Fb%20c.png?sig=a%2Bb%3D&x=~%7e"
    _, _, site = fetch(answer, certificate, f"https://{HOST}:PORT{path}#fragment")
    assert site.requests[0].raw_path == path  # type: ignore[attr-defined]


def test_the_environments_proxy_is_not_used(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    result, _, _ = fetch(answer, certificate)
    assert isinstance(result, Fetched)


def test_a_private_address_is_refused_by_default_and_never_connected_to(certificate: Path) -> None:
    result, _, site = fetch(answer, certificate, policy=is_public)
    refused(result, "no public address")
    assert not site.requests


def test_a_private_address_in_the_url_is_refused_by_default(certificate: Path) -> None:
    result, _, site = fetch(answer, certificate, "https://127.0.0.1:PORT/", policy=is_public)
    refused(result, "not public")
    assert not site.requests


def test_only_the_allowed_addresses_of_a_name_are_connected_to(certificate: Path) -> None:
    names = Names({HOST: [["10.0.0.1", "127.0.0.1"]]})
    result, _, site = fetch(answer, certificate, names=names)
    assert isinstance(result, Fetched)
    assert len(site.requests) == 1


def test_a_name_that_changes_its_address_gains_nothing(certificate: Path) -> None:
    names = Names({HOST: [["127.0.0.1"], ["169.254.169.254"]]})
    handler = redirecting(f"https://{HOST}:PORT/again")
    result, _, site = fetch(handler, certificate, names=names)
    refused(result, "no public address")
    assert names.asked == [HOST, HOST]
    assert len(site.requests) == 1


def test_the_address_is_checked_again_when_the_socket_is_opened(certificate: Path) -> None:
    verdicts = iter([True, False])
    result, _, site = fetch(answer, certificate, policy=lambda _address: next(verdicts))
    refused(result, "not public")
    assert not site.requests


def test_redirects_are_followed(certificate: Path) -> None:
    handler = redirecting("/b.png", f"https://{HOST}:PORT/c.png", "d.png")
    result, written, site = fetch(handler, certificate)
    assert isinstance(result, Fetched)
    assert written == BODY
    assert len(site.requests) == 4


def test_a_fourth_redirect_is_refused(certificate: Path) -> None:
    result, _, site = fetch(redirecting(*["/again"] * 9), certificate)
    refused(result, "redirects more than 3 times")
    assert len(site.requests) == 4


@pytest.mark.parametrize(
    "location",
    [
        "http://images.example:PORT/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:127.0.0.1]:PORT/",
        "https://user:secret@images.example:PORT/",
        "https://2130706433:PORT/",
        "file:///etc/passwd",
        "ftp://images.example/",
    ],
)
def test_a_redirect_is_checked_like_the_first_url(certificate: Path, location: str) -> None:
    def is_ipv4_loopback(address: str) -> bool:
        return address == "127.0.0.1"

    result, written, site = fetch(redirecting(location), certificate, policy=is_ipv4_loopback)
    refused(result, "cannot be fetched")
    assert not written
    assert len(site.requests) == 1


def test_a_certificate_for_another_host_is_refused(certificate: Path) -> None:
    result, _, site = fetch(answer, certificate, f"https://{OTHER_HOST}:PORT/")
    refused(result, "TLS")
    assert not site.requests


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_body_over_the_limit_is_cut(certificate: Path, is_announced: bool) -> None:
    async def large(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        if is_announced:
            response.content_length = 5000
        await response.prepare(request)
        for _ in range(50):
            await response.write(bytes(100))
        return response

    result, written, _ = fetch(large, certificate)
    refused(result, "larger than 1000 bytes")
    assert len(written) <= 1000


def test_a_compressed_body_is_refused(certificate: Path) -> None:
    async def compressed(request: web.BaseRequest) -> web.Response:
        return web.Response(body=b"\x1f\x8b", headers={"content-encoding": "gzip"})

    result, written, _ = fetch(compressed, certificate)
    refused(result, "compresses")
    assert not written


def test_a_server_that_stays_silent_is_left(certificate: Path) -> None:
    async def silent(request: web.BaseRequest) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    limits = DownloadLimits(bytes_max=1000, seconds_max=0.2)
    result, _, _ = fetch(silent, certificate, limits=limits)
    refused(result, "longer than 0.2 s")


def test_half_a_body_is_refused(certificate: Path) -> None:
    async def half(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        request.transport.abort()
        return response

    result, _, _ = fetch(half, certificate)
    refused(result, "broke off")


def test_an_error_status_is_told_without_the_urls_secrets(certificate: Path) -> None:
    async def missing(request: web.BaseRequest) -> web.Response:
        return web.Response(status=404)

    result, written, _ = fetch(missing, certificate, f"https://{HOST}:PORT/p?sig=secret")
    refused(result, f"at {HOST} cannot be fetched: its server answered with status 404")
    assert "secret" not in str(result)
    assert not written


def test_http_is_refused() -> None:
    result, _, site = fetch(answer, None, f"http://{HOST}:PORT/")
    refused(result, "only https")
    assert not site.requests


def test_a_trusted_origin_may_be_http_and_private() -> None:
    result, written, _ = fetch(
        answer,
        None,
        "http://127.0.0.1:PORT/a.png",
        policy=is_public,
        trusted_origin="http://127.0.0.1:PORT/v1",
    )
    assert isinstance(result, Fetched)
    assert written == BODY


def test_another_port_is_not_the_trusted_origin() -> None:
    result, _, site = fetch(
        answer,
        None,
        "http://127.0.0.1:PORT/",
        policy=is_public,
        trusted_origin="http://127.0.0.1:9",
    )
    refused(result, "only https")
    assert not site.requests


@pytest.mark.parametrize("origin", ["", "sandbox://local", "http://127.1:PORT"])
def test_an_origin_that_is_no_plain_url_trusts_nothing(origin: str) -> None:
    url = "http://127.0.0.1:PORT/"
    result, _, site = fetch(answer, None, url, policy=is_public, trusted_origin=origin)
    refused(result, "only https")
    assert not site.requests


def test_a_redirect_away_from_the_trusted_origin_loses_the_trust(certificate: Path) -> None:
    handler = redirecting(f"https://{OTHER_HOST}:PORT/")
    result, _, site = fetch(
        handler, certificate, policy=is_public, trusted_origin=f"https://{HOST}:PORT"
    )
    refused(result, "no public address")
    assert len(site.requests) == 1


def test_a_redirect_to_the_trusted_origin_gains_nothing(certificate: Path) -> None:
    handler = redirecting(f"https://{HOST}:PORT/private")
    result, _, site = fetch(
        handler,
        certificate,
        "https://127.0.0.1:PORT/",
        policy=is_public,
        trusted_origin=f"https://{HOST}:PORT",
    )
    refused(result, "not public")
    assert not site.requests


@pytest.mark.parametrize(
    ("hosts", "is_taken"),
    [((), True), ((HOST,), True), ((HOST.upper(),), True), (("other.test",), False),
     ((f".{HOST}",), False), ((HOST[HOST.index("."):],), True)],
)  # fmt: skip
def test_only_the_listed_hosts_are_fetched_from(
    hosts: tuple[str, ...], is_taken: bool, certificate: Path
) -> None:
    result, _, _ = fetch(answer, certificate, only_hosts=hosts)
    if is_taken:
        assert isinstance(result, Fetched)
    else:
        refused(result, "none of those that this provider's images come from")


def test_an_allowed_host_may_be_private_but_needs_tls(certificate: Path) -> None:
    result, _, _ = fetch(answer, certificate, policy=is_public, allow_hosts=[HOST.upper()])
    assert isinstance(result, Fetched)
    plain, _, _ = fetch(answer, None, f"http://{HOST}:PORT/", policy=is_public, allow_hosts=[HOST])
    refused(plain, "only https")


@pytest.mark.parametrize(
    "url",
    [
        "https://2130706433/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://127.0.0.1./",
        "https://localhost./",
        "https://1.2.3.0x4/",
        "https://①②⑦.⓪.⓪.①/",
        "https://\uff45xample.com/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com@127.0.0.1/",
        "https://user:secret@example.com/",
        "https://exa\tmple.com/",
        "https://example.com/\n",
        " https://example.com/",
        "https://exam%70le.com/",
        "https://[::1%25eth0]/",
        "https://[v1.a]/",
        "https://example.com:99999/",
        "https://example.com:x/",
        "https:///path",
        "https:example.com",
        "https://-a.example/",
        "https://a..example/",
        "//example.com/",
        "example.com",
        "",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        f"https://example.com/{'a' * 9000}",
        f"https://{'a.' * 130}example/",
    ],
)
def test_a_url_that_parsers_may_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(UrlRefusedError):
        check_url(url)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Example.COM/a?b=c", ("https", "example.com", 443)),
        ("https://example.com:8443/", ("https", "example.com", 8443)),
        ("http://localhost:8000", ("http", "localhost", 8000)),
        ("https://8.8.8.8/", ("https", "8.8.8.8", 443)),
        ("https://[2606:4700::1111]/", ("https", "2606:4700::1111", 443)),
        ("https://xn--mller-kva.example/", ("https", "xn--mller-kva.example", 443)),
        ("https://a_b.example/x~y/(1),[2]?q=%20", ("https", "a_b.example", 443)),
    ],
)
def test_an_ordinary_url_is_read(url: str, origin: tuple[str, str, int]) -> None:
    assert check_url(url).origin == origin


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.192",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "localhost",
        "",
    ],
)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "20.1.2.3", "2606:4700::1111"])
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("address", "is_ones_own"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("10.0.0.7", True),
        ("100.64.0.9", True),
        ("fd12:3456::1", True),
        ("93.184.215.14", True),
        ("169.254.169.254", False),
        ("::ffff:169.254.169.254", False),
        ("100.100.100.200", False),
        ("168.63.129.16", False),
        ("192.0.0.192", False),
        ("fd00:ec2::254", False),
        ("fd20:ce::254", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("0.0.0.0", False),
        ("::", False),
        ("224.0.0.1", False),
        ("2002:a9fe:a9fe::1", False),
        ("guard.test", False),
    ],
)
def test_where_a_service_of_ones_own_may_be(address: str, is_ones_own: bool) -> None:
    assert is_outside_clouds(address) is is_ones_own


def test_plain_http_stays_on_this_host() -> None:
    assert is_this_host("127.0.0.1")
    assert is_this_host("::1")
    assert not any(map(is_this_host, ("10.0.0.7", "93.184.215.14", "localhost", "::")))
