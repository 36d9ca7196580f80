"""What it means that a request or its answer broke off: whose fault, and what may be bought."""

import errno
import os

import aiohttp
from yarl import URL

from imagegate.errors import (
    ImageError,
    UpstreamFailedError,
    UpstreamUnreachableError,
)

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def fault_of(error: Exception, url: URL, *, is_sent: bool) -> ImageError:
    """Return the fault of a request that got no answer.

    Until the whole body was handed over nothing can have been bought (`moment`).
    """
    if is_sent and not isinstance(error, aiohttp.ClientConnectorError):
        return UpstreamFailedError(
            f"{url.host} took the request and closed the connection without an answer "
            f"({_words(error)}). The image may have been made and billed."
        )
    return UpstreamUnreachableError(
        f"Nothing was sent: {url.host} could not be reached ({_words(error)}). Check api_base, "
        "DNS, proxy and TLS settings."
    )


def broke_off(error: Exception) -> ImageError:
    """Return the fault of an answer that did not come whole: the upstream's, or our own disk's."""
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        full: ImageError = UpstreamFailedError(
            f"The answer could not be written here ({os.strerror(error.errno)}). The image was "
            "made and billed, and is lost. Make room in the assets folder before the next call.",
            code="spool_full",
        )
        full.owner = "operator"
        return full
    return UpstreamFailedError(
        f"The upstream's answer breaks off ({_words(error)}). The image may have been made and "
        "billed."
    )


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
