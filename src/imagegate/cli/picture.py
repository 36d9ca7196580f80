"""Options that every command about images takes, spelled and explained once."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Picture:
    """What an image shall be; the names are those of the SDK's functions."""

    model: str | None = None
    """provider/name, or a model group of --config."""
    size: str | None = None
    """WIDTHxHEIGHT in px, or auto."""
    quality: str | None = None
    """auto, low, medium, high; newer models also xhigh and max."""
    n: int = 1
    """How many images."""
    output_format: str | None = None
    """png, jpeg or webp; else the suffix of the file decides."""
    background: str | None = None
    """auto, opaque or transparent."""

    def fields(self) -> dict[str, Any]:
        """Return what the functions of the SDK take."""
        return asdict(self)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Making:
    """How images are made, and where they go."""

    output: Annotated[Path | None, Parameter(alias="-o")] = None
    """File or folder. Without it image.png, image-2.png: nothing is overwritten."""
    stream: Annotated[bool, Parameter(negative="")] = False
    """Show two previews while the image is made; most providers charge for them."""
    json: Annotated[bool, Parameter(negative="")] = False
    """Print one JSON object, and nothing else."""
    idempotency_key: str | None = None
    """Sent to OpenAI-compatible servers; one that honours it makes the same image once."""
    config: Path | None = None
    """Configuration file, as for serve; without it keys of the environment are used."""


PICTURE = Picture()
MAKING = Making()
