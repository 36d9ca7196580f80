"""Which gateway a command asks, spelled and explained once."""

from dataclasses import dataclass
from pathlib import Path

from cyclopts import Parameter


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Where:
    """Where the gateway is."""

    gateway: str | None = None
    """Address of the gateway; by default that of the configuration, or http://127.0.0.1:4000."""
    config: Path | None = None
    """The gateway's configuration file, for its address and key."""


HERE = Where()
