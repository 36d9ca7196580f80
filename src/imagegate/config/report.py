"""What `imagegate check` says of a configuration: one line an entry, one a note."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from imagegate.config.prices import describe_price
from imagegate.config.settings import (
    Deployment,
    Settings,
)
from imagegate.types import Json


class CheckLine(Struct, frozen=True):
    """One line of the report: what happens to one entry of the file. `line` 0: no line of it."""

    state: Literal["served", "skipped", "note"]
    name: str
    line: int
    text: str
    unset: tuple[str, ...] = ()


def check_report(settings: Settings) -> tuple[CheckLine, ...]:
    """Return what is served, what is skipped and why, and what differs from LiteLLM."""
    served = tuple(
        CheckLine("served", deployment.group, 0, describe(deployment))
        for deployment in settings.deployments
    )
    skipped = tuple(
        CheckLine("skipped", entry.name, entry.line, entry.reason, entry.unset)
        for entry in settings.skipped
    )
    notes = tuple(CheckLine("note", note.name, note.line, note.text) for note in settings.notes)
    return served + skipped + notes


def describe(deployment: Deployment) -> str:
    """Return one line about a deployment: where it is, how it signs in, which row it has."""
    target = deployment.target
    surface = target.traits.get("surface")
    parts = [
        f"{deployment.provider.name}/{target.upstream_model} at {target.base_url}",
        f"{surface} surface, api-version {target.traits.get('api_version')}" if surface else "",
        f"credential {_sign_in(deployment)}",
        _facts(deployment),
        f"defaults {_plain(deployment.defaults)}" if deployment.defaults else "",
    ]
    return "; ".join(part for part in parts if part)


def _facts(deployment: Deployment) -> str:
    if deployment.named:
        return "any model of that name"
    row, priced = deployment.model, deployment.priced
    if priced is None or priced.price is None:
        return f"limits and price of {row.id}" if row else "no limits and no price known"
    limits = f"limits of {row.id}" if row else "no limits known"
    return f"{limits}; your own price: {describe_price(priced.price)}"


def _sign_in(deployment: Deployment) -> str:
    credential = deployment.credential
    if credential.kind == "entra":
        return str(credential.entra.get("credential", "entra"))
    if credential.kind == "none" and credential.headers:
        return f"header {', '.join(sorted(credential.headers))}"
    return credential.kind


def _plain(values: Mapping[str, Json]) -> str:
    return ", ".join(sorted(values))
