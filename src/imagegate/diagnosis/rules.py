"""surfaces.toml, own.toml and rules.toml as values, read once."""

import functools
import re
import tomllib
from collections.abc import Mapping
from fnmatch import translate
from importlib import resources
from typing import NamedTuple

import msgspec
from msgspec import Struct

from imagegate.diagnosis.facts import Facts, Seen
from imagegate.diagnosis.observation import Confidence

_WILD = frozenset("*?[")

Case = Mapping[str, str]
"""Name of a fact -> patterns of which one must fit; with `not_` before it none may."""


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row fits where one of its cases does; without a case it always does."""

    id: str
    when: tuple[Case, ...] = ({},)

    def fits(self, seen: Seen) -> bool:
        """Return whether this row applies to what was seen."""
        return any(_holds(case, seen) for case in self.when)

    def fits_without_words(self, seen: Seen) -> bool:
        """Return whether it applies by structure alone."""
        return any("words" not in case and _holds(case, seen) for case in self.when)


class Owner(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose it is to act, in words, and the exit code of `imagegate explain`."""

    who: str
    exit_code: int


class Surface(Row, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to know who spoke."""

    name: str
    sure: Confidence = "high"


class Rule(Row, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it failed, whose it is to fix, and how. `exit_code` 0 is that of the owner."""

    owner: str
    cause: str
    next: str
    do_not: str = ""
    unless: str = ""
    cost: str = ""
    evidence: tuple[str, ...] = ()
    confidence: Confidence = "high"
    exit_code: int = 0
    source: str = ""


class Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """All tables. `exception` names the surface behind a relay's exception class."""

    owner: Mapping[str, Owner]
    exception: Mapping[str, str]
    surface: tuple[Surface, ...]
    rule: tuple[Rule, ...]
    undecided: tuple[Rule, ...]


@functools.cache
def load_rules() -> Rules:
    """Return the tables that come with this package."""
    folder = resources.files("imagegate.diagnosis")
    names = ("surfaces.toml", "own.toml", "rules.toml")
    surfaces, own, rules = (tomllib.loads((folder / name).read_text("utf-8")) for name in names)
    return msgspec.convert(surfaces | rules | {"rule": own["rule"] + rules["rule"]}, Rules)


@functools.cache
def rules_on(surface: str) -> tuple[Rule, ...]:
    """Return the rules that can fit where `surface` spoke, in their order."""
    facts = {"surface": frozenset((surface,))}
    return tuple(
        rule for rule in load_rules().rule if any(_fits_surface(case, facts) for case in rule.when)
    )


def _fits_surface(case: Case, facts: Facts) -> bool:
    names = ("surface", "not_surface")
    return all(_fits(name, case[name], facts) for name in names if name in case)


def _holds(case: Case, seen: Seen) -> bool:
    """Structure is looked at first; words only where it fits."""
    for name, wanted in case.items():
        if name != "words" and not _fits(name, wanted, seen.facts):
            return False
    return "words" not in case or seen.says(_compiled(case["words"]))


def _fits(name: str, wanted: str, facts: Facts) -> bool:
    if name.startswith("not_"):
        return not _fits(name.removeprefix("not_"), wanted, facts)
    words, patterns = facts.get(name, ()), _patterns(wanted)
    if name == "code":  # relays change its case
        is_named = any(word.casefold() in patterns.folded for word in words)
    else:
        is_named = not patterns.plain.isdisjoint(words)
    return is_named or any(one.match(word) is not None for one in patterns.wild for word in words)


class _Patterns(NamedTuple):
    """What stands in a case for one fact, of which one must fit."""

    plain: frozenset[str]
    folded: frozenset[str]
    wild: tuple[re.Pattern[str], ...]


@functools.cache
def _patterns(wanted: str) -> _Patterns:
    each = [one.strip() for one in wanted.split("|")]
    plain = frozenset(one for one in each if _WILD.isdisjoint(one))
    wild = tuple(re.compile(translate(one)) for one in each if one not in plain)
    return _Patterns(plain, frozenset(one.casefold() for one in plain), wild)


@functools.cache
def _compiled(words: str) -> re.Pattern[str]:
    return re.compile(words, re.IGNORECASE)
