"""Google's tokens, from a token server and a metadata server on loopback."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from imagegate.config.settings import Credential
from imagegate.errors import UpstreamCredentialError, UpstreamUnreachableError
from imagegate.transport.auth import Tokens, headers_for
from imagegate.transport.google import GoogleToken, make_source
from imagegate.types import Secret

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOKEN = {"access_token": "ya29.test-1", "expires_in": 3599, "token_type": "Bearer"}
ADC_VARIABLES = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_PROJECT",
    "GCE_METADATA_HOST",
    "GCE_METADATA_IP",
    "CLOUDSDK_CONFIG",
)


class Server(ThreadingHTTPServer):
    """Answers as Google's token, STS and metadata servers do; keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.refusal: tuple[int, str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.asked.append((self.path, parse_qs(body)))
        if self.server.refusal:
            self.answer(*self.server.refusal)
        else:
            self.answer(200, json.dumps(TOKEN))

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.server.asked.append((path, {}))
        if path.endswith("/project-id"):
            self.answer(200, "fake-proj", "text/plain")
        elif path.endswith("/token"):
            self.answer(200, json.dumps(TOKEN))
        elif path.endswith("/universe-domain"):
            self.answer(200, "googleapis.com", "text/plain")
        elif "service-accounts" in path:
            account = {"email": "sa@x", "scopes": [SCOPE], "aliases": ["default"]}
            self.answer(200, json.dumps(account))
        else:
            self.answer(200, "ok", "text/plain")

    def answer(self, status: int, body: str, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body.encode())))
        self.send_header("metadata-flavor", "Google")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def google() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def account(server: Server, private_key: str) -> Credential:
    info = {
        "type": "service_account",
        "project_id": "acme",
        "private_key_id": "k1",
        "private_key": private_key,
        "client_email": "img@acme.iam.gserviceaccount.com",
        "token_uri": f"{server.url}/token",
        "quota_project_id": "acme-billing",
    }
    return Credential("google", Secret(json.dumps(info)), {"scope": SCOPE})


def tokens() -> Tokens:
    return Tokens(make_source, issuer="Google")


def token_of(credential: Credential) -> GoogleToken:
    found = asyncio.run(tokens().access(credential))
    assert isinstance(found, GoogleToken)
    return found


def test_a_service_account_signs_for_a_token(google: Server, private_key: str) -> None:
    found = token_of(account(google, private_key))
    assert found.token == "ya29.test-1"
    assert found.quota_project == "acme-billing"
    ((path, form),) = google.asked
    assert path == "/token"
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assert form["assertion"][0].count(".") == 2


def test_the_headers_are_for_the_deployments_own_host(google: Server, private_key: str) -> None:
    origin = "https://aiplatform.googleapis.com"
    credential = account(google, private_key)

    async def sign(url: str) -> dict[str, str]:
        return await headers_for(credential, url, origin, ())

    assert asyncio.run(sign("https://storage.googleapis.com/x")) == {}
    assert google.asked == []
    assert asyncio.run(sign(f"{origin}/v1/projects/acme")) == {
        "authorization": "Bearer ya29.test-1",
        "x-goog-user-project": "acme-billing",
    }


def test_fifty_calls_at_once_fetch_one_token(google: Server, private_key: str) -> None:
    kept, credential = tokens(), account(google, private_key)

    async def scenario() -> list[str]:
        return await asyncio.gather(*(kept.token(credential) for _ in range(50)))

    assert asyncio.run(scenario()) == ["ya29.test-1"] * 50
    assert len(google.asked) == 1


def test_a_refused_account_is_the_operators_fault(google: Server, private_key: str) -> None:
    google.refusal = (400, json.dumps({"error": "invalid_grant", "error_description": "Invalid"}))
    with pytest.raises(UpstreamCredentialError, match="invalid_grant"):
        token_of(account(google, private_key))


def test_no_token_server_is_no_network(google: Server, private_key: str) -> None:
    info = json.loads(account(google, private_key).secret.reveal())
    info["token_uri"] = "http://127.0.0.1:9/token"
    with pytest.raises(UpstreamUnreachableError, match="Nothing was sent"):
        token_of(Credential("google", Secret(json.dumps(info)), {"scope": SCOPE}))


def test_a_key_that_is_none_is_told_without_its_text() -> None:
    info = {
        "type": "service_account",
        "client_email": "a@b",
        "token_uri": "http://127.0.0.1:9/token",
        "private_key": "canary-private-key",
    }
    with pytest.raises(UpstreamCredentialError) as caught:
        token_of(Credential("google", Secret(json.dumps(info)), {"scope": SCOPE}))
    assert "canary" not in caught.value.message


def test_workload_identity_trades_the_token_of_a_file(google: Server, tmp_path: Path) -> None:
    subject = tmp_path / "token"
    subject.write_text("subject-token")
    info = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{google.url}/sts",
        "credential_source": {"file": str(subject)},
    }
    credential = Credential("google", Secret(json.dumps(info)), {"scope": SCOPE})
    assert token_of(credential).token == "ya29.test-1"
    path, form = google.asked[0]
    assert (path, form["subject_token"]) == ("/sts", ["subject-token"])


def test_the_machines_own_account_comes_from_the_metadata_server(
    google: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ADC_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    host = google.url.removeprefix("http://")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GCE_METADATA_HOST", host)
    monkeypatch.setenv("GCE_METADATA_IP", host)
    found = token_of(Credential("google", entra={"scope": SCOPE}))
    assert (found.token, found.quota_project) == ("ya29.test-1", "")
    assert google.asked[-1][0].endswith("/service-accounts/default/token")
