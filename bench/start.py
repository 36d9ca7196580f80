"""How fast it starts and how much it installs."""

import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.contenders import LITELLM, ROOT, contenders
from bench.running import Gateway, StartError

RUNS = 5
BARS = {"import_s": 0.3, "ready_s": 1.0, "distributions": 45, "installed_mb": 130}
_TIMED = "import time; begin = time.perf_counter(); import {}; print(time.perf_counter() - begin)"
# Every venv has these, whoever made it.
_TOOLS = {"pip", "setuptools", "wheel"}


@dataclass
class Start:
    """Seconds, counts and MB of one contender; None where it was not measured."""

    import_s: float | None = None
    ready_s: float | None = None
    distributions: int | None = None
    installed_mb: float | None = None
    note: str = ""


async def measure_start(
    names: set[str], upstream_port: int, folder: Path, *, install: bool
) -> dict[str, Start]:
    """Return the figures of imagegate and LiteLLM, as far as they take part."""
    found: dict[str, Start] = {}
    for contender in contenders():
        if contender.name in names & {"imagegate", "litellm"} and not contender.missing:
            gateway = Gateway(contender, upstream_port, folder)
            found[contender.name] = await _measure(gateway)
    if "imagegate" in found and install:
        _measure_fresh_install(found["imagegate"], folder)
    if "litellm" in found:
        _measure_venv(found["litellm"], LITELLM)
    return found


async def _measure(gateway: Gateway) -> Start:
    is_litellm = gateway.contender.name == "litellm"
    python = str(LITELLM / "bin" / "python") if is_litellm else sys.executable
    start = Start(import_s=_import_s(python, "litellm" if is_litellm else "imagegate"))
    ready: list[float] = []
    try:
        for _ in range(2 if is_litellm else RUNS):
            await gateway.start()
            ready.append(gateway.ready_s)
            await gateway.stop()
        start.ready_s = statistics.median(ready)
    except StartError as error:
        start.note = str(error)
    return start


def _import_s(python: str, module: str) -> float:
    times = []
    for _ in range(RUNS):
        command = [python, "-c", _TIMED.format(module)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd="/")
        times.append(float(done.stdout))
    return statistics.median(times)


def _measure_fresh_install(start: Start, folder: Path) -> None:
    """Install the project without extras into a venv of its own and count."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        venv = Path(name) / "venv"
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", str(ROOT)], check=True)
        _measure_venv(start, venv)


def _measure_venv(start: Start, venv: Path) -> None:
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "list", "--format=json"], check=True, capture_output=True)
    names = {row["name"] for row in json.loads(done.stdout)} - _TOOLS
    packages = next((venv / "lib").glob("python3*")) / "site-packages"
    start.distributions = len(names)
    start.installed_mb = sum(_bytes(entry) for entry in packages.iterdir()) / 1e6


def _bytes(entry: Path) -> int:
    """Return the disk bytes of an entry of site-packages; 0 for the tools of the venv itself."""
    if entry.name.partition("-")[0] in _TOOLS:
        return 0
    files = entry.rglob("*") if entry.is_dir() else [entry]
    return sum(file.lstat().st_blocks * 512 for file in files)
