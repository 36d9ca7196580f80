"""`guardrails` in LiteLLM's shape: entries become settings; what is not here is a fault.

A guardrail that is asked for and cannot be had must never be a note: then nothing would be guarded.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from imagegate.config.faults import Faults, Path
from imagegate.telemetry import GuardMode
from imagegate.types import Json, Secret

if TYPE_CHECKING:
    from imagegate.config.guards_schema import GuardrailEntry, GuardrailParams
    from imagegate.config.schema import ConfigFile

GuardKind: TypeAlias = Literal["words", "sensitive", "openai_moderation", "http", "python"]
GuardHit: TypeAlias = Literal["block", "mask", "blur", "hold"]
Severity: TypeAlias = Literal["low", "medium", "high"]
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high")

MODERATION_URL = "https://api.openai.com/v1"
MODERATION_MODEL = "omni-moderation-latest"
ENV_PREFIX = "os.environ/"
_KINDS: Mapping[str, GuardKind] = {
    "words": "words",
    "litellm_content_filter": "words",
    "sensitive": "sensitive",
    "hide-secrets": "sensitive",
    "hide_secrets": "sensitive",
    "openai_moderation": "openai_moderation",
    "http": "http",
}
_NEVER_HOSTS = re.compile(
    r"169\.254\.|metadata\.google|168\.63\.129\.16|100\.100\.100\.200|\[?fd00:"
)


class TextRule(Struct, frozen=True, kw_only=True):
    """A word, several words, or a regular expression, and what a hit leads to."""

    text: str
    is_regex: bool = False
    action: GuardHit = "block"
    severity: Severity = "high"
    name: str = ""


class GuardrailSettings(Struct, frozen=True, kw_only=True):
    """One guardrail. Empty `model_groups`: all. `action` is what a hit leads to.

    `named_by` are model groups of which a deployment names it; `holders` are ids of teams and keys.

    `on_error` is what its own failure leads to: `closed` refuses what goes in and holds what comes
    out, `open` lets both pass. `thresholds` are scores by category, `entities` actions by name.
    """

    name: str
    kind: GuardKind
    modes: frozenset[GuardMode]
    default_on: bool = False
    model_groups: frozenset[str] = frozenset()
    named_by: frozenset[str] = frozenset()
    holders: frozenset[str] = frozenset()
    on_error: Literal["closed", "open"] = "closed"
    deadline_s: float = 10.0
    action: GuardHit = "block"
    rules: tuple[TextRule, ...] = ()
    severity_min: Severity = "low"
    entities: Mapping[str, GuardHit] = {}
    thresholds: Mapping[str, float] = {}
    url: str = ""
    model: str = ""
    secret: Secret = Secret("")
    headers: Mapping[str, Secret] = {}
    images: bool = True
    params: Mapping[str, Json] = {}
    target: str = ""
    folder: str = ""

    @property
    def hit_action(self) -> Literal["deny", "mask", "blur", "hold"]:
        """What a hit leads to, as a ruling's action."""
        return "deny" if self.action == "block" else self.action


class GuardrailReader:
    """Reads a file's guardrails."""

    def __init__(self, folder: str, env: Mapping[str, str], faults: Faults) -> None:
        self._folder = folder
        self._env = env
        self._faults = faults

    def read(self, config: "ConfigFile") -> tuple[GuardrailSettings, ...]:
        """Return all guardrails in order; what is wrong is noted as a fault."""
        found: dict[str, GuardrailSettings] = {}
        named_by = self._named_by(config)
        for index, entry in enumerate(config.guardrails):
            path: Path = ("guardrails", index)
            if entry.guardrail_name in found:
                self._faults.add(path, f"the name {entry.guardrail_name!r} is taken already")
            settings = self._read_one(entry, path)
            if settings is not None:
                groups = frozenset(named_by.get(settings.name, ()))
                found[settings.name] = replace(settings, named_by=groups)
        return tuple(found.values())

    def _named_by(self, config: "ConfigFile") -> dict[str, set[str]]:
        """Return by guardrail the model groups whose entries name it."""
        found: dict[str, set[str]] = {entry.guardrail_name: set() for entry in config.guardrails}
        for index, entry in enumerate(config.model_list):
            key = "params" if "params" in entry else "litellm_params"
            params = entry.get(key)
            named = params.get("guardrails") if isinstance(params, dict) else None
            for name in [named] if isinstance(named, str) else named or ():
                if name in found:
                    found[name].add(str(entry.get("model_name")))
                else:
                    path = ("model_list", index, key, "guardrails")
                    self._faults.add(path, f"there is no guardrail {str(name)[:64]!r} in this file")
        return found

    def _read_one(self, entry: "GuardrailEntry", path: Path) -> GuardrailSettings | None:
        params = entry.litellm_params
        kind = _KINDS.get(params.guardrail) or ("python" if "." in params.guardrail else None)
        at = (*path, "litellm_params")
        if kind is None:
            known = ", ".join(dict.fromkeys(_KINDS))
            text = f"no guardrail {params.guardrail!r} here; known are {known}, or module.ClassName"
            self._faults.add((*at, "guardrail"), text)
            return None
        self._check(kind, params, at)
        is_hiding = params.guardrail in ("hide-secrets", "hide_secrets")
        return GuardrailSettings(
            name=entry.guardrail_name,
            kind=kind,
            modes=frozenset(params.mode),
            default_on=params.default_on,
            model_groups=frozenset(params.model_groups),
            holders=frozenset((*params.teams, *params.keys)),
            on_error=params.on_error,
            deadline_s=params.deadline_s,
            action=params.action or ("mask" if is_hiding else "block"),
            rules=self._rules(params, at),
            severity_min=params.severity_min,
            entities={str(name): action for name, action in params.entities.items()},
            thresholds=params.thresholds,
            url=self._url(kind, params, at),
            model=params.model or (MODERATION_MODEL if kind == "openai_moderation" else ""),
            secret=self._secret(kind, params, at),
            headers={name: Secret(value) for name, value in params.headers.items()},
            images=params.images,
            params=params.params,
            target=params.guardrail if kind == "python" else "",
            folder=self._folder,
        )

    def _check(self, kind: GuardKind, params: "GuardrailParams", at: Path) -> None:
        if kind == "words" and not (params.blocked_words or params.patterns):
            self._faults.add(at, "it has neither blocked_words nor patterns, so it guards nothing")
        if kind == "http" and not params.api_base:
            self._faults.add(at, "it needs api_base, the url of your service")
        if "blur" in (params.action,) and not {"post_call"} & set(params.mode):
            self._faults.add(at, "only what comes out can be blurred: the mode post_call")

    def _rules(self, params: "GuardrailParams", at: Path) -> tuple[TextRule, ...]:
        words = [
            TextRule(text=one.keyword, action=one.action, severity=one.severity, name=one.name)
            for one in params.blocked_words
        ]
        for index, one in enumerate(params.patterns):
            try:
                re.compile(one.pattern)
            except re.error as error:
                text = f"this is no regular expression: {error}"
                self._faults.add((*at, "patterns", index, "pattern"), text)
                continue
            words.append(
                TextRule(
                    text=one.pattern,
                    is_regex=True,
                    action=one.action,
                    severity=one.severity,
                    name=one.name,
                )
            )
        return tuple(words)

    def _url(self, kind: GuardKind, params: "GuardrailParams", at: Path) -> str:
        url = params.api_base or (MODERATION_URL if kind == "openai_moderation" else "")
        parts = urlsplit(url)
        is_plain = parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1")
        if url and (parts.scheme not in ("http", "https") or is_plain):
            self._faults.add(
                (*at, "api_base"), "must be an https url; http is for services on this host only"
            )
        if url and _NEVER_HOSTS.match(parts.netloc.lower()):
            self._faults.add((*at, "api_base"), "this is an address of a cloud's own insides")
        return url.rstrip("/") if kind == "openai_moderation" else url

    def _secret(self, kind: GuardKind, params: "GuardrailParams", at: Path) -> Secret:
        given = params.api_key.get_secret_value() if params.api_key else ""
        if not given and kind == "openai_moderation":
            given = self._env.get("OPENAI_API_KEY", "")
            if not given:
                self._faults.add(at, "it needs api_key, or the variable OPENAI_API_KEY")
        return Secret(given)
