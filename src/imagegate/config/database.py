"""Where the ledger is: as the file says, else the environment, else a file of its own."""

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from imagegate.config.faults import Faults
from imagegate.config.resolve import (
    ENV_PREFIX,
)
from imagegate.types import Secret

if TYPE_CHECKING:
    from imagegate.config.schema import ConfigFile


if TYPE_CHECKING:
    from imagegate.config.schema import ConfigFile

DATABASE_SCHEME = "sqlite:///"
DATABASE_ENV = "DATABASE_URL"
POSTGRES_SCHEMES = ("postgresql://", "postgres://", "postgresql+psycopg://")


def file_in(home: FilePath) -> Secret:
    """Return where the ledger is by default: a file of its own."""
    return Secret(f"{DATABASE_SCHEME}{home / 'imagegate.db'}")


def read_database(
    config: "ConfigFile",
    env: Mapping[str, str],
    folder: FilePath,
    home: FilePath,
    faults: Faults,
) -> Secret:
    """Return where the ledger is: our key, else LiteLLM's, else the variable, else a file."""
    given = config.database_url or config.general_settings.database_url
    url = given.get_secret_value() if given else env.get(DATABASE_ENV, "")
    if not url or url.startswith(ENV_PREFIX):  # that it is unset is told elsewhere
        return file_in(home)
    if url.startswith(POSTGRES_SCHEMES):
        return Secret(url)
    if not url.startswith(DATABASE_SCHEME) or url == DATABASE_SCHEME:
        faults.add(("database_url",), f"must be {DATABASE_SCHEME}PATH or postgresql://...")
        return Secret(url)
    return Secret(
        f"{DATABASE_SCHEME}{folder / FilePath(url.removeprefix(DATABASE_SCHEME)).expanduser()}"
    )


def unset_database(values: object) -> list[str]:
    """Return LiteLLM's `database_url` where its variable is not set: the default is used then."""
    url = getattr(values, "database_url", None)
    is_unset = url is not None and url.get_secret_value().startswith(ENV_PREFIX)
    return ["database_url"] if is_unset else []
