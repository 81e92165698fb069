"""Which process runs on which core, and how much of the server's core others took. Linux only; elsewhere: unknown."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Cores(NamedTuple):
    """One core for the server, one for everything else. None: not pinned."""

    server: int | None
    others: int | None


def choose_cores() -> Cores:
    """Take the first two cores that this process may use; with fewer, or where pinning is unknown, none."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores(None, None)
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(allowed[0], allowed[1]) if len(allowed) > 1 else Cores(None, None)


@contextlib.contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Keep this thread, and for good what it starts meanwhile, on one core.

    Inherited, not set afterwards: a server that has started its threads would keep them where they are.
    """
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Usage(NamedTuple):
    """Counters at one moment: time, CPU time of a server (all threads), busy time of its core."""

    at_s: float
    server_s: float | None
    core_s: float | None


def usage(pid: int, core: int | None) -> Usage:
    """Read the counters. None where the system has no such counter. Without a server (``pid`` 0) it takes no time."""
    return Usage(time.monotonic(), _cpu_s(pid) if pid else 0.0, _busy_s(core))


def neighbours(before: Usage, after: Usage) -> float | None:
    """Return the share (0 to 1) of the server's core that other processes and the kernel took between two moments."""
    if None in (before.server_s, before.core_s, after.server_s, after.core_s):
        return None
    busy_s = (after.core_s or 0) - (before.core_s or 0)
    return max(0.0, busy_s - (after.server_s or 0) + (before.server_s or 0)) / (after.at_s - before.at_s)


def _cpu_s(pid: int) -> float | None:
    # schedstat counts nanoseconds; utime and stime of /proc/<pid>/stat are sampled at 10 ms.
    files = list(Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9 if files else None


def _busy_s(core: int | None) -> float | None:
    if core is None or not Path("/proc/stat").exists():
        return None
    lines = (line.split() for line in Path("/proc/stat").read_text().splitlines())
    fields = next(line for line in lines if line[0] == f"cpu{core}")
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def memory_kib(pid: int, *, what: str = "Pss") -> float | None:
    """Return the proportional memory of a process (``Pss``), or its resident one (``Rss``), in KiB."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(f"{what}:"):
                return float(line.split()[1])
    return None


def forget_peak(pid: int) -> float | None:
    """Begin the peak of a process's resident memory anew. Returns what it has now, in KiB; None: not known here."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")
        return peak_kib(pid)
    return None


def peak_kib(pid: int) -> float | None:
    """Return the peak of a process's resident memory since it was forgotten, in KiB."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1])
    return None
