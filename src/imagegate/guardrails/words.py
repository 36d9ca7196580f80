"""`words`: an operator's words and regular expressions, each with a severity and an action.

Words are looked for as whole words in text that was folded first (case, width, accents, invisible
characters), so that full-width letters or a zero-width space hide none.
"""

import re

from msgspec import Struct

from imagegate.config.guards import SEVERITIES, GuardrailSettings, Severity, TextRule
from imagegate.guardrails.folding import fold
from imagegate.guardrails.subject import ALLOWED, Ruling, RulingAction, Subject

SHOWN = "[REDACTED]"


class Pattern(Struct, frozen=True):
    """One rule, ready to be looked for; `is_folded`: in the folded text."""

    rule: TextRule
    regex: re.Pattern[str]
    is_folded: bool


class Words:
    """Looks for words and patterns; the gravest that is found decides."""

    sees_images = False

    def __init__(self, settings: GuardrailSettings) -> None:
        self._patterns = [
            _pattern(rule)
            for rule in settings.rules
            if SEVERITIES.index(rule.severity) >= SEVERITIES.index(settings.severity_min)
        ]

    async def rule(self, subject: Subject) -> Ruling:
        """Return `deny` where a rule that blocks was hit, else the texts with what was masked."""
        hits = [
            pattern
            for text, folded in ((text, fold(text)) for text in subject.texts.values())
            for pattern in self._patterns
            if pattern.regex.search(folded if pattern.is_folded else text)
        ]
        if not hits:
            return ALLOWED
        blocking = [hit for hit in hits if hit.rule.action != "mask"]
        if blocking:
            gravest = max(blocking, key=lambda hit: SEVERITIES.index(hit.rule.severity))
            return Ruling(action=_action(gravest), category=_category(gravest.rule))
        masked = {path: _masked(text, hits) for path, text in subject.texts.items()}
        changed = {path: text for path, text in masked.items() if text != subject.texts[path]}
        return Ruling(action="mask", category=_category(hits[0].rule), texts=changed)


def _pattern(rule: TextRule) -> Pattern:
    if rule.is_regex:
        return Pattern(rule, re.compile(rule.text), is_folded=False)
    words = r"\s+".join(re.escape(word) for word in fold(rule.text).split())
    return Pattern(rule, re.compile(rf"(?<!\w){words}(?!\w)"), is_folded=True)


def _masked(text: str, hits: list[Pattern]) -> str:
    for hit in hits:
        if not hit.is_folded:
            text = hit.regex.sub(SHOWN, text)
        elif hit.regex.search(fold(text)):
            plain = re.sub(re.escape(hit.rule.text), SHOWN, text, flags=re.IGNORECASE)
            # What is only a hit once folded cannot be cut out of the text as it was written.
            text = SHOWN if hit.regex.search(fold(plain)) else plain
    return text


def _action(pattern: Pattern) -> RulingAction:
    return "deny" if pattern.rule.action == "block" else pattern.rule.action


def _category(rule: TextRule) -> str:
    severity: Severity = rule.severity
    return rule.name or f"{'pattern' if rule.is_regex else 'word'}-{severity}"
