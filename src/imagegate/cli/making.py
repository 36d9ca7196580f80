"""What `generate` and `edit` share: one call, its progress, its files, its report."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from imagegate import clock
from imagegate.cli.destination import Destination
from imagegate.cli.exits import OK, Interrupted
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
    config: Path | None,
    output: Path | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Make images, write them, report; return the exit code.

    Raises `ImageError`, or `Interrupted` with the id of a call that was sent.
    """
    started_s = clock.monotonic_s()
    destination = Destination(output, given.pop("output_format"))
    given["output_format"] = destination.output_format
    given["partial_images"] = PARTIAL_IMAGES if given["stream"] else None
    with Client(config) as client:
        label = given["model"] or "image"
        with LiveProgress(label, destination, is_silent=as_json) as progress:
            response = _follow(open_stream(client, build, *arguments, **given), progress)
        paths = destination.save_all(response.images)
        report = report_images_json if as_json else report_images
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
