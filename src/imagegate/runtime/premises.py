"""What `doctor` finds out about this place itself: the ledger's database, the folder of images.

Nothing is made or changed; each question has a limit of 10 s.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from imagegate.assets.room import ANSWER_BYTES
from imagegate.config.settings import Settings
from imagegate.diagnosis.checkup import Checkup, Step
from imagegate.errors import ConfigError

QUESTION_S_MAX = 10.0
NAME = "this installation"
_MIB = 1024 * 1024
_OPERATOR_EXIT = 14


async def examine_premises(settings: Settings) -> Checkup:
    """Return what was found out about ledger and folder."""
    steps = (
        await _ask("ledger", lambda: _ledger(settings.database_url.reveal())),
        await _ask("asset folder", lambda: _folder(settings)),
    )
    return Checkup(
        deployment=NAME,
        group="",
        provider="imagegate",
        model="",
        base_url="",
        credential="",
        steps=steps,
    )


async def _ask(title: str, question: Callable[[], Step]) -> Step:
    try:
        async with asyncio.timeout(QUESTION_S_MAX):
            return await asyncio.to_thread(question)
    except TimeoutError:
        text = f"The {title} gave no answer within {QUESTION_S_MAX:g} s."
        return _fault(title, text, "Look whether its disk or its server is there at all.")
    except ConfigError as error:
        return _fault(title, _sentence(error.message), "")


def _ledger(url: str) -> Step:
    from imagegate.ledger.store import check  # SQLAlchemy takes a while to import

    found, ours = check(url)
    texts = {None: "It will be made at the first start.", ours: f"Its schema is revision {ours}."}
    older = f"Its schema is revision {found}; the next start brings it to {ours}."
    return Step(probe="P0", title="ledger", state="ok", text=texts.get(found, older))


def _folder(settings: Settings) -> Step:
    title = "asset folder"
    folder = _standing(Path(settings.assets.folder))
    try:
        with tempfile.TemporaryFile(dir=folder):
            free_bytes = shutil.disk_usage(folder).free
    except OSError as error:
        text = f"{folder} cannot be written to ({os.strerror(error.errno or 0)})."
        return _fault(title, text, "Make it writable for this user, or set assets.folder.")
    said = f"{folder} has {free_bytes // _MIB} MiB free"
    room_bytes = free_bytes - settings.assets.free_bytes_min
    if room_bytes < ANSWER_BYTES:
        text = f"{said}; with so little the gateway buys nothing (assets.free_bytes_min)."
        return _fault(title, text, "Free space, or set assets.folder to another disk.")
    if room_bytes < settings.assets.answer_bytes_max:
        text = f"{said}: the room is less than one answer may take (assets.answer_bytes_max)."
        return Step(probe="P0", title=title, state="warning", text=text, owner="operator")
    return Step(probe="P0", title=title, state="ok", text=f"{said}.")


def _standing(folder: Path) -> Path:
    """Return the folder, or what is nearest above it and there."""
    return next(one for one in (folder, *folder.absolute().parents) if one.exists())


def _fault(title: str, text: str, remedy: str) -> Step:
    return Step(
        probe="P0",
        title=title,
        state="fault",
        text=text,
        next=remedy,
        owner="operator",
        exit_code=_OPERATOR_EXIT,
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
