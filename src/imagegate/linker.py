"""`response_format: url`: the images of an answer as signed urls of ours, never a provider's."""

import math

import msgspec
from msgspec import Struct

from imagegate.assets.links import Links
from imagegate.ledger.records import AssetRecord
from imagegate.running import Outcome
from imagegate.types import ImageResult


class Linker(Struct, frozen=True, eq=False):
    """Makes the urls of one gateway, below `base_url`, each valid for `url_s` seconds."""

    links: Links
    base_url: str
    url_s: float

    def with_urls(self, outcome: Outcome, now_s: float) -> ImageResult:
        """Return the result with urls in the place of bytes.

        With the bytes where the images could not be kept: they are never lost for a url.
        """
        result = outcome.result
        if len(outcome.assets) != len(result.images):
            return result
        images = tuple(
            msgspec.structs.replace(image, blob=None, url=self.url_of(asset, now_s))
            for image, asset in zip(result.images, outcome.assets, strict=True)
        )
        return msgspec.structs.replace(result, images=images)

    def url_of(self, asset: AssetRecord, now_s: float) -> str:
        """Return the url of a kept image; it ends with the image at the latest."""
        gone_at = math.inf if asset.expires_at is None else asset.expires_at
        expires_at = min(now_s + self.url_s, gone_at)
        path = self.links.path_of(asset.id, asset.media_type, expires_at=expires_at)
        return f"{self.base_url.rstrip('/')}{path}"
