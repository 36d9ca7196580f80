"""The part of the configuration file about guardrails, in LiteLLM's shape."""

from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr

from imagegate.config.fields import (
    Entity,
    Hit,
    Modes,
    Names,
    Seconds,
    Section,
    Text,
)
from imagegate.config.guards import Severity
from imagegate.types import Json


class BlockedWord(Section):
    """A word, or several, that a `words` guardrail looks for."""

    keyword: Text
    """What is looked for, as whole words, whatever case and width it is written in."""
    action: Hit = "block"
    """What a hit leads to."""
    severity: Severity = "high"
    """How grave it is."""
    name: str = ""
    """What callers are told instead of the word."""
    description: str = ""
    """For whoever reads this file."""


class PatternRule(Section):
    """A regular expression that a `words` guardrail looks for."""

    pattern: Text
    """The expression, in Python's syntax."""
    action: Hit = "block"
    """What a hit leads to."""
    severity: Severity = "high"
    """How grave it is."""
    name: str = ""
    """What callers are told instead of the expression."""
    pattern_type: Literal["regex"] = "regex"
    """LiteLLM's; of its prebuilt patterns `sensitive` has those with check digits."""


class GuardrailParams(Section):
    """`litellm_params` of a guardrail."""

    guardrail: Text
    """`words`, `sensitive`, `openai_moderation`, `http`, or an import path: `module.ClassName`."""
    mode: Modes
    """`pre_call`, `during_call`, `post_call`, `logging_only`, or a list of them."""
    default_on: bool = False
    """Every call meets it, unless `model_groups` names some."""
    model_groups: Names = []
    """Calls for these groups meet it."""
    teams: Names = []
    """Calls of these teams meet it, by id."""
    keys: Names = []
    """Calls with these virtual keys meet it, by id."""
    on_error: Literal["closed", "open"] = "closed"
    """Where it gives no verdict: `closed` refuses what goes in and holds what comes out."""
    deadline_s: Annotated[Seconds, Field(le=120)] = 10.0
    """Longest that a verdict may take, in seconds."""
    action: Hit | None = None
    """What a hit leads to, where nothing nearer says so: by default `block`."""
    blocked_words: list[BlockedWord] = []
    """`words`: the words."""
    patterns: list[PatternRule] = []
    """`words`: the regular expressions."""
    severity_min: Severity = "low"
    """`words`: rules below this severity are not looked for."""
    entities: Annotated[
        dict[Entity, Hit], Field(validation_alias=AliasChoices("entities", "pii_entities_config"))
    ] = {}
    """`sensitive`: what is looked for, each with its action; all of it where nothing is named."""
    thresholds: dict[str, float] = {}
    """`openai_moderation`: scores by category that are too high, instead of OpenAI's own flags."""
    api_base: Text | None = None
    """`http`: the url of your service; `openai_moderation`: a base URL other than OpenAI's."""
    api_key: SecretStr | None = None
    """Sent as a bearer token."""
    model: Text | None = None
    """`openai_moderation`: by default `omni-moderation-latest`."""
    headers: dict[str, str] = {}
    """Headers of each request."""
    images: bool = True
    """`http`: images are sent too."""
    params: dict[str, Json] = {}
    """`http`: passed on in each request."""


class GuardrailEntry(Section):
    """A guardrail, in LiteLLM's shape."""

    guardrail_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    """Its name in requests, headers and errors."""
    litellm_params: GuardrailParams
    """What it is."""
    guardrail_info: dict[str, Json] = {}
    """For whoever reads this file."""
