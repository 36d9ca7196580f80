"""The sandbox's pictures, drawn in the worker process as they are at run time."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image, ImageChops, ImageDraw

from imagegate.assets.transform import (
    Drawing,
    DrawRequest,
    InputImageError,
    Worker,
    WorkerError,
)

MODEL = "gpt-image-2.5-flare"
LONG = "A harbour town at dawn, boats with ochre sails over glassy water. " * 10


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    asyncio.run(worker.aclose())


def draw(worker: Worker, prompt: str = "a red circle", **options: object) -> Drawing:
    request = DrawRequest(prompt=prompt, model=MODEL, **options)  # type: ignore[arg-type]
    return asyncio.run(worker.draw(request))


def opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def as_png(image: Image.Image) -> bytes:
    target = BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


def photo(size: tuple[int, int] = (320, 240)) -> Image.Image:
    return Image.effect_mandelbrot(size, (-3, -2.5, 2, 2.5), 50).convert("RGB")


def differs(one: Image.Image, other: Image.Image) -> bool:
    return ImageChops.difference(one.convert("RGB"), other.convert("RGB")).getbbox() is not None


def test_the_same_request_gives_the_same_bytes(worker: Worker) -> None:
    assert draw(worker).image == draw(worker).image


def test_pictures_of_one_call_differ(worker: Worker) -> None:
    assert draw(worker, count=2).image != draw(worker, count=2, index=1).image


def test_automatic_size_is_a_square(worker: Worker) -> None:
    drawing = draw(worker)
    assert opened(drawing.image).size == (1024, 1024) == (drawing.width_px, drawing.height_px)


@pytest.mark.parametrize("size", [(1536, 1024), (3840, 2160), (480, 1440), (16, 16), (3840, 1280)])
def test_the_size_is_honoured(worker: Worker, size: tuple[int, int]) -> None:
    drawing = draw(worker, LONG, width_px=size[0], height_px=size[1])
    assert opened(drawing.image).size == size


@pytest.mark.parametrize(
    "prompt",
    [
        "x",
        "",
        "   \n\n ",
        LONG * 50,
        "W" * 3000,
        "東京の夜景 Привет مرحبا नमस्ते 🎨👩‍👩‍👧",
        "é" * 300,
        "a\x00b\x1b[31mc\u202edef\ud800",
        "line one\nline two\r\nline three\tend",
        "<svg onload=alert(1)>&amp;",
    ],
)
@pytest.mark.parametrize("output_format", ["png", "svg"])
def test_every_prompt_can_be_drawn(worker: Worker, prompt: str, output_format: str) -> None:
    prompt = prompt.encode("utf-8", "replace").decode()
    assert draw(worker, prompt, output_format=output_format).image


def test_the_prompt_is_legible_over_its_background(worker: Worker) -> None:
    """White letters stand on a dark panel: the middle of the picture has both, far apart."""
    image = opened(draw(worker, "MMMMMM").image).convert("L").crop((300, 440, 720, 560))
    darkest, lightest = image.getextrema()
    assert isinstance(lightest, int)
    assert lightest == 255
    assert image.getpixel((5, 5)) < 130
    assert darkest < 130


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
def test_the_format_is_honoured(worker: Worker, output_format: str) -> None:
    drawing = draw(worker, output_format=output_format)
    assert opened(drawing.image).format == output_format.upper()


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
def test_compression_makes_files_smaller(worker: Worker, output_format: str) -> None:
    small = draw(worker, output_format=output_format, compression=10)
    large = draw(worker, output_format=output_format, compression=100)
    assert len(small.image) < len(large.image)


@pytest.mark.parametrize("output_format", ["png", "webp"])
def test_a_transparent_background_is_clear_at_the_edge(worker: Worker, output_format: str) -> None:
    drawing = draw(worker, background="transparent", output_format=output_format)
    image = opened(drawing.image)
    assert drawing.is_transparent
    assert image.mode == "RGBA"
    assert image.getchannel("A").getpixel((0, 0)) == 0
    assert image.getchannel("A").getpixel((512, 512)) == 255


def test_partial_images_come_nearer_to_the_picture(worker: Worker) -> None:
    drawing = draw(worker, LONG, partial_count=3)
    final = opened(drawing.image)
    distances = [
        sum(ImageChops.difference(opened(draft), final).convert("L").histogram()[9:])
        for draft in drawing.partials
    ]
    assert len(distances) == 3
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] > 0


def test_a_gif_has_its_frames(worker: Worker) -> None:
    drawing = draw(worker, output_format="gif", frame_count=3, frame_duration_ms=120)
    image = Image.open(BytesIO(drawing.image))
    assert image.format == "GIF"
    assert getattr(image, "n_frames", 1) == 3
    assert image.info["duration"] == 120


def test_an_svg_holds_the_prompt_as_text(worker: Worker) -> None:
    drawing = draw(worker, "a <b> & c", output_format="svg", width_px=640, height_px=480)
    root = ElementTree.fromstring(drawing.image)
    assert root.get("width") == "640"
    assert "a <b> & c" in "".join(root.itertext())
    assert "sandbox" in "".join(root.itertext())


def test_an_edit_keeps_the_input_and_its_size(worker: Worker) -> None:
    base = photo()
    result = opened(draw(worker, images=(as_png(base),)).image)
    assert result.size == base.size
    top = (0, 0, 320, 100)
    assert not differs(result.crop(top), base.crop(top))
    assert differs(result, base)


def test_an_edit_of_another_size_is_fitted(worker: Worker) -> None:
    result = opened(draw(worker, images=(as_png(photo()),), width_px=512, height_px=512).image)
    assert result.size == (512, 512)


def test_further_inputs_are_shown_in_a_strip(worker: Worker) -> None:
    inputs = tuple(as_png(Image.new("RGB", (40, 40), colour)) for colour in ("red", "lime", "blue"))
    result = opened(draw(worker, images=inputs, width_px=512, height_px=512).image)
    colours = result.crop((0, 0, 512, 120)).convert("RGB").getcolors(100_000) or []
    assert {(0, 255, 0), (0, 0, 255)} <= {colour for _, colour in colours}


def test_only_the_clear_part_of_the_mask_is_repainted(worker: Worker) -> None:
    base = photo()
    mask = Image.new("RGBA", base.size, (0, 0, 0, 255))
    ImageDraw.Draw(mask).ellipse((40, 40, 200, 160), fill=(0, 0, 0, 0))
    result = opened(draw(worker, images=(as_png(base),), mask=as_png(mask)).image)
    kept = mask.getchannel("A").point([0] + [255] * 255)
    changed = ImageChops.difference(result.convert("RGB"), base).convert("L")
    assert ImageChops.multiply(changed, kept).getbbox() is None
    assert differs(result, base)


def test_a_mask_without_a_clear_part_changes_nothing(worker: Worker) -> None:
    base = photo()
    mask = as_png(Image.new("RGBA", base.size, (0, 0, 0, 255)))
    assert not differs(opened(draw(worker, images=(as_png(base),), mask=mask).image), base)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK"])
def test_inputs_of_every_mode_are_read(worker: Worker, mode: str) -> None:
    target = BytesIO()
    Image.new(mode, (64, 48)).save(target, "JPEG" if mode == "CMYK" else "PNG")
    assert draw(worker, images=(target.getvalue(),)).width_px == 64


def bomb() -> bytes:
    """A one-bit picture of a few kilobytes with 100 million pixels."""
    return as_png(Image.new("1", (10_000, 10_000)))


@pytest.mark.parametrize(
    "data",
    [b"", b"no image", as_png(photo())[:2000], b"<svg/>", b"GIF89a" + bytes(50), bomb()],
    ids=["empty", "text", "truncated", "svg", "gif", "bomb"],
)
def test_an_input_that_is_no_image_is_refused_and_the_worker_goes_on(
    worker: Worker, data: bytes
) -> None:
    with pytest.raises(InputImageError):
        draw(worker, images=(data,))
    assert draw(worker).image


def children() -> set[int]:
    """The process ids of our children, by whichever thread they were started."""
    paths = Path("/proc/self/task").glob("*/children")
    return {int(child) for path in paths for child in path.read_text().split()}


def test_a_killed_worker_starts_anew() -> None:
    async def main() -> None:
        worker = Worker()
        before = children()
        await worker.draw(DrawRequest(prompt="x", model=MODEL, width_px=64, height_px=64))
        (process,) = children() - before
        os.kill(process, signal.SIGKILL)
        with pytest.raises(WorkerError):
            await worker.draw(DrawRequest(prompt="x", model=MODEL))
        assert (await worker.draw(DrawRequest(prompt="x", model=MODEL))).image
        await worker.aclose()
        assert children() == before

    asyncio.run(main())


def test_ctrl_c_does_not_reach_the_worker() -> None:
    async def main() -> None:
        worker = Worker()
        before = children()
        request = DrawRequest(prompt="x", model=MODEL, width_px=64, height_px=64)
        first = await worker.draw(request)
        (process,) = children() - before
        os.kill(process, signal.SIGINT)
        assert os.getpgid(process) != os.getpgrp()
        assert (await worker.draw(request)).image == first.image
        await worker.aclose()

    asyncio.run(main())


def test_the_workers_environment_holds_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> bytes:
        worker = Worker()
        before = children()
        await worker.draw(DrawRequest(prompt="x", model=MODEL, width_px=64, height_px=64))
        (process,) = children() - before
        environment = Path(f"/proc/{process}/environ").read_bytes()
        await worker.aclose()
        return environment

    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-canary")
    assert b"canary" not in asyncio.run(main())


def test_a_closed_worker_refuses() -> None:
    async def main() -> None:
        worker = Worker()
        await worker.aclose()
        await worker.aclose()
        with pytest.raises(WorkerError):
            await worker.draw(DrawRequest(prompt="x", model=MODEL))

    asyncio.run(main())


PARENT = """
import asyncio, pathlib
from imagegate.assets.transform import DrawRequest, Worker

async def main():
    await Worker().draw(DrawRequest(prompt="x", model="m", width_px=64, height_px=64))
    paths = pathlib.Path("/proc/self/task").glob("*/children")
    print("".join(path.read_text() for path in paths), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_the_worker_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        worker = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    ended, _, _ = select.select([worker], [], [], 20)
    os.close(worker)
    assert ended
