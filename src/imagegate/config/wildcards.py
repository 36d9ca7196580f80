"""Wildcard groups, as LiteLLM has them: `openai/*` serves each model of a provider by its name.

An entry is resolved once, as it stands, which finds its faults, and once for each model that is
asked for. A caller chooses the model thereby, and nothing else: not the host, not the credential.
"""

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from imagegate.catalogue.model import SANDBOX, Catalogue
from imagegate.config.deployment import resolve_deployment
from imagegate.config.litellm import RESPONSES_MODE
from imagegate.config.patterns import MARK, captured, closest
from imagegate.config.settings import Deployment
from imagegate.config.wanted import Findings, Wanted
from imagegate.providers import PROVIDERS
from imagegate.types import Json

NAMES_KEPT_MAX = 512
NAME_CHARS_MAX = 256
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]*")


class Named:
    """Makes the deployments of one wildcard entry, `as_written`."""

    def __init__(
        self, wanted: Wanted, as_written: Deployment, catalogue: Catalogue, env: Mapping[str, str]
    ) -> None:
        self._wanted = wanted
        self._as_written = as_written
        self._catalogue = catalogue
        self._env = env
        self._made: dict[str, Deployment | None] = {}

    def __repr__(self) -> str:
        """Show the pattern only: the rest holds secrets."""
        return f"<Named {self._wanted.group!r}>"

    def __call__(self, name: str) -> Deployment | None:
        """Return the deployment that serves the group `name`, None where it cannot be one."""
        if name not in self._made:
            if len(self._made) >= NAMES_KEPT_MAX:  # callers choose the names
                self._made.clear()
            self._made[name] = self._make(name)
        return self._made[name]

    def known(self, today: datetime.date) -> Iterator[str]:
        """Yield the names under which the models are served that the catalogue knows today."""
        provider, pattern = self._as_written.provider, self._as_written.target.upstream_model
        rows = () if provider.names_deployments else self._catalogue.all()
        whose = "openai" if provider.name == SANDBOX else provider.name
        for row in rows:
            model = captured(pattern, row.name) if row.provider == whose else None
            if model is not None and not row.snapshot_of and not row.is_shut_down(today):
                yield self._wanted.group.replace(MARK, model)

    def _make(self, name: str) -> Deployment | None:
        wanted, as_written = self._wanted, self._as_written
        part = captured(wanted.group, name)
        model = wanted.model.replace(MARK, part or "")
        if part is None or not _is_name(model):
            return None
        if "/" in part and as_written.provider.name == "openai":
            return None  # another provider's name; at an address of one's own it is no such
        asked = msgspec.structs.replace(wanted, group=name, model=model, id=as_written.id)
        made = resolve_deployment(asked, self._catalogue, self._env, Findings())
        if made is None or made.target.base_url != as_written.target.base_url:
            return None
        return msgspec.structs.replace(made, pattern=wanted.group)


def _is_name(model: str) -> bool:
    """Return whether a model's name is one, and no path or query in its place."""
    words = model.split("/")
    return len(model) <= NAME_CHARS_MAX and all(_WORD.fullmatch(word) for word in words)


def why_not(name: str, model: str, params: Mapping[str, Json], mode: str) -> str | None:
    """Return why an entry with a `*` is not served, None where it is, or has none."""
    if MARK not in name + model:
        return None
    if name.count(MARK) > 1 or model.count(MARK) > 1:
        return "it has more than one *"
    if MARK not in name:
        return "its model has a * and its model_name has none; write it into both"
    if mode == RESPONSES_MODE:
        return "a text model is served by its name only; write one entry a model"
    if model == MARK and any(params.get(key) for key in ("api_key", "api_base", "base_url")):
        return "its key and address belong to one provider; name it, as in openai/*"
    return None


def is_wildcard(wanted: Wanted) -> bool:
    """Return whether an entry serves more than one name."""
    return MARK in wanted.group


def each_provider(
    wanted: Wanted, catalogue: Catalogue, env: Mapping[str, str]
) -> tuple[Wanted, ...]:
    """Return an entry for each provider that the environment has a key for: `model: "*"`.

    Names without a prefix are OpenAI's. What is no wildcard over all providers stays as it is.
    """
    if wanted.model != MARK:
        return (wanted,)
    found = []
    for provider in PROVIDERS:
        prefixed = _for(
            wanted, provider.name, wanted.group.replace(MARK, f"{provider.name}/{MARK}")
        )
        if (
            provider.auth != "none"
            and provider.needs_credential
            and _is_served(prefixed, catalogue, env)
        ):
            found.append(prefixed)
            if provider.name == "openai":
                found.append(_for(wanted, "openai", wanted.group))
    return tuple(found)


def _for(wanted: Wanted, provider: str, group: str) -> Wanted:
    name = f"{wanted.id}-{provider}" if wanted.id else ""
    return msgspec.structs.replace(wanted, group=group, model=f"{provider}/{MARK}", id=name)


def _is_served(wanted: Wanted, catalogue: Catalogue, env: Mapping[str, str]) -> bool:
    return resolve_deployment(wanted, catalogue, env, Findings()) is not None


def named_deployments(name: str, deployments: Sequence[Deployment]) -> tuple[Deployment, ...]:
    """Return the deployments of wildcard entries that serve the group `name`: the closest's."""
    pattern = closest((one.group for one in deployments if one.named), name)
    found = (one.named(name) for one in deployments if one.named and one.group == pattern)
    return tuple(one for one in found if one is not None)
