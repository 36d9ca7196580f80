"""The reference page of all findings, made from the rules: one anchor a rule."""

import re
from collections.abc import Iterator

from imagegate.diagnosis.rules import Rule, Rules

_HEAD = """\
# Findings

What each rule of the diagnosis says. `error.imagegate.doc_url` leads to the rule that decided;
owner and confidence are explained in `docs/guide/diagnosis.md`. What stands in angle brackets is
filled in with what was seen.
"""


def findings_reference(rules: Rules) -> str:
    """Return the page in Markdown, in the order in which the rules are asked."""
    by_id: dict[str, list[Rule]] = {}
    for rule in (*rules.rule, *rules.undecided):
        by_id.setdefault(rule.id, []).append(rule)
    return "\n".join([_HEAD, *(_section(name, found) for name, found in by_id.items())])


def _section(name: str, found: list[Rule]) -> str:
    lines = [f'<a id="{name}"></a>\n', f"## `{name}`\n"]
    for rule in found:
        lines += [f"{_plain(rule.cause)}\n", *(f"- {line}" for line in _lines(rule)), ""]
    return "\n".join(lines)


def _lines(rule: Rule) -> Iterator[str]:
    yield f"owner: {rule.owner}, confidence: {rule.confidence}"
    told = {
        "next": rule.next,
        "do not": rule.do_not,
        "not if": rule.unless,
        "bill": rule.cost,
        "keep": ", ".join(rule.evidence),
        "learnt in": rule.source,
    }
    yield from (f"{label}: {_plain(text)}" for label, text in told.items() if text)


def _plain(sentence: str) -> str:
    return re.sub(r"<(\w+)>", r"\\<\1>", sentence)
