"""Google's credentials: given as text, as a mapping or as a path; the project may stand in them."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from json import JSONDecodeError
from pathlib import Path

from msgspec import Struct

from imagegate.config.settings import Credential
from imagegate.config.wanted import Findings, Wanted
from imagegate.types import Json, Secret
from imagegate.wire.provider import Provider

API_KEY_HEADER = "x-goog-api-key"
FIELD = "vertex_credentials"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
FILE_BYTES_MAX = 1024 * 1024
KINDS = frozenset(
    (
        "service_account",
        "authorized_user",
        "external_account",
        "external_account_authorized_user",
        "impersonated_service_account",
    )
)


class Account(Struct, frozen=True):
    """Credentials in Google's JSON; empty for those that the machine itself has (ADC)."""

    text: Secret = Secret("")
    project: str = ""


def read_account(
    wanted: Wanted, provider: Provider, env: Mapping[str, str], findings: Findings
) -> Account:
    """Return the credentials that are given, or named by the environment.

    A file is read here, so that a wrong path is told at the start and not by the first call.
    """
    variables = provider.secrets.get(FIELD, ())
    given = wanted.settings.get(FIELD) or next((env[v] for v in variables if env.get(v)), "")
    if not given:
        return Account()
    try:
        return _account(given if isinstance(given, Mapping) else _parsed(str(given)))
    except ValueError as error:
        findings.problem(FIELD, str(error), is_credential=FIELD not in wanted.settings)
        return Account()


def with_project(
    settings: Mapping[str, Json],
    wanted: Wanted,
    provider: Provider,
    env: Mapping[str, str],
    findings: Findings,
) -> dict[str, Json]:
    """Return the settings with the credentials' own project where none is given."""
    if provider.auth != "google" or settings.get("vertex_project"):
        return dict(settings)
    project = read_account(wanted, provider, env, findings).project
    if not (project or wanted.api_key or "/projects/" in wanted.api_base or findings.problems):
        findings.problem(
            "vertex_project",
            "missing: give vertex_project, or set VERTEXAI_PROJECT or GOOGLE_CLOUD_PROJECT",
        )
    return {**settings, "vertex_project": project} if project else dict(settings)


def find_google(
    wanted: Wanted, provider: Provider, env: Mapping[str, str], findings: Findings
) -> Credential:
    """Return an API key where one is given, else the account; without one, the machine's own."""
    if wanted.api_key:
        return Credential("header", wanted.api_key, header=API_KEY_HEADER)
    if not _has_google_auth():
        findings.problem("model", "Vertex AI needs an extra: pip install 'imagegate[vertex]'")
    # What is wrong with the account is told once: its project may have been looked up before.
    account = read_account(wanted, provider, env, Findings() if findings.problems else findings)
    return Credential("google", account.text, {"scope": SCOPE})


def _has_google_auth() -> bool:
    try:
        return find_spec("google.auth") is not None and find_spec("requests") is not None
    except ModuleNotFoundError:
        return False


def _parsed(text: str) -> Mapping[str, Json]:
    if not text.lstrip().startswith("{"):
        text = _read(Path(text).expanduser())
    try:
        value = json.loads(text)
    except JSONDecodeError as error:
        raise ValueError(f"this is no JSON ({error.msg}); give the account's key file") from error
    return value if isinstance(value, dict) else {}


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(FILE_BYTES_MAX)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ValueError(f"the file {path} cannot be read: {why}") from error


def _account(info: Mapping[str, Json]) -> Account:
    kind = info.get("type")
    if kind not in KINDS:
        known = ", ".join(sorted(KINDS))
        raise ValueError(f"credentials of type {kind!r} are not known; Google has {known}")
    project = info.get("project_id") or info.get("quota_project_id") or ""
    return Account(Secret(json.dumps(info)), str(project))
