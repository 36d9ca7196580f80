"""Kept images in a bucket (S3, GCS, Azure Blob), by obstore: raw bytes, whole or not at all."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Any

from imagegate.assets.blobs import read_chunks
from imagegate.config.load_object import require
from imagegate.config.settings import BucketSettings
from imagegate.errors import ConfigError
from imagegate.types import Blob

PART_BYTES = 8 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
EXCHANGE_S_MAX = 300.0
RETRIES_MAX = 2
PROBE = "imagegate-probe"


class BucketError(Exception):
    """The bucket did not do what it was asked; the message is its own."""


class ObjectGoneError(BucketError):
    """The bucket has no such object, or there is no such bucket."""


class Bucket:
    """One bucket with a prefix; keys are relative to it. Every wait is bounded.

    Credentials that `settings` does not name come from the environment or the machine's role, as
    the provider's own tools have it. `folder` takes an image while it is written. Raises
    `ConfigError` where the settings make no bucket.
    """

    def __init__(self, settings: BucketSettings, folder: Path | None = None) -> None:
        require("obstore", "bucket")
        self._folder = folder
        self._store = _open_store(settings)

    async def put(self, key: str, blob: Blob, media_type: str) -> str:
        """Write the blob's raw bytes; return their SHA-256 in hex once the bucket has confirmed."""
        import obstore

        async with _bounded(f"{key} was not written"):
            with tempfile.TemporaryFile(dir=self._folder) as file:
                sha256 = await asyncio.to_thread(_write_raw, blob, file)
                attributes = {
                    "Content-Type": media_type or "application/octet-stream",
                    "Content-Disposition": "attachment",
                    "sha256": sha256,
                }
                await obstore.put_async(
                    self._store,
                    key,
                    file,
                    attributes=attributes,
                    chunk_size=PART_BYTES,
                    max_concurrency=1,
                )
        return sha256

    async def fetch(self, key: str, write: Callable[[bytes], object]) -> str:
        """Give an object's bytes to `write` in chunks; return their SHA-256 in hex."""
        import obstore

        digest = hashlib.sha256()
        async with _bounded(f"{key} was not read"):
            answer = await obstore.get_async(self._store, key)
            async for chunk in answer.stream(min_chunk_size=CHUNK_BYTES):
                data = bytes(chunk)
                digest.update(data)
                write(data)
        return digest.hexdigest()

    async def delete(self, key: str) -> None:
        """Delete an object; one that is gone already is no error."""
        import obstore

        with suppress(ObjectGoneError):
            async with _bounded(f"{key} was not deleted"):
                await obstore.delete_async(self._store, key)

    async def probe(self) -> None:
        """Write, read and delete a small object. Raises `BucketError`."""
        blob = Blob(PROBE.encode(), 0, len(PROBE), "raw")
        sha256 = await self.put(PROBE, blob, "text/plain")
        if await self.fetch(PROBE, lambda _: None) != sha256:
            raise BucketError(f"{PROBE} came back with other bytes")
        await self.delete(PROBE)


@asynccontextmanager
async def _bounded(failure: str) -> AsyncIterator[None]:
    """Bound an exchange, and tell its failure as a `BucketError`."""
    from obstore.exceptions import BaseError

    try:
        async with asyncio.timeout(EXCHANGE_S_MAX):
            yield
    except FileNotFoundError as error:
        raise ObjectGoneError(f"{failure}: {_first_line(error)}") from error
    except (BaseError, OSError, TimeoutError) as error:
        raise BucketError(f"{failure}: {_first_line(error)}") from error


def _open_store(settings: BucketSettings) -> Any:
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    # Which names there are depends on the kind of the bucket; obstore checks them.
    options: Any = {name: value.reveal() for name, value in settings.options.items()}
    is_plain = any(value.startswith("http://") for value in options.values())
    try:
        return from_url(
            settings.url,
            config=options,
            client_options={"allow_http": is_plain},
            retry_config={"max_retries": RETRIES_MAX},
        )
    except (BaseError, ValueError) as error:
        raise ConfigError(
            f"assets.bucket {settings.url}: {_first_line(error)} See assets.bucket_options."
        ) from error


def _write_raw(blob: Blob, file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in read_chunks(blob):
        digest.update(chunk)
        file.write(chunk)
    file.seek(0)
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:500]
