"""No credential of ours comes out anywhere, though the upstream repeats all that it is sent.

The upstream answers as recorded and puts the request's headers into its own headers, its words
and its JSON. The credentials look like no key that a pattern could know.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import imagegate
from imagegate.config.settings import Credential
from imagegate.errors import ImageError
from imagegate.types import Json, Secret
from imagegate.wire.provider import Provider
from tests.exchanges import case as cases
from tests.exchanges.case import Case
from tests.exchanges.recorded import BY_HTTP, Upstream, deployment_of, in_front_of, settings_of
from tests.gateway.running import RunningGateway

KEY = "canary-key/9f+Zq7=end"
HEADER = "canary-header/3k+Wv1=end"
TOKEN = "canary-token/5m+Xu2=end"
AWS = {
    "aws_access_key_id": "CANARYACCESSID99",
    "aws_secret_access_key": "canary-aws/7p+Ys4=end",
    "aws_session_token": "canary-session/1n+Tr6=end",
}
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
SENT_NEVER = {AWS["aws_secret_access_key"]}
TOLD = (
    "success_minimal", "empty_success", "bad_request", "bad_credential", "content_policy",
    "rate_limit", "unknown_model", "server_error_500", "broken_body", "stream", "stream_error",
)  # fmt: skip
KINDS = {
    "bearer": ("key",),
    "header": ("key",),
    "api-key": ("key", "token"),
    "sigv4": ("aws", "bearer"),
    "google": ("key", "account"),
}
OPENAI = next(provider for provider in BY_HTTP if provider.name == "openai")
SUBJECTS = [(provider, kind) for provider in BY_HTTP for kind in KINDS[provider.auth]]


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(pem, pkcs8, serialization.NoEncryption()).decode()


class Echo(Upstream):
    """Answers as `case` was recorded, and repeats the request's headers wherever it can."""

    def __init__(self, case: Case) -> None:
        super().__init__(case, 1)
        self.may_answer.set()
        self.asked: list[str] = []
        self.said = ""

    def play(self, case: Case) -> None:
        """Answer as this case from now on."""
        self._case = case

    async def answer(self, request: web.Request) -> web.Response:
        """Give Google its token; answer all else with an echo."""
        if request.path == "/token":
            return web.json_response({"access_token": TOKEN, "expires_in": 3600})
        self.asked.append(f"{request.url} {(await request.read())!r}")
        answer = await super().answer(request)
        if request.method == "GET" and answer.content_type == "image/png":
            return answer
        echo = " ".join(f"{name}: {value}" for name, value in request.headers.items())
        body = told(answer.text or "", f"{echo} {quote(echo, safe='')}")
        self.said += body
        recorded = {
            name: answer.headers[name] for name in answer.headers if name != "Content-Length"
        }
        headers = {**recorded, "x-request-id": echo, "x-ratelimit-echo": echo}
        return web.Response(status=answer.status, headers=headers, body=body.encode())


def told(body: str, echo: str) -> str:
    """Return `body` with the echo in each text for people, whatever its format."""
    if body.startswith(("data:", "event:", ":")):
        return "\n".join(told_line(line, echo) for line in body.split("\n"))
    try:
        answer = json.loads(body)
    except ValueError:
        return f"{body} {echo}"
    whole = with_echo(answer, echo)
    return json.dumps({**whole, "echo": echo} if isinstance(whole, dict) else whole)


def told_line(line: str, echo: str) -> str:
    field, colon, data = line.partition(": ")
    return f"data: {told(data, echo)}" if field == "data" and "{" in data else field + colon + data


def with_echo(value: Json, echo: str) -> Json:
    if isinstance(value, dict):
        return {name: with_echo(each, echo) for name, each in value.items()}
    if isinstance(value, list):
        return [with_echo(each, echo) for each in value]
    return f"{value} You sent {echo}" if isinstance(value, str) and " " in value else value


def credential_of(provider: Provider, kind: str, origin: str, private_key: str) -> Credential:
    """Return a credential of this kind, with an operator's own secret header beside it."""
    account = {
        "type": "service_account",
        "client_email": "img@acme.iam.gserviceaccount.com",
        "token_uri": f"{origin}/token",
        "private_key": private_key,
    }
    header = provider.auth_header or "x-goog-api-key"
    found = {
        "key": Credential("api-key", Secret(KEY)),
        "bearer": Credential("bearer", Secret(KEY)),
        "token": Credential("bearer", token_provider=lambda: TOKEN),
        "aws": Credential("sigv4", aws={name: Secret(value) for name, value in AWS.items()}),
        "account": Credential("google", Secret(json.dumps(account)), {"scope": SCOPE}),
    }[kind]
    if kind == "key" and provider.auth != "api-key":
        found = (
            Credential("bearer", Secret(KEY))
            if provider.auth == "bearer"
            else Credential("header", Secret(KEY), header=header)
        )
    return msgspec.structs.replace(found, headers={"x-team-secret": Secret(HEADER)})


def canaries_of(credential: Credential, private_key: str) -> set[str]:
    """Return all that must stay hidden."""
    own = {
        "sigv4": set(AWS.values()),
        "google": {TOKEN, private_key.splitlines()[3]},
        "bearer": {TOKEN if credential.token_provider else KEY},
    }
    return {HEADER} | own.get(credential.kind, {KEY})


def spellings(canaries: set[str]) -> Iterator[str]:
    for canary in canaries:
        yield from (canary, canary.replace("/", "\\/"), quote(canary, safe=""))


def cases_of(provider: Provider) -> dict[str, Case]:
    """Return the first case of each kind that is told, by its kind."""
    held = [case for case in cases.cases_of(provider.name) if case.operation == "generate"]
    # A job that fails late is polled with pauses; its words are read as those of the others.
    quick = [case for case in held if len(case.turns) == 1 or case.case == "success_minimal"]
    found = {case.case: case for case in reversed(quick) if case.case in TOLD}
    return found or cases_of(OPENAI)


def converse(gateway: RunningGateway, upstream: Echo, told_cases: Mapping[str, Case]) -> str:
    """Return everything that the callers of all cases were told, previews included."""
    heard = []
    for name, case in told_cases.items():
        upstream.play(case)
        call = {"model": name, "prompt": "a red cube", "stream": name.startswith("stream")}
        for path in ("/v1/images/generations", "/v1/images/preview"):
            answer = gateway.post(path, call)
            heard.append(f"{answer.status} {answer.headers} {answer.body.decode()}")
    return "\n".join(heard)


def kept_in(folder: Path) -> str:
    """Return all bytes of all files: journal, spool, ledger."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return "".join(path.read_bytes().decode("latin-1") for path in files)


@pytest.mark.parametrize(
    ("provider", "kind"), SUBJECTS, ids=[f"{provider.name}-{kind}" for provider, kind in SUBJECTS]
)
def test_no_credential_comes_out(
    provider: Provider,
    kind: str,
    private_key: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    told_cases = cases_of(provider)
    upstream = Echo(next(iter(told_cases.values())))

    def talk(origin: str) -> tuple[str, set[str]]:
        credential = credential_of(provider, kind, origin, private_key)
        deployments = (
            msgspec.structs.replace(
                deployment_of(provider, case, origin), group=name, id=name, credential=credential
            )
            for name, case in told_cases.items()
        )
        settings = settings_of(tmp_path, *deployments)
        with RunningGateway(settings) as gateway:
            heard = converse(gateway, upstream, told_cases)
            assert [*tmp_path.glob("data/**/journal-*")]
            kept = kept_in(tmp_path)
        out = heard + kept + kept_in(tmp_path) + repr(settings)
        return out, canaries_of(credential, private_key)

    out, canaries = in_front_of(upstream, talk)
    assert len(upstream.asked) >= len(told_cases) - 2, "nearly every call reached the upstream"
    sent = {one for one in canaries - SENT_NEVER if "\n" not in one and one in upstream.said}
    assert len(sent) >= 2, "the upstream repeats the credential and the operator's header"
    assert "****" in out, "callers see that something stood there"
    out += caplog.text + "".join(upstream.asked)
    assert [one for one in spellings(canaries) if one in out] == []


def test_the_sdks_error_hides_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    upstream = Echo(cases_of(OPENAI)["bad_credential"])

    def talk(origin: str) -> ImageError:
        with pytest.raises(ImageError) as caught:
            imagegate.image_generation(
                "a fox",
                model="openai/gpt-image-2",
                api_base=f"{origin}/v1",
                api_key=KEY,
                extra_headers={"x-team-secret": HEADER},
            )
        return caught.value

    error = in_front_of(upstream, talk)
    assert KEY in upstream.said
    assert HEADER in upstream.said
    assert error.upstream
    assert "****" in error.upstream.text
    seen = f"{error!r} {error} {error.upstream} {error.finding} {error.attempts} {caplog.text}"
    assert [one for one in spellings({KEY, HEADER}) if one in seen] == []
