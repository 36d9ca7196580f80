"""imagegate with a virtual key, limits and four budgets, on SQLite and on Postgres."""

import asyncio
import atexit
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from imagegate.ledger.keys import new_secret
from imagegate.ledger.people import AddBudget, AddKey, AddTeam, BudgetRecord, KeyRecord, TeamRecord
from imagegate.ledger.store import open_ledger

MASTER_KEY = "sk-bench-master-0123456789"
LIMITS = '{"requests_per_minute": 1000000, "calls_in_flight": 100000}'


class Ledger:
    """Where one contender's rows are; made when it starts."""

    def __init__(self, *, is_shared: bool) -> None:
        self._is_shared = is_shared
        self._key = ""

    def prepare(self, folder: Path, models: str, port: int) -> list[str]:
        """Write the people and the configuration; return the command to start."""
        url = _postgres_url() if self._is_shared else f"sqlite:///{folder}/ledger.db"
        self._key = _added_people(url)
        general = f"general_settings: {{master_key: {MASTER_KEY}, database_url: '{url}'}}\n"
        (folder / "config.yaml").write_text(models + general + "assets: {retention_s: 0}\n")
        return [
            sys.executable,
            "-m",
            "imagegate",
            "serve",
            "--config",
            "config.yaml",
            "--port",
            str(port),
        ]

    def headers(self, _upstream_port: int) -> dict[str, str]:
        """Return the headers of a caller with the key."""
        return {"authorization": f"Bearer {self._key}"}


def _added_people(url: str) -> str:
    """Do as `_people`, from within a running loop."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, _people(url)).result()


async def _people(url: str) -> str:
    """Write a team, a key and four budgets that have room for everything; return the key."""
    whole, secret = new_secret("key_bench", 0.0)
    team = TeamRecord(id="team_bench", name="bench", permissions=LIMITS, created_at=0.0)
    key = KeyRecord(
        id="key_bench", name="bench", team_id=team.id, permissions=LIMITS, created_at=0.0
    )
    subjects = ("key:key_bench", "team:team_bench", "model:bench", "provider:openai_compatible")
    ledger = open_ledger(url)
    try:
        await ledger.commit(AddTeam(team))
        await ledger.commit(AddKey(key, secret))
        for subject in subjects:
            room = {"limit_e10": 10**15, "period_start": 0.0, "created_at": 0.0}
            budget = BudgetRecord(id=f"bud_{subject}", subject=subject, name=subject, **room)
            await ledger.commit(AddBudget(budget))
    finally:
        await ledger.aclose()
    return whole


def _postgres_url() -> str:
    """Return a new database of a server that ends with the benchmark."""
    from tests.ledger.databases import PostgresServer

    server = PostgresServer(Path(tempfile.mkdtemp(prefix="imagegate-bench-")))
    atexit.register(server.stop)
    return server.new_url()
