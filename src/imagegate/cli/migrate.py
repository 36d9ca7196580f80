"""`imagegate migrate`."""

import sys
from pathlib import Path

from imagegate.cli.exits import OK
from imagegate.config.load import load_settings
from imagegate.ledger.store import upgrade


def migrate(*, config: Path | None = None) -> int:
    """Bring the ledger's database to the schema of this version.

    A SQLite file is brought up to date by `imagegate serve` too, a Postgres only by this command.
    It is one transaction: where it fails nothing was changed. Make a backup before.

    Parameters
    ----------
    config
        Configuration file whose database_url names the database.
    """
    settings = load_settings(None if config is None else str(config))
    before, after = upgrade(settings.database_url.reveal())
    if before == after:
        sys.stdout.write(f"The schema is revision {after} already.\n")
    else:
        sys.stdout.write(f"The schema was brought from {before or 'nothing'} to {after}.\n")
    return OK
