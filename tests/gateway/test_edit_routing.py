"""An edit goes elsewhere after a fault: images untouched, the mask made anew for who gets it."""

import base64
import hashlib
import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from imagegate.config.load import load_settings
from tests.gateway.pictures import picture
from tests.gateway.running import Part, RunningGateway
from tests.gateway.test_pixels import files_of, half_clear
from tests.upstream.fake import FakeUpstream

GREY = """
[[model]]
id = "openai/grey"
like = "openai/gpt-image-2"
mask_edit = "white"
source = "test"
checked = 2026-11-20
"""
IMAGES = [picture(), picture("WEBP"), picture(size=(80, 48))]


def gateway_of(entries: Sequence[dict[str, object]], folder: Path) -> RunningGateway:
    (folder / "grey.toml").write_text(GREY)
    config = {
        "model_list": [
            {
                "model_name": "img",
                "model_info": {"id": name},
                "litellm_params": entry | {"order": order, "api_key": "sk-test-1"},
            }
            for order, (name, entry) in enumerate(zip(("first", "second"), entries, strict=True))
        ],
        "catalogue": ["grey.toml"],
        "assets": {"folder": str(folder / "data")},
        "database_url": f"sqlite:///{folder}/ledger.db",
    }
    (folder / "config.json").write_text(json.dumps(config))
    return RunningGateway(load_settings(str(folder / "config.json")))


def is_grey(mask: bytes) -> bool:
    """Return whether a mask is the grey one of `half_clear`: white where that is clear."""
    image = Image.open(BytesIO(mask))
    return image.mode == "L" and (image.getpixel((0, 0)), image.getpixel((63, 63))) == (255, 0)


@pytest.mark.parametrize("is_grey_first", [True, False])
def test_many_images_and_a_mask(
    is_grey_first: bool, upstream: FakeUpstream, second: FakeUpstream, tmp_path: Path
) -> None:
    rows = ["openai/grey", "openai/gpt-image-2"]
    entries = [
        {"model": "openai/gpt-image-2", "base_model": row, "api_base": place.v1}
        for row, place in zip(
            rows if is_grey_first else rows[::-1], (upstream, second), strict=True
        )
    ]
    upstream.always("status:insufficient_quota")
    parts = [Part("image[]", image, f"{at}.png") for at, image in enumerate(IMAGES)]
    with gateway_of(entries, tmp_path) as gateway:
        answer = gateway.edit(
            Part("model", "img"), Part("prompt", "a hat"), *parts, Part("mask", half_clear(), "m")
        )
    assert (answer.status, answer.headers["x-imagegate-attempts"]) == (200, "2")
    for place, has_grey in ((upstream, is_grey_first), (second, not is_grey_first)):
        [record] = place.calls
        sent = [part.sha256 for part in record.files if part.name != "mask"]
        assert sent == [hashlib.sha256(image).hexdigest() for image in IMAGES]
        mask = files_of(record)["mask"]
        assert is_grey(mask) if has_grey else mask == half_clear()


def test_from_openai_to_a_job_api_of_another_shape(
    upstream: FakeUpstream, second: FakeUpstream, tmp_path: Path
) -> None:
    """A form with an alpha mask becomes JSON with a white one; what differs is reported."""
    entries = [
        {"model": "openai/gpt-image-2", "api_base": upstream.v1},
        {"model": "black_forest_labs/flux-pro-1.0-fill", "api_base": second.url},
    ]
    upstream.always("status:insufficient_quota")
    second.end_jobs("Ready")
    with gateway_of(entries, tmp_path) as gateway:
        answer = gateway.edit(
            Part("model", "img"),
            Part("prompt", "a hat"),
            Part("quality", "low"),
            Part("image", picture(), "i.png"),
            Part("mask", half_clear(), "m.png"),
        )
    assert (answer.status, answer.headers["x-imagegate-deployment"]) == (200, "second")
    submitted = second.bill[0].json
    assert base64.b64decode(submitted["image"]) == picture()
    assert is_grey(base64.b64decode(submitted["mask"]))
    adjusted = json.loads(answer.headers["x-imagegate-adjustments"])
    assert ("quality", "low", None) in [
        (one["param"], one["asked"], one["sent"]) for one in adjusted
    ]
