"""What a figure means nothing without: machine, versions, and what is missing here."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import jupyter_jobprogress
from benchmarks.cores import Cores
from benchmarks.servers import redis_binary

PACKAGES: Final = (
    *("jupyter_server", "tornado", "redis", "hiredis", "msgspec"),
    *("fastapi", "uvicorn", "uvloop", "httptools", "websockets", "playwright"),
)


def versions() -> dict[str, str]:
    """Return the version of everything that takes part; what is not installed is left out."""
    found = {"python": platform.python_version(), "jupyter_jobprogress": jupyter_jobprogress.__version__}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    if binary := redis_binary():
        words = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False).stdout.split()
        found[Path(binary).name] = next((word[2:] for word in words if word.startswith("v=")), "unknown")
    return found


def machine(cores: Cores) -> dict[str, str]:
    """Describe the machine and how it is shared."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "server on core": "not pinned" if cores.server is None else str(cores.server),
        "all else on core": "not pinned" if cores.others is None else str(cores.others),
        **_idle(),
        "load average before": load_average(),
    }


def load_average() -> str:
    """Return the load of the last minute."""
    return f"{os.getloadavg()[0]:.2f}"


def missing_original() -> str | None:
    """Say why the original design cannot run here, or None."""
    packages = [package for package in ("fastapi", "uvicorn") if importlib.util.find_spec(package) is None]
    if packages:
        return f"the original design needs {' and '.join(packages)}: pip install fastapi 'uvicorn[standard]'"
    if importlib.util.find_spec("websockets") is None:
        return "the original design needs a WebSocket library for uvicorn: pip install 'uvicorn[standard]'"
    return None


def slower_original() -> str | None:
    """Say what the original design runs without, which it would be faster with, or None."""
    packages = [package for package in ("uvloop", "httptools") if importlib.util.find_spec(package) is None]
    if packages:
        return f"the original design ran without {' and '.join(packages)}: pip install 'uvicorn[standard]'"
    return None


def missing_browser() -> str | None:
    """Say why no browser can be driven here, or None. That Chromium itself is missing shows when it is started."""
    if importlib.util.find_spec("playwright") is None:
        return "the browser needs playwright: pip install playwright && playwright install chromium"
    return None


def _idle() -> dict[str, str]:
    """Say for how long the cores of a virtual machine stay awake: one that halts at once is woken in about 100 us."""
    polling = Path("/sys/module/haltpoll/parameters/guest_halt_poll_ns")
    return {"idle cores poll for us": f"{int(polling.read_text()) // 1000}"} if polling.exists() else {}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
