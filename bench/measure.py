"""What the kernel says about a tree of processes: CPU time, memory, bytes written."""

import contextlib
import ctypes
import os
from dataclasses import dataclass
from pathlib import Path

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
GATEWAY_CPU = 0
LOAD_CPU = 1


def keep_memory() -> None:
    """Let this process keep what it has freed, so that it is not slowed by fresh pages.

    Only for the load and its upstream, which must not be the limit; glibc only.
    """
    trim_threshold, mmap_threshold = -1, -3
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(mmap_threshold, 1 << 30)
        libc.mallopt(trim_threshold, 1 << 30)


def cpus(wanted: int) -> set[int]:
    """Return the CPU to pin to, any where the machine has not that many."""
    available = (
        os.sched_getaffinity(0) if wanted == GATEWAY_CPU else set(range(os.cpu_count() or 1))
    )
    return {wanted} if wanted in range(os.cpu_count() or 1) else available


def tree(root: int) -> list[int]:
    """Return a process and all its descendants that are alive."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on; empty if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


@dataclass(frozen=True)
class Usage:
    """Use of a tree up to now; `peak_mb` since the last reset, as the sum of the processes."""

    cpu_s: float = 0.0
    peak_mb: float = 0.0
    written_mb: float = 0.0


def usage(root: int) -> Usage:
    """Return what the tree of `root` has used. Ended children count where their parent reaped."""
    total = Usage()
    for pid in tree(root):
        fields = _stat(pid)
        if fields:
            ticks = sum(int(value) for value in fields[11:15])
            total = Usage(
                total.cpu_s + ticks / TICKS_A_SECOND,
                total.peak_mb + _field(f"/proc/{pid}/status", "VmHWM") / 1024,
                total.written_mb + _field(f"/proc/{pid}/io", "write_bytes") / 1e6,
            )
    return total


def _field(path: str, name: str) -> int:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def reset_peak(root: int) -> None:
    """Start the tree's peak memory anew from what it holds now."""
    for pid in tree(root):
        try:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        except OSError:
            continue
