"""Masks as the model wants them, and formats that a provider lacks."""

import base64
import json
from email import message_from_bytes, policy
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imagegate.config.load import load_settings
from tests.gateway import pictures
from tests.gateway.running import Answer, Part, RunningGateway
from tests.upstream.bill import Record
from tests.upstream.fake import FakeUpstream
from tests.upstream.pictures import picture

ROW = """
[[model]]
id = "openai/inpaint"
like = "openai/gpt-image-2"
output_formats = ["png"]
{more}
source = "test"
checked = 2026-11-20
"""


def gateway_of(upstream: FakeUpstream, folder: Path, more: str) -> RunningGateway:
    (folder / "more.toml").write_text(ROW.format(more=more))
    entry = {
        "model": "openai/gpt-image-2",
        "base_model": "openai/inpaint",
        "api_base": upstream.v1,
        "api_key": "sk-test-1",
    }
    config = {
        "model_list": [{"model_name": "img", "litellm_params": entry}],
        "catalogue": ["more.toml"],
        "assets": {"folder": str(folder / "data")},
        "database_url": f"sqlite:///{folder}/ledger.db",
    }
    (folder / "config.json").write_text(json.dumps(config))
    return RunningGateway(load_settings(str(folder / "config.json")))


def half_clear() -> bytes:
    picture = Image.new("RGBA", (64, 64), (9, 9, 9, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 32, 64))
    target = BytesIO()
    picture.save(target, "PNG")
    return target.getvalue()


def files_of(record: Record) -> dict[str, bytes]:
    head = f"Content-Type: {record.headers['content-type']}\r\n\r\n".encode()
    form: Any = message_from_bytes(head + record.body, policy=policy.HTTP)
    return {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
        for part in form.iter_parts()
        if part.get_filename()
    }


def edit(gateway: RunningGateway, *parts: Part) -> Answer:
    answer = gateway.edit(Part("model", "img"), Part("prompt", "a hat"), *parts)
    assert answer.status == 200, answer.body
    return answer


@pytest.mark.parametrize(("grey", "left", "right"), [("white", 255, 0), ("black", 0, 255)])
def test_a_mask_goes_out_in_grey(
    grey: str, left: int, right: int, upstream: FakeUpstream, tmp_path: Path
) -> None:
    image = pictures.picture()
    with gateway_of(upstream, tmp_path, f'mask_edit = "{grey}"') as gateway:
        answer = edit(gateway, Part("image", image, "i.png"), Part("mask", half_clear(), "m.png"))
    sent = files_of(upstream.calls[0])
    assert sent["image"] == image
    mask = Image.open(BytesIO(sent["mask"]))
    assert (mask.format, mask.mode, mask.size) == ("PNG", "L", (64, 64))
    assert (mask.getpixel((0, 0)), mask.getpixel((63, 63))) == (left, right)
    assert "x-imagegate-adjustments" not in answer.headers


def test_a_mask_by_alpha_stays_as_it_came(upstream: FakeUpstream, tmp_path: Path) -> None:
    with gateway_of(upstream, tmp_path, "") as gateway:
        edit(gateway, Part("image", pictures.picture(), "i"), Part("mask", half_clear(), "m"))
    assert files_of(upstream.calls[0])["mask"] == half_clear()


def test_the_clear_part_of_the_image_becomes_a_mask(upstream: FakeUpstream, tmp_path: Path) -> None:
    with gateway_of(upstream, tmp_path, 'mask_edit = "white"') as gateway:
        derived = edit(gateway, Part("image", half_clear(), "i.png"))
        edit(gateway, Part("image", pictures.picture(mode="RGBA"), "i.png"))
    first, second = (files_of(call) for call in upstream.calls)
    assert Image.open(BytesIO(first["mask"])).getpixel((0, 0)) == 255
    assert "mask" not in second
    (adjustment,) = json.loads(derived.headers["x-imagegate-adjustments"])
    assert (adjustment["param"], adjustment["asked"]) == ("mask", None)


def test_a_model_without_masks_refuses_one(upstream: FakeUpstream, tmp_path: Path) -> None:
    with gateway_of(upstream, tmp_path, "mask = false") as gateway:
        answer = gateway.edit(
            Part("model", "img"),
            Part("prompt", "a hat"),
            Part("image", pictures.picture(), "i.png"),
            Part("mask", half_clear(), "m.png"),
        )
    assert (answer.status, answer.error["code"]) == (400, "mask_not_supported")
    assert upstream.bill == []


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_a_format_that_the_provider_lacks_is_made_here(
    kind: str, upstream: FakeUpstream, tmp_path: Path
) -> None:
    with gateway_of(upstream, tmp_path, "") as gateway:
        answer = gateway.generate(output_format=kind, size="1024x1024", output_compression=70)
    assert upstream.calls[0].field_of("output_format") == "png"
    assert upstream.calls[0].field_of("output_compression") is None
    body = answer.json()
    made = Image.open(BytesIO(base64.b64decode(body["data"][0]["b64_json"])))
    assert (made.format, made.size) == (kind.upper(), (1024, 1024))
    assert (body["output_format"], body["size"]) == (kind, "1024x1024")
    (adjustment,) = json.loads(answer.headers["x-imagegate-adjustments"])
    assert (adjustment["param"], adjustment["sent"]) == ("output_format", "png")


def test_without_a_wish_the_bytes_stay_as_they_came(upstream: FakeUpstream, tmp_path: Path) -> None:
    with gateway_of(upstream, tmp_path, "") as gateway:
        body = gateway.generate(size="1024x1024").json()
    assert base64.b64decode(body["data"][0]["b64_json"]) == picture("a fox", size=(1024, 1024))
