"""`imagegate models`."""

import json as jsonlib
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from imagegate.candidates import deployments_of, names_of
from imagegate.catalogue.model import Model
from imagegate.catalogue.rows import builtin_catalogue
from imagegate.cli.exits import OK
from imagegate.config.load import load_settings
from imagegate.config.settings import Deployment
from imagegate.types import Json


def models(
    *, json: Annotated[bool, Parameter(negative="")] = False, config: Path | None = None
) -> int:
    """List the models that imagegate knows, or what a configuration serves.

    Any other model of a provider works too: it is sent as asked, without limits and price.

    Parameters
    ----------
    json
        Print one JSON array, and nothing else.
    config
        List the model groups of this configuration file.
    """
    rows = _known() if config is None else _served(config)
    if json:
        sys.stdout.write(jsonlib.dumps(rows) + "\n")
    else:
        _print_table(rows)
    return OK


def _known() -> list[Json]:
    return [_row(model.id, model) for model in builtin_catalogue().all() if not model.snapshot_of]


def _served(config: Path) -> list[Json]:
    settings = load_settings(str(config))
    return [
        _row(deployment.group, deployment.model) | {"deployment": _place(deployment)}
        for name in dict.fromkeys(name for one in settings.deployments for name in names_of(one))
        for deployment in deployments_of(name, settings)
    ]


def _place(deployment: Deployment) -> str:
    return f"{deployment.provider.name}/{deployment.target.upstream_model}"


def _row(name: str, model: Model | None) -> Json:
    if model is None:
        return {"id": name}
    return {
        "id": name,
        "operations": list(model.operations),
        "sizes": model.sizes if isinstance(model.sizes, str) else list(model.sizes),
        "qualities": list(model.qualities),
        "output_formats": list(model.output_formats),
        "backgrounds": list(model.backgrounds),
        "snapshots": list(model.snapshots),
        "released": model.released and model.released.isoformat(),
        "shutdown": model.shutdown and model.shutdown.isoformat(),
        "successor": model.successor or None,
    }


def _print_table(rows: list[Json]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("MODEL", overflow="fold")
    table.add_column("DOES", no_wrap=True)
    table.add_column("SHUT DOWN", no_wrap=True)
    for row in rows:
        does = " ".join(row.get("operations", ["as asked"])) or "nothing any more"
        table.add_row(row["id"], does, row.get("shutdown") or "")
    Console(highlight=False, markup=False).print(table)
