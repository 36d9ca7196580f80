"""Where images live: the folder, and the bucket that they move to."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imagegate.config.faults import Faults
from imagegate.config.settings import AssetSettings, BucketSettings
from imagegate.types import Secret

if TYPE_CHECKING:
    from imagegate.config.schema import Assets

SCHEMES = ("s3", "gs", "az", "abfs", "abfss")


def asset_settings(given: "Assets", folder: Path, home: Path, faults: Faults) -> AssetSettings:
    """Return the settings; a folder is relative to `folder`, by default one in `home`."""
    values = given.model_dump(exclude={"folder", "url_secret", "bucket", "bucket_options"})
    place = folder / Path(given.folder).expanduser() if given.folder else home / "assets"
    bucket = _bucket(given, faults) if given.bucket else None
    secret = Secret(given.url_secret.get_secret_value() if given.url_secret else "")
    return AssetSettings(folder=str(place), bucket=bucket, url_secret=secret, **values)


def _bucket(given: "Assets", faults: Faults) -> BucketSettings:
    url = given.bucket or ""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.netloc:
        kinds = "s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
        faults.add(("assets", "bucket"), f"must be {kinds}")
    elif parts.query or parts.fragment or "@" in parts.netloc:
        faults.add(("assets", "bucket"), "takes no key and no query; use assets.bucket_options")
    if find_spec("obstore") is None:
        faults.add(("assets", "bucket"), "needs an extra: pip install 'imagegate[bucket]'")
    return BucketSettings(url=url.rstrip("/"), options=_options(given))


def _options(given: "Assets") -> Mapping[str, Secret]:
    return {name: Secret(value.get_secret_value()) for name, value in given.bucket_options.items()}
