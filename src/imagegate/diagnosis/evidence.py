"""What to hand to whoever has to fix it: JSON, Markdown, and a script that shows the fault again.

Redacted by construction: it is built from named fields only, texts are scrubbed, a key is told by
its fingerprint, and the script takes it from the environment.
"""

import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from importlib import metadata

import msgspec

from imagegate.diagnosis.checkup import Checkup, Seen, Step
from imagegate.providers import provider_for
from imagegate.types import Json

REQUEST_IDS = ("x-request-id", "apim-request-id", "x-amzn-requestid", "x-litellm-call-id")
_TEXT_CHARS_MAX = 8192
_KEY_VARIABLE = "PROVIDER_API_KEY"
_SIGN_IN: Mapping[str, str] = {
    "bearer": '-H "Authorization: Bearer {key}"',
    "api-key": '-H "api-key: {key}"',
    "header": '-H "{header}: {key}"',
    "google": '-H "Authorization: Bearer $(gcloud auth print-access-token)"',
    "entra": (
        '-H "Authorization: Bearer $(az account get-access-token --resource '
        'https://cognitiveservices.azure.com --query accessToken -o tsv)"'
    ),
    "sigv4": (
        '--aws-sigv4 "aws:amz:{region}:bedrock" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"'
    ),
}


def build_evidence(checkups: Sequence[Checkup], *, at: str) -> dict[str, Json]:
    """Return the bundle as JSON; `at` is the time with its zone."""
    return {
        "at": at,
        "versions": {
            "imagegate": metadata.version("imagegate"),
            "python": platform.python_version(),
            "system": platform.system(),
        },
        "deployments": [_told(one) for one in checkups],
    }


def _told(one: Checkup) -> dict[str, Json]:
    plain: dict[str, Json] = msgspec.to_builtins(one)
    steps = [_told_step(step) for step in one.steps]
    return plain | {"steps": steps, "repro": repro(one)}


def _told_step(step: Step) -> dict[str, Json]:
    plain: dict[str, Json] = msgspec.to_builtins(step)
    shown = {name: value for name, value in plain.items() if value not in ("", 0, 0.0, None, {})}
    if step.finding:
        shown["finding"] = step.finding.fields()
    if step.seen:
        shown["endpoint"] = step.seen.url
        shown["request_id"] = request_id(step.seen)
    return shown


def request_id(seen: Seen) -> str:
    """Return the provider's own id of a request, `""` where it gave none."""
    return next((seen.headers[name] for name in REQUEST_IDS if name in seen.headers), "")


def build_markdown(evidence: Mapping[str, Json], checkups: Sequence[Checkup]) -> str:
    """Return the bundle as a page for an issue or a support ticket."""
    versions = ", ".join(f"{name} {value}" for name, value in evidence["versions"].items())
    parts = [
        f"# imagegate doctor, {evidence['at']}",
        f"{versions}. Keys are shown as fingerprints.",
    ]
    for one in checkups:
        parts += [_heading(one), *_sections(one)]
    return "\n\n".join(parts) + "\n"


def _heading(one: Checkup) -> str:
    rows = {
        "provider": one.provider,
        "model": one.model,
        "base url": one.base_url,
        "credential": f"{one.sign_in}, {one.credential}",
        **one.account,
    }
    table = "\n".join(f"| {name} | `{value}` |" for name, value in rows.items())
    return f"## {one.deployment}\n\n| | |\n| --- | --- |\n{table}"


def _sections(one: Checkup) -> list[str]:
    lines = [
        f"- {step.probe} {step.title}: **{step.state}** {step.text}".rstrip() + _phases(step)
        for step in one.steps
    ]
    parts = ["\n".join(lines)]
    for step in one.faults:
        if step.seen:
            head = "\n".join(f"{name}: {value}" for name, value in step.seen.headers.items())
            text = step.seen.text[:_TEXT_CHARS_MAX].replace("```", "'''")
            parts.append(
                f"{step.probe} at {step.seen.at}: {step.seen.method} {step.seen.url}\n\n"
                f"```\nHTTP {step.seen.status}\n{head}\n\n{text}\n```"
            )
    return parts


def _phases(step: Step) -> str:
    phases_s = step.phases_s or (step.seen.phases_s if step.seen else {})
    told = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in phases_s.items())
    return f" ({told})" if told else ""


def repro(one: Checkup) -> str:
    """Return a command that shows the first fault again; the key comes from the environment."""
    seen = next((step.seen for step in one.faults if step.seen), None)
    seen = seen or next((step.seen for step in reversed(one.steps) if step.seen), None)
    if seen is None:
        return f"curl -sv {shlex.quote(one.base_url)} -o /dev/null"
    parts = [f"curl -sS -i -X {seen.method} {shlex.quote(seen.url)}", _sign_in(one)]
    if seen.body:
        parts += ["-H 'content-type: application/json'", f"--data {shlex.quote(seen.body)}"]
    return " \\\n  ".join(part for part in parts if part)


def build_script(checkups: Sequence[Checkup]) -> str:
    """Return `repro.sh` for the deployments that have a fault, or for all where none has."""
    chosen = [one for one in checkups if one.faults] or list(checkups)
    parts = [
        "#!/bin/sh",
        "# Free requests: no prompt is sent. The keys come from the environment.",
    ]
    for one in chosen:
        name = json.dumps(one.deployment)
        parts.append(f"printf '%s\\n' {shlex.quote('== ' + name)}\n{repro(one)}")
    return "\n\n".join(parts) + "\n"


def _sign_in(one: Checkup) -> str:
    provider = provider_for(one.provider)
    return _SIGN_IN.get(one.sign_in, "").format(
        key=_from_environment(provider.api_key_env if provider else ()),
        header=provider.auth_header if provider else "",
        region=one.account.get("aws_region_name", "REGION"),
    )


def _from_environment(variables: Sequence[str]) -> str:
    """Return the shell's words for the first variable that is set; without one the script ends."""
    names = variables or (_KEY_VARIABLE,)
    words = f":?set {names[0]} to the key"
    for name in reversed(names):
        words = f":-${{{name}{words}}}"
    return words.removeprefix(":-")
