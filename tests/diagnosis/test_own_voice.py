"""Every error that imagegate raises itself says whose it is, what to do, and what not to do."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import imagegate
from imagegate import errors
from imagegate.diagnosis.our_errors import finding_for, finding_for_caller
from imagegate.errors import BadRequestError, ImageError

SOURCE = Path(imagegate.__file__).parent
# These calls take a `code` that is no error's: a replaced character, a provider's refusal.
NOT_ERRORS = ("replace", "Refusal", "AttemptReport", "structs")


def raised() -> Iterator[tuple[str, type[ImageError]]]:
    """Yield every code that stands in the source, with the class that carries it."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                yield from ((code, _class(node)) for code in _codes(node))
            elif isinstance(node, ast.Assign) and _target(node) in ("code", "CODE"):
                yield from ((code, BadRequestError) for code in _words(node.value))
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, ImageError):
            yield kind.code, kind


def _codes(node: ast.Call) -> Iterator[str]:
    if _name(node) not in NOT_ERRORS:
        for keyword in node.keywords:
            if keyword.arg == "code":
                yield from _words(keyword.value)


def _class(node: ast.Call) -> type[ImageError]:
    found = getattr(errors, _name(node), None)
    return found if isinstance(found, type) and issubclass(found, ImageError) else BadRequestError


def _words(value: ast.expr) -> list[str]:
    parts = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
    return [
        part.value
        for part in parts
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value
    ]


def _name(node: ast.Call) -> str:
    return getattr(node.func, "id", "") or getattr(node.func, "attr", "")


def _target(node: ast.Assign) -> str:
    return getattr(node.targets[0], "id", "")


RAISED = sorted(set(raised()), key=lambda pair: (pair[0], pair[1].__name__))


def test_the_codes_are_found() -> None:
    codes = {code for code, _ in RAISED}
    assert {
        *("operation_retired", "max_cost_exceeded", "ledger_unavailable", "shutting_down"),
        *("unsupported_file_mimetype", "unknown_url", "method_not_allowed", "invalid_image_url"),
        *("mask_not_supported", "config_error", "upstream_timeout", "partial_result"),
    } <= codes
    assert len(codes) > 50


@pytest.mark.parametrize(("code", "kind"), RAISED, ids=lambda value: str(value))
def test_each_code_has_an_exact_finding(code: str, kind: type[ImageError]) -> None:
    """A new code needs a line in diagnosis/own.toml."""
    error = kind("The message.", code=code)
    for finding in (finding_for(error), finding_for_caller(error)):
        assert finding.owner != "undecided", code
        assert finding.rule.startswith("imagegate."), code
        assert finding.rule != "imagegate.unlisted", code
        assert finding.cause
        assert finding.next
        assert finding.do_not


def test_the_sdk_without_a_key_speaks_of_the_providers_key() -> None:
    finding = finding_for(errors.AuthenticationError("no credential", param="api_key"))
    assert (finding.owner, finding.exit_code) == ("caller", 11)
    assert "nothing was sent" in finding.cause


def test_a_code_from_a_newer_version_is_not_undecided() -> None:
    finding = finding_for(BadRequestError("The message.", code="made_up"))
    assert (finding.rule, finding.confidence) == ("imagegate.unlisted", "medium")
