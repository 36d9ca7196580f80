"""`s3`: events as JSON lines, one object a batch, in a bucket. Needs the extra `[s3]`."""

import datetime
from collections.abc import Sequence
from typing import Any

from imagegate import clock
from imagegate.aside import Aside
from imagegate.config.load_object import require
from imagegate.config.sinks import SinkSettings
from imagegate.sinks.webhook import json_lines
from imagegate.telemetry import CallEvent

TIMEOUT_S = 10


class Bucket:
    """Writes `<path>/<date>/<time>-<id>.jsonl`; botocore signs, in a thread."""

    def __init__(self, settings: SinkSettings) -> None:
        require("botocore", "s3")
        self._settings = settings
        self._client: Any = None
        self._thread = Aside(f"sink {settings.name}")

    async def send(self, events: Sequence[CallEvent]) -> None:
        """Put one object. Raises botocore's errors."""
        moment = datetime.datetime.fromtimestamp(clock.now_s(), datetime.UTC)
        name = f"{moment:%Y-%m-%d}/{moment:%H%M%S}-{clock.new_id('log')}.jsonl"
        folder = self._settings.path.strip("/")
        key = f"{folder}/{name}" if folder else name
        await self._thread.run(self._put, key, json_lines(events))

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    def _put(self, key: str, body: bytes) -> None:
        if self._client is None:
            self._client = self._connect()
        self._client.put_object(
            Bucket=self._settings.bucket,
            Key=key,
            Body=body,
            ContentType="application/x-ndjson",
        )

    def _connect(self) -> Any:
        from botocore.config import Config  # type: ignore[import-untyped]
        from botocore.session import Session  # type: ignore[import-untyped]

        settings = self._settings
        return Session().create_client(
            "s3",
            region_name=settings.region or None,
            endpoint_url=settings.url or None,
            aws_access_key_id=settings.key_id or None,
            aws_secret_access_key=settings.secret.reveal() or None,
            config=Config(
                connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S, retries={"max_attempts": 1}
            ),
        )
