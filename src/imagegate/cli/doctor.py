"""`imagegate doctor`."""

import asyncio
import datetime
import json as jsonlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from imagegate import clock
from imagegate.assets.bucket import Bucket, BucketError
from imagegate.candidates import names_of
from imagegate.cli import doctor_report
from imagegate.cli.failure import error_console
from imagegate.config.client_settings import client_settings
from imagegate.config.faults import ConfigFault
from imagegate.config.load import environment, inspect_settings, load_settings
from imagegate.config.resolve import KEYS_TOLD
from imagegate.config.settings import Deployment, Settings
from imagegate.config.wildcards import named_deployments
from imagegate.diagnosis.checkup import Checkup, Step
from imagegate.diagnosis.compare import compare as compare_two
from imagegate.diagnosis.doctor import Doctor, open_doctor
from imagegate.diagnosis.evidence import build_evidence, build_markdown, build_script
from imagegate.diagnosis.way import judge_incidents
from imagegate.errors import BadRequestError, ConfigError, ImageError
from imagegate.runtime.canary import buy_smallest, price_text
from imagegate.runtime.premises import examine_premises
from imagegate.types import Json

CONFIG_EXIT = 10
_Flag = Annotated[bool, Parameter(negative="")]


def doctor(
    *,
    config: Path | None = None,
    deployment: str | None = None,
    compare: Annotated[tuple[str, str] | None, Parameter(negative="")] = None,
    paid: _Flag = False,
    yes: _Flag = False,
    bundle: Path | None = None,
    json: _Flag = False,
) -> int:
    """Find what is wrong with a configuration and its providers. Nothing is bought.

    Reads the file, goes to each provider, lists its models, asks for the model, and sends a
    generation without a prompt. All faults are told, each with its owner and the next step.

    Parameters
    ----------
    config
        The YAML file; without it, the providers whose keys are in the environment.
    deployment
        Look at this deployment or model group only.
    compare
        Two deployments: ask both the same, and name the owner from the difference.
    paid
        Also make the smallest image at each; the price is shown, and you are asked first.
    yes
        Do not ask before --paid spends.
    bundle
        Write evidence.json, evidence.md and repro.sh into this folder: safe to paste in public.
    json
        Print one JSON object, and nothing else.
    """
    settings, faults = _settings(config)
    faults += _bucket_faults(settings)
    chosen = _chosen(settings, compare or ((deployment,) if deployment else ()))
    if compare and len(chosen) != len(compare):
        raise BadRequestError("--compare takes two deployments by their ids; a group has several")
    checkups = asyncio.run(_examine(settings, chosen))
    premises = () if compare or deployment else (asyncio.run(examine_premises(settings)),)
    if paid:
        like = next((one for one in chosen if one.model), None) if compare else None
        checkups = _with_images(settings, chosen, checkups, bundle, like, is_asked=not yes)
    if bundle:
        _write_bundle(bundle, (*premises, *checkups))
    if json:
        told = _told(faults, premises, checkups, is_compared=bool(compare))
        sys.stdout.write(jsonlib.dumps(told) + "\n")
    elif compare:
        doctor_report.show_comparison(compare_two(*checkups), *compare)
    else:
        doctor_report.show(faults, premises, checkups, settings, is_paid=paid)
    return _exit_code(faults, premises, checkups, is_compared=bool(compare))


def _settings(config: Path | None) -> tuple[Settings, tuple[ConfigFault, ...]]:
    """Return what can be asked, and what is wrong with the file already."""
    if config is None:
        return _from_environment(), ()
    found = inspect_settings(str(config))
    if found.settings is None:
        return msgspec.structs.replace(load_settings(None), deployments=()), found.faults
    return found.settings, found.faults


def _bucket_faults(settings: Settings) -> tuple[ConfigFault, ...]:
    """Return why the bucket of kept images does not take, give back and delete an object."""
    given = settings.assets.bucket
    if given is None:
        return ()
    try:
        asyncio.run(Bucket(given).probe())
    except (BucketError, ConfigError) as error:
        remedy = "Check its name, assets.bucket_options, and what the key may do there."
        return (ConfigFault(0, "assets.bucket", f"{given.url}: {error} {remedy}"),)
    return ()


def _from_environment() -> Settings:
    """Return a deployment for each provider whose key is set; else the sandbox."""
    env = environment()
    settings = load_settings(None)
    found: list[Deployment] = []
    for variable, model in KEYS_TOLD:
        if env.get(variable) and not model.startswith("azure/"):
            try:
                found += client_settings(model, env=env)[0].deployments
            except ImageError as error:
                error_console().print(error.message, markup=False, highlight=False)
    deployments = tuple(found) or settings.deployments[:1]
    return msgspec.structs.replace(settings, deployments=deployments)


def _chosen(settings: Settings, names: Sequence[str]) -> tuple[Deployment, ...]:
    """Return the deployments of that id or model group, in the order of `names`.

    Of a wildcard it is the first model that the catalogue knows: that one can be asked for.
    """
    if not names:
        return tuple(_example(one) for one in settings.deployments)
    chosen: list[Deployment] = []
    for name in names:
        found = [_example(one) for one in settings.deployments if name in (one.id, one.group)]
        found = found or list(named_deployments(name, settings.deployments))
        if not found:
            ids = ", ".join(one.id for one in settings.deployments) or "none"
            raise BadRequestError(f"There is no deployment {name!r} to look at; there are: {ids}")
        chosen += found
    return tuple(chosen)


def _example(deployment: Deployment) -> Deployment:
    if deployment.named is None:
        return deployment
    name = next(iter(names_of(deployment)), "")
    return deployment.named(name) or deployment


async def _examine(settings: Settings, chosen: Sequence[Deployment]) -> tuple[Checkup, ...]:
    with tempfile.TemporaryDirectory(prefix="imagegate-") as folder:
        async with open_doctor(folder, settings.proxies) as asked:
            checkups = await asked.examine(chosen)
            return await _with_incidents(asked, settings, chosen, checkups)


async def _with_incidents(
    asked: Doctor, settings: Settings, chosen: Sequence[Deployment], checkups: tuple[Checkup, ...]
) -> tuple[Checkup, ...]:
    """Return the checkups with what the providers' status pages tell."""
    steps: dict[str, tuple[Step, ...]] = {}
    for one in chosen:
        url = settings.status_pages.get(one.provider.name)
        if url and one.provider.name not in steps:
            incidents = await asked.read_status_page(url, one)
            steps[one.provider.name] = judge_incidents(incidents, one.provider.name, url)
    return tuple(
        msgspec.structs.replace(one, steps=(*one.steps, *steps.get(one.provider, ())))
        for one in checkups
    )


# --- what costs -------------------------------------------------------------------------------


def _with_images(
    settings: Settings,
    chosen: Sequence[Deployment],
    checkups: tuple[Checkup, ...],
    folder: Path | None,
    like: Deployment | None,
    *,
    is_asked: bool,
) -> tuple[Checkup, ...]:
    """Return the checkups with the smallest image of each that had no fault, if that is wanted.

    All make the image that is smallest for `like`, where it is given.
    """
    healthy = [
        (one, found)
        for one, found in zip(chosen, checkups, strict=True)
        if not found.faults and one.serves == "images"
    ]
    if not healthy or (is_asked and not _agrees([one for one, _ in healthy], like)):
        return checkups
    bought = {one.id: _buy(settings, one, folder, like) for one, _ in healthy}
    return tuple(
        msgspec.structs.replace(found, steps=(*found.steps, *bought.get(found.deployment, ())))
        for found in checkups
    )


def _agrees(deployments: Sequence[Deployment], like: Deployment | None) -> bool:
    console = error_console()
    for one in deployments:
        console.print(f"{one.id}: the smallest image, about {price_text(one, like)}", markup=False)
    if not sys.stdin.isatty():
        console.print("Nothing was bought: there is nobody to ask. --yes buys without asking.")
        return False
    console.print("Buy these? [y/N] ", end="", markup=False)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _buy(
    settings: Settings, deployment: Deployment, folder: Path | None, like: Deployment | None
) -> tuple[Step, ...]:
    step, image = asyncio.run(buy_smallest(settings, deployment, like))
    if image:
        place = folder or Path()
        place.mkdir(parents=True, exist_ok=True)
        file = place / f"doctor-{deployment.id}.png"
        file.write_bytes(image)
        step = msgspec.structs.replace(step, text=f"{step.text} It is in {file}.")
    return (step,)


# --- what is told -----------------------------------------------------------------------------


def _told(
    faults: Sequence[ConfigFault],
    premises: Sequence[Checkup],
    checkups: Sequence[Checkup],
    *,
    is_compared: bool,
) -> dict[str, Json]:
    evidence = build_evidence(checkups, at=_now())
    told: dict[str, Json] = {"object": "checkup", "configuration": msgspec.to_builtins(faults)}
    told["installation"] = [msgspec.to_builtins(step) for one in premises for step in one.steps]
    if is_compared:
        told["comparison"] = msgspec.to_builtins(compare_two(*checkups))
    return told | evidence


def _write_bundle(folder: Path, checkups: Sequence[Checkup]) -> None:
    evidence = build_evidence(checkups, at=_now())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evidence.json").write_text(jsonlib.dumps(evidence, indent=2) + "\n", "utf-8")
    (folder / "evidence.md").write_text(build_markdown(evidence, checkups), "utf-8")
    script = folder / "repro.sh"
    script.write_text(build_script(checkups), "utf-8")
    script.chmod(0o755)


def _now() -> str:
    now = datetime.datetime.fromtimestamp(clock.now_s(), datetime.UTC)
    return now.astimezone().isoformat(timespec="seconds")


def _exit_code(
    faults: Sequence[ConfigFault],
    premises: Sequence[Checkup],
    checkups: Sequence[Checkup],
    *,
    is_compared: bool,
) -> int:
    if is_compared:
        return compare_two(*checkups).exit_code
    codes = [step.exit_code for one in (*premises, *checkups) for step in one.faults]
    return CONFIG_EXIT if faults else next(iter(codes), 0)
