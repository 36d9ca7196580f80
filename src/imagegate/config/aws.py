"""AWS credentials: a Bedrock key, or what botocore's signer needs, by LiteLLM's names."""

from collections.abc import Mapping
from importlib.util import find_spec

from imagegate.config.settings import Credential
from imagegate.config.wanted import Findings, Wanted
from imagegate.types import Secret
from imagegate.wire.provider import Provider

KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
PROFILE = "aws_profile_name"
NO_BOTOCORE = (
    "AWS credentials need an extra: pip install 'imagegate[bedrock]', or use a Bedrock API key "
    "(AWS_BEARER_TOKEN_BEDROCK)"
)


def find_aws(
    wanted: Wanted, provider: Provider, env: Mapping[str, str], findings: Findings
) -> Credential:
    """Return, in this order: the key given, what else is given, the environment's key, its rest.

    Nothing found is no fault here: botocore also looks into files and at the machine's own role.
    """
    names = provider.secrets.keys() & wanted.settings.keys()
    given = {name: str(wanted.settings[name]) for name in names}
    token = wanted.api_key or Secret("" if given else _first(env, provider.api_key_env))
    if token:
        return Credential("bearer", token)
    if find_spec("botocore") is None:
        findings.problem("model", NO_BOTOCORE)
    if not given.keys() & {*KEYS, PROFILE}:
        given |= _of_environment(provider, env)
    _check(given, findings)
    return Credential("sigv4", aws={name: Secret(value) for name, value in given.items()})


def _of_environment(provider: Provider, env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment's keys, else its profile."""
    found = {name: _first(env, provider.secrets[name]) for name in (*KEYS, PROFILE)}
    wanted = KEYS if found[KEYS[0]] and found[KEYS[1]] else (PROFILE,)
    return {name: found[name] for name in wanted if found[name]}


def _first(env: Mapping[str, str], variables: tuple[str, ...]) -> str:
    return next((env[name] for name in variables if env.get(name)), "")


def _check(given: Mapping[str, str], findings: Findings) -> None:
    for name in KEYS:
        if any(not ("!" <= character <= "~") for character in given.get(name, "")):
            findings.problem(name, "it holds a blank or a character that no key has; copy it anew")
    if given.get("aws_web_identity_token") and not given.get("aws_role_name"):
        findings.problem("aws_role_name", "missing: a web identity takes a role")
    missing = [name for name in KEYS[:2] if not given.get(name)]
    if len(missing) == 1 or (len(missing) == 2 and given.get(KEYS[2])):
        findings.problem(missing[0], "missing: access key and secret key come together")
