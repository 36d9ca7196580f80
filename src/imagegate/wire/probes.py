"""Free questions to a provider: exchanges that buy nothing, for `imagegate doctor`.

A provider file names the addresses; what the answers mean is the same everywhere.
"""

import json
from collections.abc import Callable, Generator, Mapping
from typing import Protocol, TypeAlias
from urllib.parse import quote

from msgspec import Struct

from imagegate.types import Json
from imagegate.wire.exchange import (
    Answer,
    Command,
    UpstreamRequest,
    UpstreamResponse,
    send,
)

NAMES_MAX = 5000


class ProbeAnswer(Struct, frozen=True):
    """What came back. `names` are those that a list holds, `shutdown` a last day that is told.

    `request` is what was asked, without a credential, so that it can be asked again by hand.
    """

    request: UpstreamRequest
    response: UpstreamResponse
    names: tuple[str, ...] = ()
    shutdown: str = ""

    @property
    def is_success(self) -> bool:
        """Whether the status says yes."""
        return 200 <= self.response.status < 300


ProbeExchange: TypeAlias = Generator[Command, Answer, ProbeAnswer]


def ask_list(
    url: str, field: str = "data", name: str = "id", headers: Mapping[str, str] | None = None
) -> ProbeExchange:
    """Ask for a list; its names are the `name` of each entry under `field`."""
    request = UpstreamRequest("GET", url, headers=headers or {})
    response = yield from send(request)
    entries = _entries(response.json(), field)[:NAMES_MAX]
    found = (entry.get(name) for entry in entries if isinstance(entry, dict))
    names = tuple(text.rpartition("models/")[2] for text in found if isinstance(text, str))
    return ProbeAnswer(request, response, names)


def ask_one(url: str, headers: Mapping[str, str] | None = None) -> ProbeExchange:
    """Ask for one thing, a model or an account."""
    request = UpstreamRequest("GET", url, headers=headers or {})
    response = yield from send(request)
    value = response.json()
    told = value.get("shutdown_date") if isinstance(value, dict) else None
    return ProbeAnswer(request, response, shutdown=told if isinstance(told, str) else "")


def ask_invalid(
    url: str, body: Mapping[str, Json], headers: Mapping[str, str] | None = None
) -> ProbeExchange:
    """Send a request that lacks what every image needs: it can be refused, and never billed."""
    sent = (json.dumps(body).encode(),)
    kinds = {"content-type": "application/json", **(headers or {})}
    request = UpstreamRequest("POST", url, sent, kinds)
    response = yield from send(request)
    return ProbeAnswer(request, response)


def _entries(value: Json, field: str) -> list[Json]:
    found = value.get(field) if isinstance(value, dict) else value
    return found if isinstance(found, list) else []


class Place(Protocol):
    """What a question needs of a `Target`."""

    @property
    def base_url(self) -> str:
        """The deployment's address."""
        ...

    @property
    def upstream_model(self) -> str:
        """The provider's own name for the model."""
        ...


def ask_models(target: Place) -> ProbeExchange:
    """List the models as OpenAI-shaped servers do."""
    return (yield from ask_list(f"{target.base_url}/models"))


def ask_model(target: Place) -> ProbeExchange:
    """Ask for the model as OpenAI-shaped servers are asked."""
    return (yield from ask_one(f"{target.base_url}/models/{quote(target.upstream_model)}"))


def ask_no_images(target: Place, count: str = "n") -> ProbeExchange:
    """Send a generation without a prompt, and of no images: some servers take any prompt."""
    body = {"model": target.upstream_model, count: 0}
    return (yield from ask_invalid(f"{target.base_url}/images/generations", body))


Ask: TypeAlias = Callable[..., ProbeExchange]
"""A `Target` -> what is asked there."""


class Probes(Struct, frozen=True, kw_only=True):
    """A provider's free questions; None where it has no such.

    `account` tells of the key and what is left on it; `models` lists what the key may see; `model`
    asks for the target's; `deployments` lists what an operator has deployed there, or what a region
    has, at the address that `control_plane` makes of the deployment's own; `invalid` is a
    generation that lacks its prompt. `known_good` names a model that every account of the provider
    can use, `""` where nobody can know. `is_gate`: a model that `models` does not list cannot be
    used.
    """

    account: Ask | None = None
    models: Ask | None = None
    model: Ask | None = None
    deployments: Ask | None = None
    control_plane: Callable[[str], str] | None = None
    invalid: Ask | None = None
    known_good: str = ""
    is_gate: bool = False
