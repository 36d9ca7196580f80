"""Is the master key good enough for the address that the gateway listens on?"""

from imagegate.config.endpoint import is_loopback
from imagegate.config.faults import Faults, Path
from imagegate.config.litellm import MASTER_KEYS_KNOWN
from imagegate.config.settings import Note, ServerSettings

LENGTH_MIN = 16
DISTINCT_MIN = 6
MAKE_A_KEY = "python3 -c \"import secrets; print('sk-' + secrets.token_urlsafe(32))\""


def check_master_key(server: ServerSettings, path: Path, faults: Faults) -> tuple[Note, ...]:
    """Return notes for loopback; elsewhere a missing or weak key is a fault.

    `path` is where the key stands in the file, `()` where it does not.
    """
    key = server.master_key.reveal()
    weakness = _weakness(key)
    if is_loopback(server.host):
        if key and weakness:
            return (Note("master_key", faults.line_of(path), f"{weakness}; fine on loopback only"),)
        return ()
    if not weakness:
        return ()
    faults.add(
        path or ("general_settings", "master_key"),
        f"{weakness}, and {server.host} can be reached by others. Make one with: {MAKE_A_KEY} "
        "and set it as IMAGEGATE_MASTER_KEY; or listen on 127.0.0.1",
    )
    return ()


def _weakness(key: str) -> str:
    """Return what is wrong with `key`, without saying what it is; empty where it is good."""
    if not key:
        return "there is no master key"
    if not (key.isascii() and key.isprintable() and " " not in key):
        return "the master key has blanks or characters that no header carries"
    if key.lower() in MASTER_KEYS_KNOWN:
        return "the master key is one that everybody knows"
    if len(key) < LENGTH_MIN:
        return f"the master key has less than {LENGTH_MIN} characters"
    if len(set(key.removeprefix("sk-"))) < DISTINCT_MIN:
        return "the master key repeats a few characters"
    return ""
