"""Observation -> facts: the words that hold under each name. Rules are matched against them."""

import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct

from imagegate.diagnosis.body import ErrorText, read_error_text
from imagegate.diagnosis.lifecycle import Life, life_of
from imagegate.diagnosis.observation import Observation
from imagegate.types import Json

Facts: TypeAlias = Mapping[str, frozenset[str]]

SLOW_S = 90.0  # what CDNs and load balancers wait for, about
_TEXT_MAX = 16_384
_NAME = r"[`'\"]?(?P<m>[\w][\w.:/@+-]{1,119})[`'\"]?"
_MODEL_IN_WORDS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\bmodels?/{_NAME} is (?:not|no longer)",
        rf"\bmodels/{_NAME}[`'\"] was not found",
        rf"\bmodel=\s*{_NAME}",
        rf"\b(?:for|uid:|unknown) ?(?:model)?:? {_NAME}$",
        rf"\bmodel_not_found: {_NAME}",
        r"\bmodel ?[:=]? [`'\"](?P<m>[^`'\"\s]{2,120})[`'\"]",
        rf"\b(?:the|unknown|invalid|access to|use|found) model:? {_NAME}",
        rf"\bmodel not found:? {_NAME}$",
    )
)
_MODEL_IN_PATH = re.compile(r"/(?:deployments|models?)/([^/:]+(?::\d+)?)")
_KEY_IN_WORDS = re.compile(r"key provided:? ['\"]?([^\s*'\".]{2,12})")


class Seen(Struct, frozen=True):
    """An observation with its facts; `words` are the error's own, `model` the name it is about."""

    observation: Observation
    error: ErrorText
    facts: Facts
    model: str
    life: Life = Life()

    def says(self, words: re.Pattern[str]) -> bool:
        """Return whether the error's own words fit, alone or after what was printed before them."""
        return bool(words.search(self.words) or words.search(f"{self.error.before}{self.words}"))

    @property
    def words(self) -> str:
        """The error's own words."""
        return self.error.message[:_TEXT_MAX]

    def on(self, surface: str) -> "Seen":
        """Return it with what only holds on `surface`: that, and the model's life there."""
        life = life_of(surface, self.model, self.observation.today) if self.model else Life()
        state = frozenset((life.state,)) if self.model else frozenset(("unnamed",))
        facts = {**self.facts, "surface": frozenset((surface,)), "model": state}
        return msgspec.structs.replace(self, facts=facts, life=life)


def see(observation: Observation) -> Seen:
    """Return the facts of an observation."""
    error = read_error_text(observation.body)
    model = _model(observation, error.message)
    facts: dict[str, set[str]] = {}
    pairs = (*error.facts, *_http_facts(observation, error), *_client_facts(observation, error))
    for name, word in (*pairs, ("name", model)):
        facts.setdefault(name, set()).add(word)
    return Seen(
        observation, error, {name: frozenset(words) for name, words in facts.items()}, model
    )


def _http_facts(observation: Observation, error: ErrorText) -> Iterator[tuple[str, str]]:
    status = observation.status or _status_in(error)
    yield "status", str(status)
    for name, value in observation.headers.items():
        yield "header", name
        yield "header", f"{name}: {value[:80].lower()}"
    if not observation.headers:
        yield "header", "none"
    # AWS names the kind of an error here: ThrottlingException:http://internal...
    if amazon := observation.headers.get("x-amzn-errortype"):
        yield "code", amazon.partition(":")[0].strip()
    try:
        url = urlsplit(observation.url)
        host = url.hostname or "none"
    except ValueError:  # not an address at all
        host, url = "none", urlsplit("")
    yield "host", host
    yield "path", url.path or "none"
    yield from (("query", part) for part in url.query.lower().split("&") if part)


def _client_facts(observation: Observation, error: ErrorText) -> Iterator[tuple[str, str]]:
    yield "client", observation.client.lower() or "none"
    yield "provider", observation.provider.lower() or "none"
    yield "exception", observation.exception or "none"
    in_words = _KEY_IN_WORDS.search(error.message)
    yield "key", observation.key_prefix or (in_words[1] if in_words else "none")
    if observation.elapsed_s is not None and observation.elapsed_s >= SLOW_S:
        yield "elapsed", "slow"
    yield from (
        (("sent", word) for word in _sent(observation.sent, ""))
        if observation.sent
        else (("sent", "none"),)
    )


def _sent(value: Json, prefix: str) -> Iterator[str]:
    """Yield `tools`, `tools.type=image_generation`: names, and names with their scalars."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield f"{prefix}{name}"
            yield from _sent(item, f"{prefix}{name}.")
    elif isinstance(value, list | tuple):
        for item in value[:16]:
            yield from _sent(item, prefix)
    else:
        yield f"{prefix[:-1]}={value}"[:120]


def _status_in(error: ErrorText) -> int:
    """Return the status that a body repeats, as Google's and OpenRouter's do; 0 for none."""
    words = {word for name, word in error.facts if name == "code"}
    found = sorted(word for word in words if re.fullmatch(r"[45]\d\d", word))
    return int(found[0]) if found else 0


def _model(observation: Observation, message: str) -> str:
    sent = observation.sent.get("model")
    tools = observation.sent.get("tools")
    in_tools = (
        [tool.get("model") for tool in tools if isinstance(tool, dict)]
        if isinstance(tools, list)
        else []
    )
    in_words = next(filter(None, (each.search(message) for each in _MODEL_IN_WORDS)), None)
    in_path = _MODEL_IN_PATH.search(observation.url)
    named = [
        in_words["m"] if in_words else "",
        *in_tools,
        sent,
        unquote(in_path[1]) if in_path else "",
    ]
    return str(next(filter(None, named), "")).rstrip(".")
