"""`imagegate version`."""

import sys
from importlib.metadata import version as installed


def version() -> int:
    """Print the version of imagegate and of Python."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    sys.stdout.write(f"imagegate {installed('imagegate')} (Python {python})\n")
    return 0
