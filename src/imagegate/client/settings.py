"""Which settings a call of the SDK runs with: the client's file, or the call's own keywords."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Struct

from imagegate.config.client_settings import client_settings
from imagegate.config.load import environment, load_settings
from imagegate.config.settings import Settings
from imagegate.errors import BadRequestError
from imagegate.types import Json

TIMEOUT_S = 600.0

Config: TypeAlias = str | os.PathLike[str] | Mapping[str, Json]


class Candidate(Struct, frozen=True):
    """A model to try, and how it is reached. `timeout_s` is how long its caller would wait."""

    model: str | None
    connection: Mapping[str, Any]
    timeout_s: float


class SettingsSource:
    """Where a client's settings come from. Raises `ConfigError` where its file has faults."""

    def __init__(self, config: Config | None) -> None:
        self._settings = None if config is None else _load(config)

    def settings_for(self, candidate: Candidate) -> tuple[Settings, str]:
        """Return the settings of a call and the model group in them that it asks for.

        A client's file serves its groups; a call that brings a connection of its own is served by
        that. Raises `AuthenticationError` or `ConfigError` that says what is missing.
        """
        if self._settings is None or candidate.connection:
            return _of_keywords(candidate, self._settings)
        return self._settings, candidate.model or self._settings.default_model


def _of_keywords(candidate: Candidate, base: Settings | None) -> tuple[Settings, str]:
    keywords = dict(candidate.connection)
    headers = {**keywords.pop("headers", {}), **keywords.pop("extra_headers", {})}
    version = _api_version(keywords.pop("extra_query", {}))
    if version:
        keywords.setdefault("api_version", version)
    return client_settings(
        candidate.model,
        env=environment(),
        extra_headers=headers,
        # A longer wait than usual needs a longer exchange; else all waits share one runtime.
        timeout=candidate.timeout_s if candidate.timeout_s > TIMEOUT_S else None,
        catalogue=base.catalogue if base else None,
        **keywords,
    )


def _api_version(query: Mapping[str, str]) -> str:
    """Return the one query parameter that there is a place for."""
    for name in query:
        if name != "api-version":
            raise BadRequestError(
                f"extra_query holds {name!r}; only api-version is sent. Put other parameters into "
                "the api_base's server or into extra_headers",
                param="extra_query",
            )
    return query.get("api-version", "")


def _load(config: Config) -> Settings:
    if not isinstance(config, Mapping):
        return load_settings(os.fspath(config))
    with tempfile.TemporaryDirectory(prefix="imagegate-") as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(config))  # JSON is YAML
        return load_settings(str(path))
