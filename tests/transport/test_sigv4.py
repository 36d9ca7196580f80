import asyncio
import base64
import datetime
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs

import pytest
from botocore.credentials import Credentials

from imagegate.assets.spool import Spool
from imagegate.config.settings import AssetSettings, Credential, Deployment
from imagegate.errors import UpstreamCredentialError, UpstreamUnreachableError
from imagegate.providers import bedrock
from imagegate.transport.live import LiveConversation, Transport
from imagegate.transport.sigv4 import (
    SOURCE_S_MAX,
    Keys,
    Sources,
    build_signature,
    hash_body,
    make_source,
    sign,
)
from imagegate.types import Blob, Encoded, ImageCall, Secret
from imagegate.wire.exchange import UpstreamRequest
from imagegate.wire.provider import Target

REGION = "us-west-2"
HEADERS = {"accept": "application/json", "content-type": "application/json"}
BODY = b'{"prompt":"a red cube"}'
NOON_S = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC).timestamp()
SAMPLE = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
GIVEN = {
    "aws_access_key_id": Secret("AKIDEXAMPLE"),
    "aws_secret_access_key": Secret("s-canary-test"),
}


def url_of(model_id: str) -> str:
    return f"https://bedrock-runtime.{REGION}.amazonaws.com/model/{model_id}/invoke"


def signed(url: str, keys: Keys = SAMPLE, **headers: str) -> dict[str, str]:
    request = UpstreamRequest("POST", url, (BODY,), HEADERS)
    digest = hash_body(request.body)
    return build_signature(keys, REGION, request, HEADERS | headers, digest, now_s=NOON_S)


@pytest.mark.parametrize(
    ("model_id", "signature"),
    [
        (
            "us.stability.stable-image-inpaint-v1%3A0",
            "e76e389dc018e66638e76ffde6c32bcd4bf024812b65deb4982c8758c65d33a6",
        ),
        (
            "stability.sd3-5-large-v1%3A0",
            "4373d86c4aac7aceef3da403ac7bfb177e44fbb0f8eaf707fb38f61e4bdb452d",
        ),
    ],
)
def test_known_signatures(model_id: str, signature: str) -> None:
    assert signed(url_of(model_id)) == {
        "x-amz-date": "20261120T120000Z",
        "authorization": (
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261120/us-west-2/bedrock/aws4_request, "
            f"SignedHeaders=accept;content-type;host;x-amz-date, Signature={signature}"
        ),
    }


def test_a_sessions_token_is_sent_and_signed() -> None:
    headers = signed(url_of("m"), Credentials("AKIDEXAMPLE", "s", "t-test"))
    assert headers["x-amz-security-token"] == "t-test"
    assert "x-amz-date;x-amz-security-token," in headers["authorization"]


def test_aws_own_headers_are_signed_and_ours_are_not() -> None:
    more = {"X-Amzn-Bedrock-GuardrailIdentifier": "g-1", "User-Agent": "imagegate"}
    names = signed(url_of("m"), **more)["authorization"].partition("SignedHeaders=")[2]
    assert names.startswith("accept;content-type;host;x-amz-date;x-amzn-bedrock-guardrail")
    assert "user-agent" not in names


def test_a_body_of_blobs_is_hashed_as_it_is_sent() -> None:
    raw = bytes(range(256)) * 4096
    body = (b'{"image":"', Encoded(Blob(raw, 0, len(raw))), b'"}')
    whole = b'{"image":"' + base64.b64encode(raw) + b'"}'
    assert hash_body(body) == hashlib.sha256(whole).hexdigest()
    assert hash_body(()) == hashlib.sha256(b"").hexdigest()


# keys


@pytest.fixture(autouse=True)
def _no_keys_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


def keys_of(settings: Mapping[str, Secret]) -> tuple[str, str, str | None]:
    keys = Sources(make_source).keys(settings, REGION)
    return keys.access_key, keys.secret_key, keys.token


def sign_with(settings: Mapping[str, Secret]) -> dict[str, str]:
    request = UpstreamRequest("POST", url_of("m"), (BODY,), HEADERS)
    return asyncio.run(sign(Credential("sigv4", aws=settings), REGION, request, HEADERS))


def test_given_keys() -> None:
    assert keys_of(GIVEN) == ("AKIDEXAMPLE", "s-canary-test", None)
    assert keys_of(GIVEN | {"aws_session_token": Secret("t")})[2] == "t"


def test_a_profile_of_the_shared_file(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = AKD\naws_secret_access_key = sd\n"
        "[images]\naws_access_key_id = AKI\naws_secret_access_key = si\n"
    )
    assert keys_of({})[0] == "AKD"
    assert keys_of({"aws_profile_name": Secret("images")})[0] == "AKI"


def test_a_shared_file_is_read_again_after_a_while(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    now_s = [0.0]
    sources = Sources(make_source, now_s=lambda: now_s[0])

    def key_at(seconds: float, written: str) -> str:
        now_s[0] = seconds
        file.write_text(f"[default]\naws_access_key_id = {written}\naws_secret_access_key = s\n")
        return sources.keys({}, REGION).access_key

    assert key_at(0, "OLD") == "OLD"
    assert key_at(SOURCE_S_MAX - 1, "NEW") == "OLD"
    assert key_at(SOURCE_S_MAX, "NEW") == "NEW"


def test_without_any_key_the_remedy_is_named() -> None:
    with pytest.raises(UpstreamCredentialError, match="AWS_ACCESS_KEY_ID"):
        sign_with({})


def test_a_profile_that_does_not_exist() -> None:
    with pytest.raises(UpstreamCredentialError, match="images"):
        sign_with({"aws_profile_name": Secret("images")})


class Sts(BaseHTTPRequestHandler):
    """AWS's token service, as far as it is needed: it gives keys for a role."""

    asked: ClassVar[list[dict[str, str]]] = []
    status = 200
    url = ""

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["content-length"])).decode()
        fields = {name: values[0] for name, values in parse_qs(text).items()}
        self.asked.append(fields | {"authorization": self.headers.get("authorization", "")})
        self._answer(self.status, _keys_xml(fields["Action"]) if self.status == 200 else _DENIED)

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("content-type", "text/xml")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def _keys_xml(action: str) -> str:
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    return (
        f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>'
        "<Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s-role</SecretAccessKey>"
        f"<SessionToken>t-role</SessionToken><Expiration>{end:%Y-%m-%dT%H:%M:%SZ}</Expiration>"
        "</Credentials><AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/images/i</Arn>"
        "<AssumedRoleId>AROA:i</AssumedRoleId></AssumedRoleUser>"
        f"</{action}Result></{action}Response>"
    )


_DENIED = (
    '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
    "<Code>AccessDenied</Code><Message>not authorized to perform: sts:AssumeRole</Message></Error>"
    "</ErrorResponse>"
)


@pytest.fixture
def sts() -> Iterator[type[Sts]]:
    mine = type("Mine", (Sts,), {"asked": []})
    with served(mine) as mine.url:
        yield mine


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def role(sts: type[Sts], **more: str) -> dict[str, Secret]:
    settings = {
        "aws_role_name": "arn:aws:iam::123456789012:role/images",
        "aws_sts_endpoint": sts.url,
        **more,
    }
    return {name: Secret(value) for name, value in settings.items()}


def test_a_role_is_taken_once_with_the_given_keys(sts: type[Sts]) -> None:
    sources = Sources(make_source)
    settings = GIVEN | role(sts, aws_session_name="s1", aws_external_id="x1")
    for _ in range(2):
        keys = sources.keys(settings, REGION)
    assert (keys.access_key, keys.token) == ("ASIAROLE", "t-role")
    (asked,) = sts.asked
    assert (asked["RoleSessionName"], asked["ExternalId"]) == ("s1", "x1")
    assert "Credential=AKIDEXAMPLE/" in asked["authorization"]


def test_a_web_identity_is_read_anew_from_its_file(sts: type[Sts], tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    settings = role(sts, aws_web_identity_token=str(file))
    assert keys_of(settings)[0] == "ASIAROLE"
    assert keys_of(role(sts, aws_web_identity_token="a.b.c"))[0] == "ASIAROLE"
    assert [asked["WebIdentityToken"] for asked in sts.asked] == ["first", "a.b.c"]


def test_a_role_that_may_not_be_taken(sts: type[Sts]) -> None:
    sts.status = 403
    with pytest.raises(UpstreamCredentialError, match="AssumeRole") as caught:
        sign_with(GIVEN | role(sts))
    assert "canary" not in caught.value.message


def test_a_token_service_that_cannot_be_reached() -> None:
    settings = GIVEN | {
        "aws_role_name": Secret("arn:aws:iam::123456789012:role/images"),
        "aws_sts_endpoint": Secret("http://127.0.0.1:9"),
    }
    with pytest.raises(UpstreamUnreachableError, match="Nothing was sent"):
        sign_with(settings)


# on the wire


class Upstream(BaseHTTPRequestHandler):
    """Checks a signature as AWS would: the body's hash, the host and the path as they came."""

    seen: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.seen.append(
            {name.lower(): value for name, value in self.headers.items()}
            | {"path": self.path, "sha256": hashlib.sha256(body).hexdigest()}
        )
        answer = json.dumps({"seeds": [1], "finish_reasons": [None], "images": ["QUJD"]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def test_what_is_sent_has_the_signature_of_what_is_sent(tmp_path: Path) -> None:
    mine = type("Mine", (Upstream,), {"seen": []})
    with served(mine) as origin:
        asyncio.run(converse(origin, tmp_path, image_bytes=300_000))
    (seen,) = mine.seen
    when = datetime.datetime.strptime(seen["x-amz-date"] + "+0000", "%Y%m%dT%H%M%SZ%z")
    again = build_signature(
        Credentials("AKIDEXAMPLE", "s-canary-test"),
        REGION,
        UpstreamRequest("POST", origin + seen["path"]),
        seen,
        seen["sha256"],
        now_s=when.timestamp(),
    )
    assert seen["authorization"] == again["authorization"]
    assert "canary" not in json.dumps(seen)


async def converse(origin: str, folder: Path, image_bytes: int) -> None:
    model_id = "us.stability.stable-image-inpaint-v1:0"
    target = Target(origin, model_id, {"shape": "stability", "aws_region_name": REGION})
    deployment = Deployment(
        id="d",
        group="g",
        provider=bedrock.PROVIDER,
        target=target,
        credential=Credential("sigv4", aws=GIVEN),
    )
    spool = Spool(AssetSettings(folder=str(folder)))
    transport = Transport(spool, {})
    files = spool.open_call("call_1")
    try:
        file = files.new_file()
        file.write(bytes(image_bytes))
        image = Blob(file, 0, image_bytes, media_type="image/png")
        call = ImageCall(id="call_1", operation="edit", model="g", prompt="p", images=(image,))
        with LiveConversation(transport, deployment, "att_1", files) as conversation:
            response = await conversation.send(bedrock.build_invoke(call, target))
        assert response.status == 200
    finally:
        files.close()
        await transport.aclose()
