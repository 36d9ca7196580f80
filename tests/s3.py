"""Buckets of a real S3 server on loopback."""

import itertools
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

PREFIX = "kept/here"
_numbers = itertools.count()


class S3:
    """One bucket of an S3 server; it is there only after `create`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.bucket = f"pictures-{next(_numbers)}"
        self.client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def create(self) -> "S3":
        self.client.create_bucket(Bucket=self.bucket)
        return self

    @property
    def config(self) -> str:
        """What goes into `assets`."""
        options = f"endpoint: '{self.url}', region: us-east-1, aws_access_key_id: test"
        options += ", aws_secret_access_key: test"
        return f", bucket: s3://{self.bucket}/{PREFIX}, bucket_options: {{{options}}}"

    def names(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return [one["Key"] for one in found]

    def read(self, key: str) -> tuple[bytes, dict[str, Any]]:
        found = self.client.get_object(Bucket=self.bucket, Key=key)
        return found["Body"].read(), found


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_url: str) -> S3:
    return S3(s3_url)
