"""Kept images move to a bucket of a real S3 server, and are told from there as from the folder."""

import base64
import hashlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from imagegate import clock
from imagegate.config.load import load_settings
from imagegate.runtime.reaper import reap
from tests.gateway.running import RunningGateway
from tests.ledger.databases import PostgresServer
from tests.s3 import S3
from tests.upstream.fake import FakeUpstream

TRIES_MAX = 5_000


SHARED = """
model_list: [{{model_name: img, params: {{model: openai/a, api_base: "{v1}", api_key: x}}}}]
assets: {{folder: {folder}, url_secret: sk-test-of-all-gateways{assets}}}
database_url: "{ledger}"
"""


def files(tmp_path: Path) -> list[Path]:
    """Return the kept files in the folder."""
    return [path for path in (tmp_path / "data" / "images").rglob("*") if path.is_file()]


def wait_moved(gateway: RunningGateway, tmp_path: Path) -> None:
    """Return when no image is in the folder any more."""
    for _ in range(TRIES_MAX):
        gateway.get("/healthz")
        if not files(tmp_path):
            return
    raise TimeoutError("images stay in the folder")


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sent(upstream: FakeUpstream) -> set[str]:
    return {sha for record in upstream.bill for sha in record.answered_sha256}


@pytest.mark.parametrize("mode", ["ok", "escaped", "url"])
@pytest.mark.parametrize("kind", ["tiny", "medium"])
def test_raw_bytes_move_and_are_told_as_before(start, s3, upstream, tmp_path, mode, kind) -> None:
    s3.create()
    gateway = start(assets=s3.config)
    upstream.always(mode)
    call: dict[str, Any] = {"model": "img", "prompt": f"[picture={kind}]", "n": 2}
    first = gateway.post("/v1/images/generations", call, idempotency_key="one")
    wait_moved(gateway, tmp_path)
    objects = [s3.read(key) for key in s3.names()]
    assert {sha256_of(data) for data, _ in objects} == sent(upstream)
    assert {found["ContentType"] for _, found in objects} == {"image/png"}
    assert {found["ContentDisposition"] for _, found in objects} == {"attachment"}
    assert {found["Metadata"]["sha256"] for _, found in objects} == sent(upstream)
    again = gateway.post("/v1/images/generations", call, idempotency_key="one")
    assert again.json()["data"] == first.json()["data"]
    path = f"/v1/images/calls/{first.headers['x-imagegate-call-id']}"
    told = [base64.b64decode(one["b64_json"]) for one in gateway.get(path).json()["result"]["data"]]
    fetched = [gateway.get(f"{path}/images/{index}").body for index in range(2)]
    assert told == fetched
    assert {sha256_of(data) for data in fetched} == sent(upstream)
    assert files(tmp_path) == []


def test_a_signed_url_leads_to_the_bucket(start, s3, upstream, tmp_path) -> None:
    s3.create()
    gateway = start(assets=s3.config)
    answer = gateway.generate(prompt="[picture=medium]", response_format="url")
    wait_moved(gateway, tmp_path)
    url = urlsplit(answer.json()["data"][0]["url"])
    whole = gateway.get(f"{url.path}?{url.query}")
    assert (whole.status, {sha256_of(whole.body)}) == (200, sent(upstream))
    assert whole.headers["x-content-type-options"] == "nosniff"
    part = gateway.get(f"{url.path}?{url.query}", range="bytes=1000-300999")
    assert (part.status, part.body) == (206, whole.body[1000:301000])
    assert gateway.get(f"{url.path}?{url.query}0").status == 403


def test_another_gateway_of_the_ledger_delivers_what_is_in_the_bucket(
    s3: S3, upstream: FakeUpstream, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    s3.create()
    ledger_url = postgres_server.new_url()
    config = tmp_path / "config.yaml"
    with ExitStack() as stack:
        one, other = (
            stack.enter_context(RunningGateway(load_settings(str(config))))
            for folder in ("data", "other")
            if config.write_text(
                SHARED.format(v1=upstream.v1, folder=folder, assets=s3.config, ledger=ledger_url)
            )
        )
        answer = one.generate(response_format="url")
        url = urlsplit(answer.json()["data"][0]["url"])
        call = f"/v1/images/calls/{answer.headers['x-imagegate-call-id']}"
        wait_moved(one, tmp_path)
        for path in (f"{url.path}?{url.query}", f"{call}/images/0"):
            assert {sha256_of(other.get(path).body)} == sent(upstream)


def test_what_the_bucket_does_not_take_waits_in_the_folder_also_over_a_restart(
    start, s3, upstream, tmp_path, caplog
) -> None:
    gateway = start(assets=s3.config)
    answer = gateway.generate()
    path = f"/v1/images/calls/{answer.headers['x-imagegate-call-id']}/images/0"
    for _ in range(TRIES_MAX):
        gateway.get("/healthz")
        if any(record.message == "bucket.failed" for record in caplog.records):
            break
    assert len(files(tmp_path)) == 1
    assert {sha256_of(gateway.get(path).body)} == sent(upstream)
    gateway.stop()
    gateway.wait_stopped()
    s3.create()
    gateway = start(assets=s3.config)
    wait_moved(gateway, tmp_path)
    assert {sha256_of(gateway.get(path).body)} == sent(upstream)


def test_expired_images_leave_the_bucket_too(start, s3, tmp_path) -> None:
    s3.create()
    gateway = start(assets=s3.config)
    call_id = gateway.generate(n=2).headers["x-imagegate-call-id"]
    wait_moved(gateway, tmp_path)
    assert len(s3.names()) == 2
    expire(gateway)
    assert s3.names() == []
    assert gateway.get(f"/v1/images/calls/{call_id}/images/0").status == 404


def test_what_the_bucket_does_not_let_go_of_is_tried_again(start, s3, tmp_path) -> None:
    s3.create()
    gateway = start(assets=s3.config)
    gateway.generate()
    wait_moved(gateway, tmp_path)
    bucket = gateway.gateway.runtime.tools.store.bucket
    store, bucket._store = bucket._store, unreachable(s3)
    expire(gateway)
    bucket._store = store
    assert len(s3.names()) == 1
    expire(gateway)
    assert s3.names() == []


def test_a_bucket_that_does_not_answer_is_not_a_lost_image(start, s3, tmp_path) -> None:
    s3.create()
    gateway = start(assets=s3.config)
    path = f"/v1/images/calls/{gateway.generate().headers['x-imagegate-call-id']}"
    wait_moved(gateway, tmp_path)
    bucket = gateway.gateway.runtime.tools.store.bucket
    bucket._store = unreachable(s3)
    answer = gateway.get(f"{path}/images/0")
    assert (answer.status, answer.error["code"]) == (503, "bucket_unavailable")
    assert answer.headers["retry-after"]
    assert gateway.get(path).json()["error"]["code"] == "bucket_unavailable"


@pytest.mark.parametrize("is_gone", [True, False])
def test_an_object_that_is_not_what_was_put_there_is_gone(start, s3, tmp_path, is_gone) -> None:
    s3.create()
    gateway = start(assets=s3.config)
    path = f"/v1/images/calls/{gateway.generate().headers['x-imagegate-call-id']}"
    wait_moved(gateway, tmp_path)
    (key,) = s3.names()
    if is_gone:
        s3.client.delete_object(Bucket=s3.bucket, Key=key)
    else:
        s3.client.put_object(Bucket=s3.bucket, Key=key, Body=b"another picture")
    assert gateway.get(f"{path}/images/0").error["code"] == "image_not_found"
    assert gateway.get(path).json()["error"]["code"] == "image_not_kept"
    with pytest.raises(ClientError):
        s3.read("nothing")


def unreachable(s3: S3) -> object:
    """Return a store where nothing listens."""
    from obstore.store import S3Store

    options = {"endpoint": "http://127.0.0.1:1", "aws_access_key_id": "x"}
    return S3Store(
        s3.bucket,
        config=options | {"aws_secret_access_key": "x", "region": "us-east-1"},
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )


def expire(gateway: RunningGateway) -> None:
    """Clean up as the clock would in a hundred years."""
    runtime = gateway.gateway.runtime
    later_s = clock.now_s() + 100 * 365 * 86_400
    settings, store = runtime.settings.assets, runtime.tools.store
    gateway.run(reap(settings, runtime.ledger, store, now_s=later_s))
