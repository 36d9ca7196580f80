"""The tables hold together: what they name exists, and every row can be read."""

import re

import pytest

from imagegate.diagnosis.rules import Rule, load_rules

RULES = load_rules()
ALL = (*RULES.rule, *RULES.undecided)
SURFACES = {surface.id for surface in RULES.surface}
PLACES = {"model", "surface", "host", "path", "base", "status", "code", "param"}
PLACES |= {"shutdown", "successor", "source"}
FACTS = {
    *("surface", "status", "code", "type", "param", "field", "detail", "quota", "shape"),
    *("header", "host", "path", "query", "sent", "client", "exception", "provider"),
    *("key", "name", "model", "elapsed", "words"),
}


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.id)
def test_a_rule_is_whole(rule: Rule) -> None:
    assert rule.owner in RULES.owner
    assert rule.cause
    assert rule.next
    for text in (rule.cause, rule.next, rule.do_not, rule.unless):
        assert set(re.findall(r"<(\w+)>", text)) <= PLACES


def test_cases_ask_for_facts_and_surfaces_that_exist() -> None:
    for row in (*RULES.surface, *ALL):
        for case in row.when:
            assert {name.removeprefix("not_") for name in case} <= FACTS, row.id
            named = case.get("surface", "") + "|" + case.get("not_surface", "")
            assert {name.strip() for name in named.split("|")} - {""} <= SURFACES, row.id
            re.compile(case.get("words", ""))


def test_relays_lead_to_surfaces_that_exist() -> None:
    known = {
        case["provider"] for surface in RULES.surface for case in surface.when if "provider" in case
    }
    named = {name.strip() for names in known for name in names.split("|")}
    assert {name for name in RULES.exception.values() if name} <= named | {"vertex"}


def test_the_last_rows_fit_everything() -> None:
    assert RULES.surface[-1].when == ({},)
    assert RULES.undecided[-1].when == ({},)


def test_nothing_is_sure_by_words_that_anybody_may_say() -> None:
    """A case that looks at words alone is bounded by its surface, or its words are long enough."""
    for rule in RULES.rule:
        for case in rule.when:
            if set(case) == {"words"}:
                assert len(case["words"]) >= 20, rule.id
