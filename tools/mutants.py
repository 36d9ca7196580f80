"""Takes one safeguard away at a time and runs the tests that have to notice: `make mutants`.

`mutants.toml` lists them. A mutant that no test fails for has survived, and is an error; so is one
whose words the source no longer has. The tests run on a copy, so nothing here is changed. Names as
arguments choose mutants: `python tools/mutants.py lease`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT_S = 120.0
"""For the tests of one mutant; one that makes them hang is noticed as well."""
_NOT_COPIED = shutil.ignore_patterns("node_modules", "__pycache__", "captures")


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """In `file` (below src/imagegate) the words `old` become `new`; one of `tests` has to fail."""

    name: str
    file: str
    old: str
    new: str
    tests: list[str]


def main() -> int:
    """Return 1 where a mutant survived or cannot be made."""
    known = tomllib.loads((ROOT / "tools" / "mutants.toml").read_text("utf-8"))["mutant"]
    mutants = [Mutant(**each) for each in known]
    asked = sys.argv[1:]
    if unknown := set(asked) - {one.name for one in mutants}:
        print(f"no such mutant: {', '.join(sorted(unknown))}")
        return 2
    chosen = [one for one in mutants if not asked or one.name in asked]
    with tempfile.TemporaryDirectory(prefix="imagegate-mutants-") as folder:
        copy = _copied(Path(folder))
        tests = sorted({test for one in chosen for test in one.tests})
        if not _pass(copy, tests, len(tests) * LIMIT_S):
            print("the tests fail without any mutant")
            return 1
        survivors = [one.name for one in chosen if not _is_killed(copy, one)]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} noticed", *survivors)
    return 1 if survivors or not chosen else 0


def _copied(folder: Path) -> Path:
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=_NOT_COPIED)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def _is_killed(copy: Path, mutant: Mutant) -> bool:
    file = copy / "src" / "imagegate" / mutant.file
    source = file.read_text("utf-8")
    if source.count(mutant.old) != 1:
        print(f"{mutant.name}: {mutant.file} has {source.count(mutant.old)} times: {mutant.old!r}")
        return False
    file.write_text(source.replace(mutant.old, mutant.new), "utf-8")
    try:
        is_killed = not _pass(copy, mutant.tests)
    finally:
        file.write_text(source, "utf-8")
    print(f"{'noticed ' if is_killed else 'SURVIVED'} {mutant.name}", flush=True)
    return is_killed


def _pass(copy: Path, tests: list[str], limit_s: float = LIMIT_S) -> bool:
    """Return whether all the tests pass, with the source of the copy."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", *tests]
    paths = os.pathsep.join((str(copy / "src"), str(copy)))
    environment = os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode > 1:
        print(done.stdout.decode(errors="replace")[-2000:])
        raise SystemExit(f"pytest could not run {' '.join(tests)}")
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
