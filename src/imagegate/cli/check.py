"""`imagegate check`."""

from pathlib import Path

from rich.console import Console

from imagegate.assets.bucket import Bucket
from imagegate.cli.exits import OK
from imagegate.config.load import load_settings
from imagegate.config.report import CheckLine, check_report

_STYLES = {"served": "green", "skipped": "yellow", "note": "cyan"}


def check(config: Path, /) -> int:
    """Tell what a configuration serves, what it skips, and what differs from LiteLLM.

    Nothing is sent to a provider.

    Parameters
    ----------
    config
        The YAML file.
    """
    settings = load_settings(str(config))
    if settings.assets.bucket is not None:
        Bucket(settings.assets.bucket)  # raises what is wrong with its options
    console = Console(highlight=False)
    for line in check_report(settings):
        _print_line(console, line)
    groups = {deployment.group for deployment in settings.deployments}
    console.print(
        f"deployments: {len(settings.deployments)}, model groups: {len(groups)}, "
        f"skipped: {len(settings.skipped)}"
    )
    return OK


def _print_line(console: Console, line: CheckLine) -> None:
    place = f" (line {line.line})" if line.line else ""
    console.print(f"{line.state:8}{line.name}{place}", style=_STYLES[line.state], markup=False)
    for text in line.text.split("; "):
        console.print(f"        {text}", markup=False)
    if line.unset:
        console.print(f"        unset: {', '.join(line.unset)}", markup=False)
