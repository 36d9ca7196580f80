"""What a command that made images says at its end, for people and for machines."""

import json
import sys
from pathlib import Path

from rich.console import Console

from imagegate.client.results import ImageData, ImageResponse
from imagegate.types import Adjustment, Json

KB = 1000


def report_images(response: ImageResponse, paths: list[Path], elapsed_s: float) -> None:
    """Print path, size, cost and adjustments."""
    console = Console(highlight=False)
    for image, path in zip(response.images, paths, strict=True):
        console.print(f"{path}  {_size(image)}", markup=False, soft_wrap=True)
    console.print(
        f"{_cost(response)}, {elapsed_s:.1f} s, {response.model}", markup=False, style="dim"
    )
    console.print(f"call {response.call_id}", markup=False, style="dim")
    for adjustment in response.adjustments:
        console.print(_adjusted(adjustment), markup=False, style="yellow")
    for warning in response.warnings:
        console.print(f"warning: {warning}", markup=False, style="yellow")


def report_images_json(response: ImageResponse, paths: list[Path], elapsed_s: float) -> None:
    """Print one JSON object. `cost_usd` is a string, exact; null where it is unknown."""
    cost = response.cost_usd
    report = {
        "call_id": response.call_id,
        "created": response.created,
        "model": response.model,
        "provider": response.provider,
        "images": [
            _image_json(image, path) for image, path in zip(response.images, paths, strict=True)
        ],
        "cost_usd": None if cost is None else f"{cost:f}",
        "usage": response.usage and response.usage.model_dump(),
        "adjustments": [
            {"param": each.param, "asked": each.asked, "sent": each.sent, "reason": each.reason}
            for each in response.adjustments
        ],
        "warnings": list(response.warnings),
        "elapsed_s": round(elapsed_s, 3),
    }
    sys.stdout.write(json.dumps(report) + "\n")


def _image_json(image: ImageData, path: Path) -> Json:
    return {
        "path": str(path),
        "media_type": image.media_type,
        "width_px": image.width,
        "height_px": image.height,
        "size_bytes": path.stat().st_size,
    }


def _size(image: ImageData) -> str:
    pixels = f"{image.width}x{image.height} px, " if image.width else ""
    return f"{pixels}{max(1, round(image.size_bytes / KB))} KB"


def _cost(response: ImageResponse) -> str:
    if response.cost_usd is None:
        return "cost unknown"
    return f"cost {response.cost_usd:f} USD"


def _adjusted(adjustment: Adjustment) -> str:
    sent = "left out" if adjustment.sent is None else f"sent as {adjustment.sent}"
    return f"adjusted: {adjustment.param} {adjustment.asked} was {sent}: {adjustment.reason}"
