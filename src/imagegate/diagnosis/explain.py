"""The engine: who spoke, then why. Pure: same observation, same finding."""

import re
from collections.abc import Mapping

import msgspec

from imagegate.diagnosis.facts import Seen, see
from imagegate.diagnosis.observation import Confidence, Observation
from imagegate.diagnosis.peel import peel
from imagegate.diagnosis.redact import redact
from imagegate.diagnosis.rules import Rules, Surface, load_rules, rules_on
from imagegate.errors import Finding

_LAYERS_MAX = 4
_REPEATED = frozenset(("azure", "bedrock", "chatgpt", "gemini", "openai", "vertex", "xai"))
_ORDER: tuple[Confidence, ...] = ("low", "medium", "high")
# What may stand in a command that somebody pastes into a shell. The words come from outside.
_SAFE = re.compile(r"[A-Za-z0-9][\w.:/@+-]{0,119}")


def explain(observation: Observation) -> Finding:
    """Return whose it is to fix, and how; `undecided` with the next free probe where nobody knows.

    What relays passed on is read first: the innermost speaker whose words decide has the word.
    """
    rules = load_rules()
    layers: list[tuple[Seen, tuple[str, ...]]] = [(see(observation), ())]
    while len(layers) < _LAYERS_MAX and (inner := _inner(*layers[-1], rules)):
        layers.append(inner)
    findings = [_finding(seen, via, rules) for seen, via in reversed(layers)]
    found = next((finding for finding in findings if finding.is_decided), findings[0])
    if found.owner == "caller" and _is_operators(layers[0][0]):
        found = as_operators(found)
    return msgspec.structs.replace(found, text=redact(observation.body))


def as_operators(finding: Finding) -> Finding:
    """Return the finding with whoever runs the gateway as its owner."""
    operator = load_rules().owner["operator"]
    return msgspec.structs.replace(
        finding, owner="operator", who=operator.who, exit_code=operator.exit_code
    )


def _is_operators(seen: Seen) -> bool:
    """Return whether a gateway of ours says that what failed belongs to its operator."""
    value = seen.error.value if isinstance(seen.error.value, dict) else {}
    error = value.get("error")
    ours = error.get("imagegate") if isinstance(error, dict) else None
    return isinstance(ours, dict) and ours.get("owner") == "operator"


def _inner(seen: Seen, via: tuple[str, ...], rules: Rules) -> tuple[Seen, tuple[str, ...]] | None:
    inner = peel(seen, rules.exception)
    if inner is None:
        return None
    relay = _speaker(seen, rules)
    seen_inner = see(inner)
    is_another = relay.id not in ("unknown", _speaker(seen_inner, rules).id)
    return seen_inner, (*via, relay.name) if is_another else via


def _finding(seen: Seen, via: tuple[str, ...], rules: Rules) -> Finding:
    surface = _speaker(seen, rules)
    seen = seen.on(surface.id)
    # What was cut off may lack the very word that matters: it is never judged by the rest.
    fitting = () if "cut" in seen.facts["shape"] else rules_on(surface.id)
    rule = next((rule for rule in fitting if rule.fits(seen)), None)
    if rule is None:
        rule = next(rule for rule in rules.undecided if rule.fits(seen))
    owner = rules.owner[rule.owner]
    fill = _Filler(seen, surface).fill
    return Finding(
        surface=surface.name,
        owner=rule.owner,
        who=owner.who,
        cause=fill(rule.cause),
        next=fill(rule.next),
        do_not=fill(rule.do_not),
        unless=fill(rule.unless),
        cost=rule.cost,
        confidence=min(rule.confidence, surface.sure, _heard(seen), key=_ORDER.index),
        rule=rule.id,
        via=via,
        evidence=rule.evidence,
        source=rule.source,
        exit_code=rule.exit_code or owner.exit_code,
    )


def _heard(seen: Seen) -> Confidence:
    """Return how sure anybody can be of it: what was printed in a text may be quoted there."""
    is_printed = "text" in seen.facts["shape"] and "none" in seen.facts["header"]
    return "medium" if is_printed else "high"


def _speaker(seen: Seen, rules: Rules) -> Surface:
    """Return who spoke. What a provider says may be repeated by others; their own marks count."""
    first = next(surface for surface in rules.surface if surface.fits(seen))
    if first.id not in _REPEATED or first.fits_without_words(seen):
        return first
    repeated = (surface for surface in rules.surface if surface.id in _REPEATED)
    return next((one for one in repeated if one.fits_without_words(seen)), first)


class _Filler:
    """Puts what was seen into a rule's sentences; what is unsafe in a shell is named, not shown."""

    def __init__(self, seen: Seen, surface: Surface) -> None:
        life = seen.life
        self._values: Mapping[str, str] = {
            "model": _safe(seen.model, "MODEL"),
            "surface": surface.name,
            "host": _safe(_one(seen, "host"), "HOST"),
            "path": _safe(_one(seen, "path").lstrip("/"), "PATH"),
            "base": _base(seen),
            "status": _one(seen, "status"),
            "code": _safe(_code(seen), "no code"),
            "param": _safe(_one(seen, "param"), "a field"),
            "shutdown": life.shutdown.isoformat() if life.shutdown else "an unknown date",
            "successor": life.successor.partition("/")[2] or life.successor or "a current model",
            "source": life.source or "no source",
        }

    def fill(self, sentence: str) -> str:
        """Return the sentence with its `<names>` replaced."""
        return re.sub(r"<(\w+)>", lambda found: self._values[found[1]], sentence)


def _safe(text: str, otherwise: str) -> str:
    return text if text not in ("none", "null") and _SAFE.fullmatch(text) else otherwise


def _one(seen: Seen, name: str) -> str:
    return min(seen.facts.get(name, ()), default="none")


def _code(seen: Seen) -> str:
    words = seen.facts.get("code", frozenset())
    return min((word for word in words if not word.isdigit()), default="null")


def _base(seen: Seen) -> str:
    found = re.match(
        r"https?://[\w.:-]+(?:/[\w.-]+)*?(?:/v\d\w*|/openai)(?=/|$)", seen.observation.url
    )
    return found[0] if found else "$BASE_URL"
