"""Compiles the programs in C at their first use: a load generator in Python would measure itself."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

SOURCES: Final = Path(__file__).resolve().parent / "native"

PROGRAMS: Final = {
    "loadgen": ("loadgen.c", "viewer.c"),
    "publisher": ("publisher.c",),
    "plain_server": ("plain_server.c",),
}

FLAGS: Final = ("-O2", "-std=gnu17", "-Wall", "-Wextra")

OPEN_FILES: Final = 16384
"""What 5,000 viewers, their server and a second server take, with room."""


class NativeError(Exception):
    """A program in C cannot be had here. Says why, and what to do."""


def compiler() -> str | None:
    """Return the C compiler: that of ``CC``, or the first on PATH; None if there is none."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and (found := shutil.which(name)):
            return found
    return None


def missing() -> str | None:
    """Say why nothing can be compiled here, or None."""
    if not sys.platform.startswith("linux"):
        return f"the load generator needs Linux (epoll, schedstat), this is {sys.platform}"
    if compiler() is None:
        return "the load generator needs a C compiler (cc, gcc or clang on PATH, or CC): apt install gcc libc6-dev"
    return None


def build(name: str) -> Path:
    """Return the path of a program, compiled before or now (one to two seconds).

    It is kept in the user's cache folder under a name that changes with its sources.

    Raises:
        NativeError: there is no compiler, or it refused.
    """
    if reason := missing():
        raise NativeError(reason)
    command = [str(compiler()), *FLAGS]
    digest = hashlib.sha256(" ".join(command).encode())
    for file in sorted(SOURCES.iterdir()):
        digest.update(file.read_bytes())
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jupyter_jobprogress-benchmarks"
    program = folder / f"{name}-{digest.hexdigest()[:16]}"
    if program.exists():
        return program
    folder.mkdir(parents=True, exist_ok=True)
    # Renamed into place: two runs that begin together must not start half a program.
    unfinished = folder / f"{program.name}.{os.getpid()}"
    sources = [str(SOURCES / source) for source in PROGRAMS[name]]
    done = subprocess.run([*command, "-o", str(unfinished), *sources], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NativeError(f"{command[0]} does not compile {name}:\n{done.stderr[-2000:]}")
    unfinished.rename(program)
    return program


def raise_open_files(wanted: int = OPEN_FILES) -> int:
    """Raise this process's limit of open files, which what it starts inherits. Returns what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return soft
    for limits in ((wanted, max(hard, wanted)), (min(wanted, hard), hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        except (ValueError, OSError):
            continue
        return limits[0]
    return soft
