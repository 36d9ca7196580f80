"""The check against botocore: its service model builds and signs requests, and reads answers."""

import io
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.session import Session

from imagegate.transport.sigv4 import build_signature, hash_body
from imagegate.wire.exchange import UpstreamRequest
from tests.exchanges.case import Case, Response, Turn, build_body

KEYS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session-test")
CLIENTS = ("botocore",)


class _Raw(io.BytesIO):
    """An answer's body as botocore reads it."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


def check_request(case: Case, turn: Turn) -> None:
    """Assert that botocore sends the recorded request, and that we sign it as it does."""
    sent, _ = _invoke(case, turn.request.url, build_body(turn.request), turn.response)
    assert (sent.method, sent.url) == (turn.request.method, turn.request.url)
    assert sent.body == build_body(turn.request)
    theirs = {name.lower(): _text(value) for name, value in sent.headers.items()}
    for name, value in turn.request.headers.items():
        assert theirs[name] == value
    request = UpstreamRequest(
        "POST", turn.request.url, (build_body(turn.request),), turn.request.headers
    )
    signed = build_signature(
        KEYS.get_frozen_credentials(),
        case.target.traits["aws_region_name"],
        request,
        turn.request.headers,
        hash_body(request.body),
        now_s=_seconds(theirs["x-amz-date"]),
    )
    assert {name: theirs[name] for name in signed} == signed


def check_answer(case: Case, response: Response) -> None:
    """Assert that botocore takes a good answer, and finds the same JSON in it."""
    url = f"{case.target.base_url}/model/m/invoke"
    _, answer = _invoke(case, url, b"{}", response)
    assert answer["contentType"] == "application/json"
    assert json.loads(answer["body"].read()) == json.loads(response.body)


def _invoke(
    case: Case, url: str, body: bytes, response: Response
) -> tuple[AWSPreparedRequest, Mapping[str, Any]]:
    """Return what botocore sends, and what it makes of the recorded answer; no socket is opened."""
    client = Session().create_client(
        "bedrock-runtime",
        region_name=case.target.traits["aws_region_name"],
        endpoint_url=case.target.base_url,
        aws_access_key_id=KEYS.access_key,
        aws_secret_access_key=KEYS.secret_key,
        aws_session_token=KEYS.token,
        config=Config(retries={"total_max_attempts": 1}),
    )
    sent: list[AWSPreparedRequest] = []

    def answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        sent.append(request)
        return AWSResponse(
            request.url, response.status, response.headers, _Raw(response.body.encode())
        )

    client.meta.events.register("before-send.bedrock-runtime.InvokeModel", answer)
    model_id = unquote(urlsplit(url).path.split("/")[-2])
    json_type = "application/json"
    try:
        found = client.invoke_model(
            modelId=model_id, body=body, contentType=json_type, accept=json_type
        )
    except ClientError as error:
        found = error.response
        stated = response.headers.get("x-amzn-errortype", "").partition(":")[0]
        assert stated in ("", found["Error"]["Code"])
        assert case.error, "botocore takes this answer for an error"
    finally:
        client.close()
    return sent[0], found


def _seconds(stamp: str) -> float:
    return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
