"""Reads the configuration file and the environment; nobody else does.

All faults come at once, in one `ConfigError`. What this file needs for YAML and checking is
imported when a file is read, because the SDK asks only for the environment.
"""

import datetime
import os
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

import msgspec

from imagegate import clock
from imagegate.catalogue.model import Catalogue
from imagegate.catalogue.rows import builtin_catalogue, read_rows
from imagegate.config.assets import asset_settings
from imagegate.config.database import file_in, read_database, unset_database
from imagegate.config.faults import ConfigFault, Faults, Path, nearest
from imagegate.config.guards import GuardrailReader
from imagegate.config.litellm import SECTION_KEYS_NOT_HERE, TOP_LEVEL_NOT_HERE, policy_of
from imagegate.config.master_key import check_master_key
from imagegate.config.prices import usd_e10
from imagegate.config.proxies import read_proxies
from imagegate.config.resolve import (
    ENV_PREFIX,
    check_names,
    check_served,
    resolve_deployments,
    sandbox_settings,
    unspent_keys,
)
from imagegate.config.retirement import retirement_notes
from imagegate.config.settings import AssetSettings, Note, ServerSettings, Settings
from imagegate.config.sinks import SinkReader
from imagegate.config.webhooks import read_webhooks
from imagegate.errors import ConfigError
from imagegate.types import AdjustPolicy, Json, Secret

if TYPE_CHECKING:
    from imagegate.config.schema import ConfigFile

HOME_ENV = "IMAGEGATE_HOME"
MASTER_KEY_ENV = ("IMAGEGATE_MASTER_KEY", "LITELLM_MASTER_KEY")
PORT_MAX = 65_535


def environment() -> Mapping[str, str]:
    """Return the environment variables of this process, as they are now."""
    return dict(os.environ)


def data_home(env: Mapping[str, str]) -> FilePath:
    """Return the folder for the ledger and images: `IMAGEGATE_HOME`, else XDG's data home."""
    if env.get(HOME_ENV):
        return FilePath(env[HOME_ENV]).expanduser()
    base = (
        env.get("XDG_DATA_HOME") or FilePath(env.get("HOME") or "~").expanduser() / ".local/share"
    )
    return FilePath(base) / "imagegate"


def load_settings(
    path: str | None,
    host: str | None = None,
    port: int | None = None,
    env: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings of the file at `path`, or the embedded defaults without one.

    `host` and `port` win over the file's. Raises `ConfigError` that lists all faults.
    """
    variables = environment() if env is None else env
    if path is None:
        return _embedded(host, port, variables)
    file = FilePath(path)
    return _from_source(_Source(str(file), _text(file), file.parent), host, port, variables)


class Inspection(msgspec.Struct, frozen=True):
    """A configuration with all that is wrong in it; `settings` hold what could be read."""

    settings: Settings | None
    faults: tuple[ConfigFault, ...]


def inspect_settings(path: str, env: Mapping[str, str] | None = None) -> Inspection:
    """Return the settings of a file and all its faults; what is wrong is left out of them.

    Raises `ConfigError` where the file cannot be read at all.
    """
    variables = environment() if env is None else env
    file = FilePath(path)
    faults = Faults(str(file))
    try:
        source = _Source(str(file), _text(file), file.parent)
        settings = _build(source, None, None, variables, faults)
    except ConfigError:
        if not faults:
            raise
        settings = None
    return Inspection(settings, tuple(sorted(faults.found, key=lambda fault: fault.line)))


def load_mapping(config: Mapping[str, Json], env: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of a configuration given as values; paths are relative to the cwd.

    Raises `ConfigError` that lists all faults.
    """
    variables = environment() if env is None else env
    text = msgspec.json.encode(config).decode()  # JSON is YAML
    source = _Source("the configuration", text, FilePath.cwd())
    return _from_source(source, None, None, variables)


class _Source(msgspec.Struct, frozen=True):
    """A configuration's name in messages, its text, and where its relative paths begin."""

    name: str
    text: str
    folder: FilePath


def _embedded(host: str | None, port: int | None, env: Mapping[str, str]) -> Settings:
    home = data_home(env)
    faults = Faults("the embedded configuration")
    key, _ = _master_key("", env)
    server = _listening(ServerSettings(master_key=key), host, port, faults)
    notes = check_master_key(server, (), faults)
    faults.check()
    settings = sandbox_settings(AssetSettings(folder=str(home / "assets")), file_in(home), _today())
    notes = (_home_note(home), *notes, *unspent_keys(env))
    return msgspec.structs.replace(settings, server=server, notes=notes)


def _today() -> datetime.date:
    return datetime.datetime.fromtimestamp(clock.now_s(), datetime.UTC).date()


def _home_note(home: FilePath) -> Note:
    return Note("", 0, f"images and the ledger are kept in {home} ({HOME_ENV} moves them)")


def _master_key(given: str, env: Mapping[str, str]) -> tuple[Secret, Path]:
    if given:
        return Secret(given), ("general_settings", "master_key")
    found = (env[name] for name in MASTER_KEY_ENV if env.get(name))
    return Secret(next(found, "")), ()


def _listening(
    server: ServerSettings, host: str | None, port: int | None, faults: Faults
) -> ServerSettings:
    if port is not None and not 0 <= port <= PORT_MAX:
        faults.add((), f"{port} is no port; use 0 to {PORT_MAX}")
    return msgspec.structs.replace(
        server,
        host=server.host if host is None else host,
        port=server.port if port is None else port,
    )


# --- a file ------------------------------------------------------------------------------------


def _from_source(
    source: _Source, host: str | None, port: int | None, env: Mapping[str, str]
) -> Settings:
    faults = Faults(source.name)
    settings = _build(source, host, port, env, faults)
    faults.check()
    return settings


def _build(
    source: _Source, host: str | None, port: int | None, env: Mapping[str, str], faults: Faults
) -> Settings:
    """Return the settings as far as they can be read; what is wrong is in `faults`."""
    from imagegate.config.entries import Entries
    from imagegate.config.routing import override_settings, queue_settings, router_settings

    config, unset, variables, notes_read = _read(source.text, env, faults)
    catalogue = _catalogue(config, source.folder, faults)
    entries = Entries(config, unset, catalogue, faults)
    entries.read()
    deployments, notes_found = resolve_deployments(entries.served, catalogue, variables, faults)
    skipped = tuple(entries.skipped)
    server, notes_key = _server(config, host, port, variables, faults)
    check_served(deployments, skipped, faults)
    asked = frozenset(str(entry.get("model_name")) for entry in config.model_list)
    place = str(source.folder.absolute())
    sinks = SinkReader(place, variables, faults)
    default_model = config.default_model or ""
    aliases = check_names(_aliases(config), default_model, asked, deployments, faults)
    home = data_home(variables)
    return Settings(
        deployments=deployments,
        catalogue=catalogue,
        aliases=aliases,
        default_model=default_model,
        router=router_settings(config, asked | aliases.keys(), faults),
        queue=queue_settings(config),
        overrides=override_settings(config),
        adjust=_adjust(config),
        on_retired=config.on_retired,
        partial=config.partial,
        server=server,
        assets=asset_settings(config.assets, source.folder, home, faults),
        database_url=read_database(config, variables, source.folder, home, faults),
        unknown_price=config.unknown_price,
        unknown_price_ceiling_e10=usd_e10(config.unknown_price_ceiling_usd) or 0,
        end_user_budget_e10=usd_e10(config.litellm_settings.max_end_user_budget),
        proxies=read_proxies(variables),
        status_pages=config.status_pages,
        late_s=config.late_s,
        attach_s=config.attach_s,
        log_format=config.log_format,
        log_prompts=config.log_prompts and not config.litellm_settings.turn_off_message_logging,
        sinks=sinks.read(config),
        webhooks=read_webhooks(config.webhooks, faults),
        guardrails=GuardrailReader(place, variables, faults).read(config),
        skipped=skipped,
        notes=(
            *(*notes_read, *entries.notes, *notes_found, *notes_key),
            *(*_callback_notes(sinks), *retirement_notes(deployments, _today())),
        ),
        files=(
            source.name,
            *(str(source.folder / FilePath(name).expanduser()) for name in config.catalogue),
        ),
    )


def _read(
    text: str, env: Mapping[str, str], faults: Faults
) -> tuple["ConfigFile", dict[Path, str], Mapping[str, str], list[Note]]:
    """Return the checked file, unset variables by path, all variables, and what to know."""
    from imagegate.config.schema import ConfigFile
    from imagegate.config.source import parse_document
    from imagegate.config.validate import validate

    document = parse_document(text, faults)
    if not document:
        faults.check()
    variables = {**env, **_own_variables(document)}
    unset: dict[Path, str] = {}
    value = _substituted(document, (), variables, unset)
    notes = _take_out_foreign_keys(value, faults)
    _note_unset(unset, faults)
    config = validate(ConfigFile, value, (), faults, unset) or ConfigFile()
    return config, unset, variables, notes + _section_notes(config, faults)


def _text(path: FilePath) -> str:
    from imagegate.config.source import SOURCE_BYTES_MAX

    try:
        with path.open("rb") as file:
            data = file.read(SOURCE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) > SOURCE_BYTES_MAX:
        raise ConfigError(f"{path} is larger than {SOURCE_BYTES_MAX} bytes: is it the right file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is no UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error


def _own_variables(document: Json) -> dict[str, str]:
    """Return LiteLLM's `environment_variables`, which win over the environment."""
    own = document.get("environment_variables")
    if not isinstance(own, dict):
        return {}
    return {name: value for name, value in own.items() if isinstance(value, str)}


def _substituted(value: Json, path: Path, env: Mapping[str, str], unset: dict[Path, str]) -> Json:
    """Return `value` with each `os.environ/NAME` replaced; what is unset stays, and is noted."""
    if isinstance(value, dict):
        return {key: _substituted(item, (*path, key), env, unset) for key, item in value.items()}
    if isinstance(value, list):
        return [_substituted(item, (*path, at), env, unset) for at, item in enumerate(value)]
    if not isinstance(value, str) or not value.startswith(ENV_PREFIX):
        return value
    name = value.removeprefix(ENV_PREFIX)
    if env.get(name):
        return env[name]
    unset[path] = name
    return value


def _note_unset(unset: Mapping[Path, str], faults: Faults) -> None:
    """Note unset variables of what is read here; an entry's own are told when it is read."""
    told_elsewhere = ("model_list", "credential_list", "router_settings", "litellm_settings")
    for path, name in unset.items():
        is_foreign = path[0] == "general_settings" and path[1:] != ("master_key",)
        if path[0] not in told_elsewhere and not is_foreign:
            faults.add(path, f"the variable {name} is not set; set it, or leave the key out")


def _take_out_foreign_keys(value: dict[str, Json], faults: Faults) -> list[Note]:
    """Take out sections of LiteLLM's that do not exist here, and empty ones; return a note."""
    found = sorted(TOP_LEVEL_NOT_HERE & value.keys())
    line = min((faults.line_of((name,)) for name in found), default=0)
    for name in [name for name in value if name in found or value[name] is None]:
        del value[name]
    return [Note("LiteLLM", line, f"sections not acted on here: {', '.join(found)}")] * bool(found)


def _section_notes(config: "ConfigFile", faults: Faults) -> list[Note]:
    """Return one note a section of LiteLLM's with the keys that are not acted on here."""
    notes: list[Note] = []
    for section in ("router_settings", "litellm_settings", "general_settings"):
        values = getattr(config, section)
        known = tuple(type(values).model_fields)
        extra = sorted(values.model_extra or {})
        for key in extra:
            meant = nearest(key, known, similarity_min=0.85)
            if meant and key not in SECTION_KEYS_NOT_HERE:
                faults.add((section, key), f"unknown key; did you mean {meant!r}?")
        extra += unset_database(values)
        if extra:
            line = faults.line_of((section,))
            notes.append(Note(section, line, f"not acted on here: {', '.join(extra)}"))
    return notes


def _callback_notes(sinks: SinkReader) -> list[Note]:
    names = ", ".join(sinks.not_here)
    return [Note("callbacks", 0, f"not acted on here: {names}")] * bool(names)


# --- its parts ---------------------------------------------------------------------------------


def _catalogue_files(config: "ConfigFile", folder: FilePath) -> list[str]:
    return [str(folder / FilePath(name).expanduser()) for name in config.catalogue]


def _catalogue(config: "ConfigFile", folder: FilePath, faults: Faults) -> Catalogue:
    catalogue = builtin_catalogue()
    files = _catalogue_files(config, folder)
    for index, (name, file) in enumerate(zip(config.catalogue, files, strict=True)):
        try:
            text = FilePath(file).read_text("utf-8")
            catalogue = read_rows(text, name, catalogue)
        except ConfigError as error:
            faults.add(("catalogue", index), error.message)
        except (OSError, UnicodeDecodeError) as error:
            faults.add(("catalogue", index), f"{name} cannot be read: {error}")
    return catalogue


def _server(
    config: "ConfigFile",
    host: str | None,
    port: int | None,
    env: Mapping[str, str],
    faults: Faults,
) -> tuple[ServerSettings, tuple[Note, ...]]:
    given = config.general_settings.master_key
    key, path = _master_key(given.get_secret_value() if given else "", env)
    server = ServerSettings(master_key=key, **config.server.model_dump())
    server = _listening(server, host, port, faults)
    return server, check_master_key(server, path, faults)


def _aliases(config: "ConfigFile") -> dict[str, str]:
    found = config.router_settings.model_group_alias
    return {name: group if isinstance(group, str) else group.model for name, group in found.items()}


def _adjust(config: "ConfigFile") -> AdjustPolicy:
    return config.adjust or policy_of(config.litellm_settings.drop_params) or "nearest"
