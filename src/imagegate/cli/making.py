"""What `generate` and `edit` share: one call, its progress, its files, its report."""

from collections.abc import Callable
from typing import Any

from imagegate import clock
from imagegate.cli.destination import Destination
from imagegate.cli.exits import OK, Interrupted
from imagegate.cli.picture import Making, Picture
from imagegate.cli.progress import LiveProgress
from imagegate.cli.report import report_images, report_images_json
from imagegate.client.clients import Client, open_stream
from imagegate.client.request import Request
from imagegate.client.results import ImageResponse, PartialImageEvent
from imagegate.client.stream import ImageStream

PARTIAL_IMAGES = 2


def make_images(
    build: Callable[..., Request[Any]],
    *arguments: Any,
    picture: Picture,
    making: Making,
    **given: Any,
) -> int:
    """Make images, write them, report; return the exit code.

    Raises `ImageError`, or `Interrupted` with the id of a call that was sent.
    """
    started_s = clock.monotonic_s()
    destination = Destination(making.output, picture.output_format)
    given |= picture.fields() | {
        "output_format": destination.output_format,
        "stream": making.stream,
        "partial_images": PARTIAL_IMAGES if making.stream else None,
        "idempotency_key": making.idempotency_key,
    }
    with Client(making.config) as client:
        label = picture.model or "image"
        with LiveProgress(label, destination, is_silent=making.json) as progress:
            response = _follow(open_stream(client, build, *arguments, **given), progress)
        paths = destination.save_all(response.images)
        report = report_images_json if making.json else report_images
        report(response, paths, clock.monotonic_s() - started_s)
    return OK


def _follow(stream: ImageStream, progress: LiveProgress) -> ImageResponse:
    try:
        for event in stream:
            if isinstance(event, PartialImageEvent):
                progress.show(event)
    except KeyboardInterrupt:
        raise Interrupted(stream.call_id) from None
    assert stream.response is not None  # the events end with a completed one, or raise
    return stream.response
