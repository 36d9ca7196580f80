"""Read by mypy strict and pyright strict, never run: what users' editors must accept."""

from typing import assert_type

from imagegate.catalogue.known_models import ImageGenerationTool, ImageModel, KnownImageModel


def takes_a_model(model: ImageModel) -> str:
    """Any model is a string."""
    return model


def takes_a_known_model(model: KnownImageModel) -> str:
    """A known model is one."""
    return takes_a_model(model)


bare: ImageModel = "gpt-image-2"
prefixed: ImageModel = "azure/gpt-image-2"
own: ImageModel = "my-group"
known: KnownImageModel = "gpt-image-2.6-sunburst"
assert_type(takes_a_model("gpt-image-2"), str)
takes_a_known_model("openai/gpt-image-2.5-flare-2026-09-08")
takes_a_known_model("gpt-image-1")
takes_a_known_model("my-group")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

least: ImageGenerationTool = {"type": "image_generation"}
full: ImageGenerationTool = {
    "type": "image_generation",
    "model": "gpt-image-2.6-flare",
    "action": "edit",
    "size": "1536x864",
    "quality": "xhigh",
    "background": "transparent",
    "output_format": "svg",
    "output_compression": 90,
    "moderation": "low",
    "complexity": "high",
    "partial_images": 2,
    "input_fidelity": None,
    "input_image_mask": {"file_id": "file-1"},
    "frame_count": 4,
    "frame_duration_ms": 100,
    "svg": {"model": "gpt-5.6", "reasoning": {"effort": "low"}},
}
