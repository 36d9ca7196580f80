"""From what is wanted to `Settings`: the cross-checks, for a file, the SDK, and no file at all.

Neither YAML nor pydantic is loaded here: the SDK without a file comes this way.
"""

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct

from imagegate.catalogue.model import SANDBOX, Catalogue
from imagegate.catalogue.rows import builtin_catalogue
from imagegate.config.deployment import resolve_deployment
from imagegate.config.faults import Faults, Path, nearest
from imagegate.config.patterns import matches
from imagegate.config.settings import (
    AssetSettings,
    Deployment,
    Note,
    Settings,
    Skipped,
)
from imagegate.config.wanted import Findings, Problem, Wanted
from imagegate.config.wildcards import Named, each_provider, is_wildcard
from imagegate.types import Secret

DEFAULT_MODEL = "openai/gpt-image-2.5-flare"
MODEL_ENV = "IMAGEGATE_MODEL"
ENV_PREFIX = "os.environ/"
KEYS_TOLD = (
    ("OPENAI_API_KEY", "openai/gpt-image-2.5-flare"),
    ("AZURE_API_KEY", "azure/DEPLOYMENT"),
    ("AZURE_OPENAI_API_KEY", "azure/DEPLOYMENT"),
    ("GEMINI_API_KEY", "gemini/gemini-nano-banana-2.1"),
)


class WantedAt(Struct, frozen=True):
    """A wanted deployment, and the path in the file where it is asked for."""

    wanted: Wanted
    path: Path


def resolve_deployments(
    asked: Sequence[WantedAt], catalogue: Catalogue, env: Mapping[str, str], faults: Faults
) -> tuple[tuple[Deployment, ...], tuple[Note, ...]]:
    """Return the deployments in order, each with an id of its own, and what to know about them."""
    deployments: list[Deployment] = []
    notes = _unspent(asked, catalogue, env, faults)
    for entry in _spread(asked, catalogue, env):
        findings = Findings()
        deployment = resolve_deployment(entry.wanted, catalogue, env, findings)
        for problem in findings.problems:
            _tell(problem, entry.path, faults)
        line = faults.line_of(entry.path)
        notes += [Note(entry.wanted.group, line, text) for text in findings.notes]
        # What is noted as wrong is not served in part: an unset key would be sent as its own name.
        if deployment is not None and not faults.has(entry.path, below=True):
            deployment = _with_own_id(deployment, entry, deployments, faults)
            if is_wildcard(entry.wanted):
                named = Named(entry.wanted, deployment, catalogue, env)
                deployment = msgspec.structs.replace(deployment, named=named)
            deployments.append(deployment)
    return tuple(_with_images(one, deployments) for one in deployments), tuple(notes)


def _spread(
    entries: Sequence[WantedAt], catalogue: Catalogue, env: Mapping[str, str]
) -> Iterator[WantedAt]:
    """Yield the entries; one for all providers as one a provider, unless that one is there too."""
    groups = {entry.wanted.group for entry in entries}
    for entry in entries:
        for wanted in each_provider(entry.wanted, catalogue, env):
            if wanted.group == entry.wanted.group or wanted.group not in groups:
                yield WantedAt(wanted, entry.path)


def _unspent(
    asked: Iterable[WantedAt], catalogue: Catalogue, env: Mapping[str, str], faults: Faults
) -> list[Note]:
    """Return a note for each entry that is for all providers, and for none here."""
    text = "it serves nothing: no provider's key is in the environment; set one, such as "
    return [
        Note(entry.wanted.group, faults.line_of(entry.path), text + KEYS_TOLD[0][0])
        for entry in asked
        if not each_provider(entry.wanted, catalogue, env)
    ]


def _with_images(deployment: Deployment, all_of_them: Iterable[Deployment]) -> Deployment:
    """Return a text model's deployment with the image deployments that its tool can reach."""
    if deployment.serves != "responses":
        return deployment
    place = (deployment.provider.name, deployment.target.base_url)
    there = {
        one.group: one
        for one in all_of_them
        if one.serves == "images"
        and not one.named
        and (one.provider.name, one.target.base_url) == place
    }
    return msgspec.structs.replace(deployment, images=there)


def _tell(problem: Problem, path: Path, faults: Faults) -> None:
    """Note a problem, unless it only follows from a fault that is noted already."""
    at = (*path, problem.field)
    if not (faults.has(at) or (problem.is_credential and faults.has(path, below=True))):
        faults.add(at, problem.text)


def _with_own_id(
    deployment: Deployment, entry: WantedAt, others: list[Deployment], faults: Faults
) -> Deployment:
    taken = {other.id for other in others}
    if deployment.id not in taken:
        return deployment
    if entry.wanted.id:
        path = (*entry.path[:-1], "model_info", "id")
        faults.add(path, f"the id {deployment.id!r} is taken by another deployment; ids are unique")
        return deployment
    number = next(n for n in range(2, len(taken) + 3) if f"{deployment.id}-{n}" not in taken)
    return msgspec.structs.replace(deployment, id=f"{deployment.id}-{number}")


def check_served(
    deployments: tuple[Deployment, ...], skipped: tuple[Skipped, ...], faults: Faults
) -> None:
    """Note a fault where nothing is left to serve."""
    if deployments or faults:
        return
    why = "; ".join(f"{entry.name}: {entry.reason}" for entry in skipped[:10])
    faults.add(("model_list",), f"no image model is served here. {why or 'Add an entry'}")


def check_names(
    aliases: Mapping[str, str],
    default_model: str,
    asked: frozenset[str],
    deployments: tuple[Deployment, ...],
    faults: Faults,
) -> dict[str, str]:
    """Return the aliases whose group is served; a name that leads nowhere is a fault.

    `asked` are all model names of the file, the skipped ones too.
    """
    groups = frozenset(deployment.group for deployment in deployments)
    for alias, group in aliases.items():
        if not matches(asked, group):
            path = ("router_settings", "model_group_alias", alias)
            faults.add(path, f"there is no model group {group!r}{_meant(group, asked)}")
    served = {alias: group for alias, group in aliases.items() if matches(groups, group)}
    if default_model and not matches(asked | aliases.keys(), default_model):
        meant = _meant(default_model, asked)
        faults.add(("default_model",), f"there is no model group {default_model!r}{meant}")
    elif default_model and not matches(groups | served.keys(), default_model) and not faults:
        faults.add(("default_model",), f"the model group {default_model!r} is skipped")
    return served


def _meant(name: str, groups: frozenset[str]) -> str:
    near = nearest(name, groups)
    return f"; did you mean {near!r}?" if near else f"; there are {', '.join(sorted(groups))}"


def sandbox_settings(assets: AssetSettings, database_url: Secret, today: datetime.date) -> Settings:
    """Return the embedded defaults: OpenAI's current models, drawn here, for nothing.

    Each is also called `sandbox/NAME`, and a snapshot by its own name.
    """
    catalogue = builtin_catalogue()
    rows = [row for row in catalogue.all() if row.provider == "openai"]
    current = [row for row in rows if not row.snapshot_of and not row.is_shut_down(today)]
    asked = [WantedAt(Wanted(group=row.name, model=f"{SANDBOX}/{row.name}"), ()) for row in current]
    faults = Faults("the embedded configuration")
    deployments, _ = resolve_deployments(asked, catalogue, {}, faults)
    faults.check()
    aliases = {f"{SANDBOX}/{row.name}": row.name for row in current}
    aliases |= {name: row.name for row in current for name in row.snapshots}
    return Settings(
        deployments=deployments,
        catalogue=catalogue,
        aliases=aliases,
        default_model=DEFAULT_MODEL.partition("/")[2],
        assets=assets,
        database_url=database_url,
    )


def unspent_keys(env: Mapping[str, str]) -> tuple[Note, ...]:
    """Return how to serve what the environment has keys for: no file, no money is spent."""
    return tuple(
        Note(
            variable,
            0,
            f"{variable} is set, and without a configuration it is not used: the sandbox answers. "
            f"To serve that provider put `model_list: [{{model_name: NAME, params: {{model: {model}"
            "}}]` into a file and start with --config FILE",
        )
        for variable, model in KEYS_TOLD
        if env.get(variable)
    )
